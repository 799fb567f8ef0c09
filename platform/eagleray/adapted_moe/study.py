"""What is told beside the model: the paper's ablation, its choice of loss, its top-k curve, and the baselines."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eagleray.adaptation import AdaptionKind
from eagleray.adapted_moe.dataset import CategoryPatches
from eagleray.adapted_moe.evaluation import Scored, SubclassFigures, decisive, evaluate, headline, spread
from eagleray.adapted_moe.workshop import Built, Loss, Workshop
from eagleray.experts import ScoringConfig
from eagleray.mixture import BANKS, SIMPLENET, Design, RateTask, measure_rates, routing_embeddings

ABLATION = (
    (False, False, False),
    (True, False, False),
    (False, True, False),
    (True, False, True),
    (False, True, True),
    (True, True, False),
    (True, True, True),
)
"""+MoE, +TTA, +Norm of the paper's Table 3, in its order."""
_LARGEST_K = 8
_COMPARED = ("image_auroc", "pixel_auroc")


def paper_design(*, moe: bool, tta: bool, norm: bool, adaption: AdaptionKind) -> Design:
    """A row of the ablation: SimpleNet experts with these parts of the method."""
    return Design(expert="discriminator", moe=moe, adaptions=(adaption,) if tta else ("none",), norm=norm)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """What is measured beside the model that is kept."""

    adaption: AdaptionKind
    """What +TTA adapts."""
    adapt_training: bool = True
    """Whether it adapts the pictures that experts learn from, too."""
    top_k: int
    seeds: tuple[int, ...]
    ablation: bool
    """All tables of the paper, beside the baselines."""
    top_k_curve: bool = False
    """Of those tables the one over k, where not all are wanted."""
    baselines: Mapping[str, Design] = field(default_factory=lambda: {"simplenet": SIMPLENET, **BANKS})
    """By name."""
    sigma: float


