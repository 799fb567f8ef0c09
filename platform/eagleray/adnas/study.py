"""The whole study: architectures are searched for at equal budget, trained from scratch, and compared on the test."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eagleray.adnas.finalists import validation_auroc
from eagleray.adnas.found import Found
from eagleray.adnas.outcome import FIGURES, Scored, figures, mean_of, split_scores
from eagleray.adnas.pictures import CategoryPictures
from eagleray.adnas.trials import (
    Material,
    ReconstructRun,
    ReconstructSpec,
    SearchSpec,
    TrainSpec,
    score_test,
)
from eagleray.config import to_json
from eagleray.experts import ScoringConfig
from eagleray.fusion.genotype import MODALITIES, STAGES, Genotype, Stage
from eagleray.fusion.network import FusionNetwork
from eagleray.fusion.search import SearchData
from eagleray.fusion.sizes import measure
from eagleray.fusion.space import Space
from eagleray.trials import Outcome, TrialRunner

MODULES: tuple[tuple[Stage, ...], ...] = (
    ("early",),
    ("middle",),
    ("late",),
    ("early", "middle"),
    ("early", "late"),
    ("middle", "late"),
)
"""Of the paper's Table 4, beside all three."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """What is compared."""

    seeds: tuple[int, ...]
    """Of the searches, and of the trainings of the architecture that is kept."""
    alpha_rates: tuple[float, ...]
    """Learning rates of the architecture that DARTS is tried with; over a part of the space with the first."""
    baselines: tuple[str, ...]
    """Names among random, evolution, single (one module of Table 4 each), pairs (two modules each), color, depth."""
    finalists: int
    """Architectures that each search hands on, to be trained from scratch."""
    retrainings: int
    """Trainings of the best architecture from scratch, each from another seed."""
    few_shot: tuple[int, ...]
    """Numbers of pictures of each category; on each it is trained from scratch too, from as many seeds."""

    def search_specs(self) -> list[SearchSpec]:
        """DARTS, over seeds and learning rates."""
        several = len(self.alpha_rates) > 1
        return [
            SearchSpec(
                name=f"darts-{seed}{f'-{rate:g}' if several else ''}", method="darts", alpha_rate=rate, seed=seed
            )
            for seed in self.seeds
            for rate in self.alpha_rates
        ]

    def baseline_specs(self) -> list[SearchSpec]:
        """At the same budget: other searches over the whole space, and DARTS over parts of it."""
        seed, rate, names = self.seeds[0], self.alpha_rates[0], self.baselines
        wanted: tuple[Literal["random", "evolution"], ...] = ("random", "evolution")
        specs = [SearchSpec(name=f"{one}-{seed}", method=one, seed=seed) for one in wanted if one in names]
        specs += [
            SearchSpec(name=f"{'+'.join(stages)}-{seed}", method="darts", stages=stages, alpha_rate=rate, seed=seed)
            for stages in MODULES
            if ("single" if len(stages) == 1 else "pairs") in names
        ]
        specs += [
            SearchSpec(name=f"{one}-{seed}", method="darts", modalities=(one,), alpha_rate=rate, seed=seed)
            for one in MODALITIES
            if one in names
        ]
        return specs


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A network of an architecture, trained from scratch, with its figures."""

    outcome: Outcome[TrainSpec]
    rows: Sequence[Scored]
    """By category."""
    measured: Sequence[Mapping[str, Any]]
    """The figures of each row."""
    sizes: Mapping[str, float]

    @property
    def spec(self) -> TrainSpec:
        """What was trained."""
        return self.outcome.spec


class Study:
    """Stages of a study, in order; each needs what those before it gave."""

    def __init__(
        self,
        categories: Sequence[CategoryPictures],
        material: Material,
        runner: TrialRunner,
        config: StudyConfig,
        scoring: ScoringConfig,
    ) -> None:
        self._categories, self._material, self._runner = categories, material, runner
        self._config, self._scoring = config, scoring

    def look(self) -> None:
        """Train the reconstruction networks that searches look through, and keep their taps."""
        specs = [ReconstructSpec(modality=modality, seed=self._config.seeds[0]) for modality in MODALITIES]
        outcomes = self._runner.run("reconstruct", specs, self._material)
        parts = self._runner.map(draw_taps, outcomes, self._material)
        train, validation = parts[0].train, parts[0].validation
        for part in parts[1:]:
            train, validation = train.joined(part.train), validation.joined(part.validation)
        self._material = dataclasses.replace(self._material, taps=SearchData(train=train, validation=validation))

    def take(self, genotype: Genotype) -> None:
        """Go on with an architecture that is given, instead of a search."""
        self.found = [Found.given(genotype, self._config.seeds[0])]

    def search(self) -> None:
        """Search: trials of DARTS, of which those that fall behind are stopped, then the baselines on as much."""
        ours = self._runner.run("search", self._config.search_specs(), self._material, stop_early=True)
        spent = dict.fromkeys(self._config.seeds, 0.0)
        for outcome in ours:
            spent[outcome.spec.seed] += float(outcome.state["history"][-1]["gflop"])
        self._material = dataclasses.replace(self._material, budget=max(spent.values()))
        others = self._runner.run("baselines", self._config.baseline_specs(), self._material)
        self.found = [self._found(outcome) for outcome in (*ours, *others)]

    def _found(self, outcome: Outcome[SearchSpec]) -> Found:
        """Random and evolutionary search hand on as many as DARTS does with all its learning rates together."""
        trials = 1 if outcome.spec.method == "darts" else len(self._config.alpha_rates)
        return Found.of(outcome, self._material.search, self._config.finalists * trials)

    def choose(self) -> None:
        """Train the finalists of all searches from scratch; whole held-out pictures choose one for each search.

        The best of all searches over both modalities is the architecture that the run is about.
        """
        specs = _distinct(spec for found in self.found if found.ended for spec in found.trainings)
        outcomes = self._runner.run("finalists", specs, self._material)
        aurocs = self._runner.map(validation_auroc, outcomes, self._material, self._scoring)
        reached = {spec.nameless: auroc for spec, auroc in zip(specs, aurocs, strict=True)}
        self.found = [
            one.compared([reached[spec.nameless] for spec in one.trainings]) if one.ended else one for one in self.found
        ]
        chosen = {one.trainings[0].nameless for one in self.found if one.ended}
        self._trainings = [outcome for outcome in outcomes if outcome.spec.nameless in chosen]
        fused = [one for one in self.found if one.method not in MODALITIES and one.ended]
        self.winner = max(fused, key=lambda one: one.best.validation_auroc or 0.0)

    def train(self) -> None:
        """Train the architecture that the run is about from further seeds, and on fewer pictures.

        Nothing is chosen by it.
        """
        best, first = self.winner.best.genotype, self.winner.seed
        seeds = range(first, first + self._config.retrainings)
        self._again = [TrainSpec(name=f"scratch-{seed}", genotype=best, seed=seed) for seed in seeds[1:]]
        self._few = [
            TrainSpec(name=f"{shots}-shot-{seed}", genotype=best, seed=seed, shots=shots)
            for shots in self._config.few_shot
            for seed in seeds
        ]
        known = {outcome.spec.nameless for outcome in self._trainings}
        specs = [spec for spec in (*self._again, *self._few) if spec.nameless not in known]
        self._trainings += self._runner.run("train", specs, self._material)

    def judge(self, *, sigma: float) -> None:
        """Measure the networks of all found architectures on the test pictures."""
        scores = self._runner.map(score_test, self._trainings, self._material)
        sizes = self._runner.map(measure_sizes, self._trainings, self._material)
        rows = [split_scores(self._categories, found["validation"], found["test"]) for found in scores]
        every = [row for part in rows for row in part]
        measured = iter(figures(every, self._scoring, sigma=sigma, runner=self._runner))
        self.trained = {
            outcome.spec.nameless: Trained(
                outcome=outcome, rows=part, measured=[next(measured) for _ in part], sizes=size
            )
            for outcome, part, size in zip(self._trainings, rows, sizes, strict=True)
        }

    @property
    def kept(self) -> Trained:
        """The network that the run is about: of the best architecture, from the search's own seed."""
        return self._network_of(self.winner)

    def _network_of(self, found: Found) -> Trained:
        return self.trained[found.trainings[0].nameless]

    def tables(self) -> dict[str, Any]:
        """What the job adds to ``results.json``."""
        space = Space()
        return {
            "kept": self.winner.name,
            "genotype": self.winner.best.genotype.to_json(),
            "candidates": {stage: list(space.pool(stage)) for stage in STAGES},
            "searches": [self._row(one) for one in self.found] + self._retrained(),
            "modalities": self._modalities(),
            "shots": self._shots(),
        }

    def _row(self, found: Found) -> dict[str, Any]:
        trained = self._network_of(found) if found.ended else None
        nothing: dict[str, Any] = {
            **dict.fromkeys((*FIGURES, "frames_per_s", "weights_mb", "peak_mb")),
            "categories": {},
        }
        return {
            "name": found.name,
            "method": found.method,
            "seed": found.seed,
            **(self._figures(trained) if trained else nothing),
            "merit": found.best.merit,
            "validation_auroc": found.best.validation_auroc,
            "step": found.best.step,
            "finalists": [{**to_json(one), "genotype": one.genotype.to_json()} for one in found.finalists],
            "search_s": found.seconds,
            "budget_gflop": found.gflop,
            "stopped": found.stopped,
            "genotype": found.best.genotype.to_json(),
            "history": [_epoch(step) for step in found.history] if found.method == "darts" else [],
        }

    def _retrained(self) -> list[dict[str, Any]]:
        base = self._row(self.winner) | {"validation_auroc": None}  # that of the winner's network, not of these
        nothing = {"history": [], "finalists": [], "search_s": 0.0, "budget_gflop": 0.0, "stopped": None}
        return [
            {**base, "name": spec.name, "method": "scratch", "seed": spec.seed, **nothing}
            | self._figures(self.trained[spec.nameless])
            for spec in self._again
        ]

    def _figures(self, trained: Trained) -> dict[str, Any]:
        names = [row.data.name for row in trained.rows]
        each = {
            name: {figure: values[figure] for figure in FIGURES}
            for name, values in zip(names, trained.measured, strict=True)
        }
        return {**mean_of(trained.measured), "categories": each, **trained.sizes}

    def _modalities(self) -> list[dict[str, Any]]:
        both = [("color+depth", spec) for spec in (self.winner.trainings[0], *self._again)]
        alone = [(one.method, one.trainings[0]) for one in self.found if one.method in MODALITIES]
        return [
            {"modalities": modalities, **row} for modalities, spec in both + alone for row in self._by_category(spec)
        ]

    def _shots(self) -> list[dict[str, Any]]:
        return [{"shots": spec.shots, **row} for spec in self._few for row in self._by_category(spec)]

    def _by_category(self, spec: TrainSpec) -> list[dict[str, Any]]:
        categories = self._figures(self.trained[spec.nameless])["categories"]
        return [{"seed": spec.seed, "category": name, **values} for name, values in categories.items()]


def _distinct(specs: Iterable[TrainSpec]) -> list[TrainSpec]:
    """Of trainings that do the same, the first."""
    found: dict[TrainSpec, TrainSpec] = {}
    for spec in specs:
        found.setdefault(spec.nameless, spec)
    return list(found.values())


def draw_taps(outcome: Outcome[ReconstructSpec], material: Material) -> SearchData:
    """Taps by a reconstruction network that was trained."""
    run = ReconstructRun(outcome.spec, material)
    run.restore(outcome.state)
    return run.taps()


def measure_sizes(outcome: Outcome[TrainSpec], material: Material) -> dict[str, float]:
    """What the network of a trained architecture costs on one picture: frames a second on one thread, MB."""
    network = FusionNetwork(outcome.spec.genotype, material.network)
    inputs = material.train.chosen([0]).inputs()
    sizes = measure(network, lambda: network.scores(inputs))
    return {"frames_per_s": sizes.frames_per_s, "weights_mb": sizes.weights_mb, "peak_mb": sizes.peak_mb}


def _epoch(step: Mapping[str, Any]) -> dict[str, Any]:
    alphas: dict[str, list[list[float]]] = {}
    for name, rows in step["alphas"].items():
        stage, group, *_ = name.split(".")
        alphas.setdefault(f"{stage}.{'nodes' if group == 'inputs' else group}", []).extend(rows)
    return {
        "epoch": step["step"],
        "merit": step["merit"],
        "genotype_changed": step["changed"],
        "alphas": alphas,
    }