class Study:
    """Measures designs on some categories over several seeds; every design once, whoever asks for it."""

    def __init__(
        self, categories: Sequence[CategoryPatches], workshop: Workshop, config: StudyConfig, scoring: ScoringConfig
    ) -> None:
        self._categories, self._workshop = categories, workshop
        self._config, self._scoring = config, scoring
        self._figures: dict[tuple[str, Design, int, int, Loss], list[SubclassFigures]] = {}
        self._whole: set[tuple[str, Design, int, int, Loss]] = set()

    def built(
        self, data: CategoryPatches, design: Design, seed: int, *, top_k: int | None = None, loss: Loss = "center"
    ) -> Built:
        """A design on a category; asks no more experts than there are."""
        top_k = min(top_k or self._config.top_k, len(data.present)) if design.moe else 1
        return Built(data=data, design=design, seed=seed, top_k=top_k, loss=loss)

    def measure(self, wanted: Sequence[Built], *, seen: bool = False) -> None:
        """Fit, score and judge; networks of the same kind are trained together.

        Args:
            wanted: designs on categories.
            seen: judge on the seen subclasses too, beside the unseen ones that tables are about.
        """
        done = self._whole if seen else self._figures
        missing = {_key(built): built for built in wanted if _key(built) not in done}
        self._workshop.prepare(missing.values())
        tested = {key: built for key, built in missing.items() if built.data.tests}
        scored = [self._scored(built, seen) for built in tested.values()]
        found = evaluate(scored, self._workshop.pool, self._scoring, sigma=self._config.sigma)
        self._figures |= {**{key: [] for key in missing}, **dict(zip(tested, found, strict=True))}
        self._whole |= set(missing) if seen else set()

    def _scored(self, built: Built, seen: bool) -> Scored:
        tests = built.data.tests
        pictures = range(len(tests)) if seen else decisive(tests)
        return Scored([tests[n] for n in pictures], self._workshop.patch_scores(built, pictures=pictures))

    def figures(self, built: Built) -> list[SubclassFigures]:
        """Of each subclass that was measured; if none was yet, of the unseen ones."""
        self.measure([built])
        return self._figures[_key(built)]

    def run(self) -> dict[str, Any]:
        """All tables, in the form of ``results.json``."""
        designs = list(self._config.baselines.values())
        designs += [self._full(row) for row in ABLATION] if self._config.ablation else []
        rows = [
            (data, design) for data in self._categories for design in dict.fromkeys(designs) if self._can(data, design)
        ]
        wanted = [self.built(data, design, seed) for data, design in rows for seed in self._config.seeds]
        full, routed = self._full(ABLATION[-1]), list(itertools.product(self._routed, self._config.seeds))
        if self._config.ablation:
            wanted += [self.built(data, full, seed, loss="softmax") for data, seed in routed]
        if self._has_curve:
            wanted += [self.built(data, full, seed, top_k=k) for data, seed in routed for k in _ks(data)]
        self.measure(wanted)
        tables: dict[str, Any] = {"baselines": self._baselines(), "ablation": [], "losses": [], "top_k": []}
        if self._config.ablation:
            tables |= {"ablation": self._ablation(), "losses": self._losses()}
        if self._has_curve:
            tables["top_k"] = self._top_k()
        return tables

    @property
    def _has_curve(self) -> bool:
        return self._config.ablation or self._config.top_k_curve

    @property
    def _routed(self) -> list[CategoryPatches]:
        """Categories with something to route."""
        return [data for data in self._categories if len(data.present) > 1]

    def _full(self, row: tuple[bool, bool, bool]) -> Design:
        moe, tta, norm = row
        design = paper_design(moe=moe, tta=tta, norm=norm, adaption=self._config.adaption)
        return dataclasses.replace(design, adapt_training=self._config.adapt_training)

    def _can(self, data: CategoryPatches, design: Design) -> bool:
        """A mixture needs something to choose from."""
        return len(data.present) > 1 or not design.moe

    def _spreads(self, data: CategoryPatches, design: Design, **more: Any) -> dict[str, Any]:
        rows = [self.figures(self.built(data, design, seed, **more)) for seed in self._config.seeds]
        return {name: spread([headline(row, name) for row in rows]) for name in _COMPARED}

    def _baselines(self) -> list[dict[str, Any]]:
        return [
            {"category": data.name, "name": name, **self._spreads(data, design)}
            for data in self._categories
            for name, design in self._config.baselines.items()
        ]

    def _ablation(self) -> list[dict[str, Any]]:
        return [
            {
                "category": data.name,
                **dict(zip(("moe", "tta", "norm"), row, strict=True)),
                **(self._spreads(data, self._full(row)) if self._can(data, self._full(row)) else _one_subclass()),
            }
            for data in self._categories
            for row in ABLATION
        ]

    def _losses(self) -> list[dict[str, Any]]:
        losses: tuple[Loss, ...] = ("softmax", "center")
        return [
            {
                "category": data.name,
                "loss": loss,
                **self._spreads(data, self._full(ABLATION[-1]), loss=loss),
                "routing_accuracy": spread(
                    [(self.routing_accuracy(data, seed, loss), None) for seed in self._config.seeds]
                ),
            }
            for data in self._routed
            for loss in losses
        ]

    def _top_k(self) -> list[dict[str, Any]]:
        rows = []
        for data in self._routed:
            rates = self._rates(data)
            rows += [
                {
                    "category": data.name,
                    "k": k,
                    **self._spreads(data, self._full(ABLATION[-1]), top_k=k),
                    "images_per_s": rate,
                }
                for k, rate in zip(_ks(data), rates, strict=True)
            ]
        return rows

    def _rates(self, data: CategoryPatches) -> list[float]:
        built = self.built(data, self._full(ABLATION[-1]), self._config.seeds[0])
        network = self._workshop.network(built)
        assert network is not None
        experts = tuple(tuple(one.to_bytes() for one in row) for row in self._workshop.experts(built))
        task = RateTask(network=network.to_bytes(), experts=experts, top_k=tuple(_ks(data)))
        (rates,) = self._workshop.pool.map_patches(measure_rates, [(task, data.train)])
        return rates

    def routing_accuracy(self, data: CategoryPatches, seed: int, loss: Loss = "center") -> float | None:
        """Share of the seen subclasses' test pictures whose first expert is their subclass's; None without any."""
        built = self.built(data, self._full(ABLATION[-1]), seed, loss=loss)
        self._workshop.prepare([built])
        return routing_accuracy(self._workshop, built)

    def routing_space(self, built: Built) -> dict[str, Any]:
        """The routing embeddings of good pictures on their two main axes."""
        network = self._workshop.network(built)
        assert network is not None
        data = built.data
        work = [(network.to_bytes(), patches) for patches in (data.train, data.test) if patches.num_images]
        found = self._workshop.pool.map_patches(routing_embeddings, work)
        names = [data.subclasses[label] for label in data.labels_N]
        shown = [
            (number, test.subclass) for number, test in enumerate(data.tests) if not test.seen and not test.sample.label
        ]
        points_NC = np.concatenate([found[0], *([found[1][[n for n, _ in shown]]] if shown else [])])
        centred_NC = points_NC - points_NC.mean(axis=0)
        _, lengths, axes = np.linalg.svd(centred_NC, full_matrices=False)
        variance = lengths**2 / max(float((lengths**2).sum()), 1e-12)
        return {
            "category": data.name,
            "points": [[float(x), float(y)] for x, y in centred_NC @ axes[:2].T],
            "subclasses": [*names, *(name for _, name in shown)],
            "seen": [True] * len(names) + [False] * len(shown),
            "explained": [float(share) for share in variance[:2]],
        }


def routing_accuracy(workshop: Workshop, built: Built) -> float | None:
    """Share of the seen subclasses' test pictures whose first expert is their subclass's; None where none has one."""
    if not built.design.moe or not built.data.tests:
        return None
    order_NK, _ = workshop.routes(built)
    names = [built.data.subclasses[number] for number in built.data.present]
    right = [
        names[order_NK[number, 0]] == test.subclass
        for number, test in enumerate(built.data.tests)
        if test.seen and test.subclass in names
    ]
    return float(np.mean(right)) if right else None


def _key(built: Built) -> tuple[str, Design, int, int, Loss]:
    return built.data.name, built.design, built.seed, built.top_k, built.loss


def _ks(data: CategoryPatches) -> list[int]:
    """1, 2, 3 ... up to eight, and all experts."""
    experts = len(data.present)
    return sorted({*itertools.takewhile(lambda k: k <= experts, range(1, _LARGEST_K + 1)), experts})


def _one_subclass() -> dict[str, Any]:
    return {name: spread([(None, "one subclass: there is nothing to route")]) for name in _COMPARED}
