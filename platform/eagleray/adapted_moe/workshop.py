"""Builds what designs ask for, each expert and each network once, and scores pictures with them, each once.

A row of an ablation, a baseline, a candidate of the evidence and the model that is kept are all the same thing here: a
design on a category. What two of them share is fitted and scored once.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from eagleray.adaptation import Adaption, AdaptionKind, fit_adaption
from eagleray.adapted_moe.config import MixtureConfig
from eagleray.adapted_moe.dataset import CategoryPatches
from eagleray.adapted_moe.trainers import RouterTask, Trainer
from eagleray.arrays import Floats, Ints
from eagleray.banks import BankConfig
from eagleray.config import fingerprint
from eagleray.continual import ExpertPool
from eagleray.experts import DiscriminatorExpert
from eagleray.experts.adapted_expert import UNSCALED, BankWeights, Scale, expert_to_bytes
from eagleray.experts.discriminator_training import DiscriminatorConfig
from eagleray.experts.expert_task import ExpertTask
from eagleray.mixture import (
    BankTask,
    Design,
    ExpertKind,
    ScoreTask,
    aggregate,
    fit_bank,
    route_images,
    score_images,
    top_weights,
)
from eagleray.routing import RoutingNetwork
from eagleray.routing.routing_config import RoutingConfig

Loss: TypeAlias = Literal["center", "softmax"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A design on a category: what a row of a table is about."""

    data: CategoryPatches
    design: Design
    seed: int
    top_k: int
    loss: Loss = "center"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertSpec:
    """One expert: hashable, and equal for whoever needs the same one."""

    category: str
    digest: str
    subclass: int | None
    """None learns from all subclasses."""
    kind: ExpertKind
    adaption: AdaptionKind
    norm: bool
    whitening: bool
    adapt_training: bool
    rows: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSpec:
    """One routing network."""

    category: str
    digest: str
    loss: Loss
    seed: int


@dataclass(frozen=True, slots=True)
class FittedExpert:
    """What an expert learned."""

    adaption: Adaption
    inner: BankWeights | DiscriminatorExpert
    scale: Scale

    def to_bytes(self) -> bytes:
        """As it lies in a store."""
        return expert_to_bytes(self.adaption, self.scale, self.inner)


class Workshop:
    """Fits and scores; keeps everything."""

    def __init__(
        self,
        pool: ExpertPool,
        trainer: Trainer,
        *,
        mixture: MixtureConfig,
        bank: BankConfig,
        discriminator: DiscriminatorConfig,
        routing: RoutingConfig,
    ) -> None:
        self.pool = pool
        self._trainer = trainer
        self._mixture, self._bank, self._discriminator, self._routing = mixture, bank, discriminator, routing
        self._experts: dict[ExpertSpec, FittedExpert] = {}
        self._networks: dict[NetworkSpec, RoutingNetwork] = {}
        self._routes: dict[tuple[NetworkSpec, str], tuple[Ints, Floats]] = {}
        self._scores: dict[tuple[ExpertSpec, str, int], Floats] = {}

    def prepare(self, wanted: Iterable[Built]) -> None:
        """Fit all that these need and that is not fitted, all networks of a kind together."""
        wanted = list(wanted)
        self._train_networks({self._network_spec(b): b.data for b in wanted if b.design.moe})
        specs = {spec: built.data for built in wanted for row in self._specs(built) for spec in row}
        self._fit({spec: data for spec, data in specs.items() if spec not in self._experts})

    def network(self, built: Built) -> RoutingNetwork | None:
        """The routing network of a design, if it has one."""
        return self._networks[self._network_spec(built)] if built.design.moe else None

    def experts(self, built: Built) -> list[list[FittedExpert]]:
        """The experts of a design: of each subclass, one for each adaption."""
        return [[self._experts[spec] for spec in row] for row in self._specs(built)]

    def routes(self, built: Built, *, held_out: bool = False) -> tuple[Ints, Floats]:
        """Subclasses (N, k) to ask about each picture, nearest first, and their weights; test pictures or held-out."""
        data = built.data
        count = len(data.held()) if held_out else data.test.num_images
        if not built.design.moe:
            return np.zeros((count, 1), np.int64), np.ones((count, 1), np.float32)
        spec, part = self._network_spec(built), "train" if held_out else "test"
        if (spec, part) not in self._routes:
            patches = data.train if held_out else data.test
            (found,) = self.pool.map_patches(route_images, [(self._networks[spec].to_bytes(), patches)])
            self._routes[spec, part] = found
        order_NE, weight_NE = self._routes[spec, part]
        if held_out:
            index = np.asarray(data.held(), np.intp)
            order_NE, weight_NE = order_NE[index], weight_NE[index]
        return top_weights(order_NE, weight_NE, built.top_k)

    def patch_scores(self, built: Built, *, held_out: bool = False, pictures: Sequence[int] | None = None) -> Floats:
        """Patch scores (N, H, W) of a category's test pictures, or of its held-out ones; higher is more anomalous.

        Args:
            built: a design that was prepared.
            held_out: score the held-out good pictures instead of the test's.
            pictures: numbers of the only test pictures to score.
        """
        order_NK, weight_NK = self.routes(built, held_out=held_out)
        rows = self._specs(built)
        part = "train" if held_out else "test"
        if held_out:
            pictures = built.data.held()
        elif pictures is None:
            pictures = range(built.data.test.num_images)
        else:
            order_NK, weight_NK = order_NK[list(pictures)], weight_NK[list(pictures)]
        needed = [
            (spec, pictures[number])
            for number, chosen in enumerate(order_NK)
            for subclass in chosen
            for spec in rows[subclass]
        ]
        self._score(built.data, part, needed)
        members = len(built.design.adaptions)
        specs = [spec for row in rows for spec in row]
        empty = np.zeros_like(next(iter(self._scores.values())))  # of experts not asked
        grids_ENHW = np.array([[self._scores.get((spec, part, p), empty) for p in pictures] for spec in specs])
        expert_NK = (order_NK[:, :, None] * members + np.arange(members)).reshape(len(order_NK), -1)
        return aggregate(grids_ENHW, expert_NK, np.repeat(weight_NK / np.float32(members), members, axis=1))

    def _score(self, data: CategoryPatches, part: str, needed: Sequence[tuple[ExpertSpec, int]]) -> None:
        missing: dict[ExpertSpec, list[int]] = {}
        for spec, picture in dict.fromkeys(needed):
            if (spec, part, picture) not in self._scores:
                missing.setdefault(spec, []).append(picture)
        patches = data.train if part == "train" else data.test
        work = [
            (ScoreTask(images=tuple(images), expert=self._experts[spec].to_bytes()), patches)
            for spec, images in missing.items()
        ]
        for (spec, images), scores_NHW in zip(missing.items(), self.pool.map_patches(score_images, work), strict=True):
            for picture, scores_HW in zip(images, scores_NHW, strict=True):
                self._scores[spec, part, picture] = scores_HW

    def _specs(self, built: Built) -> list[list[ExpertSpec]]:
        data, design = built.data, built.design
        numbers: Sequence[int | None] = data.present if design.moe else (None,)
        return [
            [
                ExpertSpec(
                    category=data.name,
                    digest=data.digest,
                    subclass=number,
                    kind=design.expert,
                    adaption=adaption,
                    norm=design.norm,
                    whitening=design.whitening,
                    adapt_training=design.adapt_training or adaption == "none",
                    rows=max(2, self._mixture.rows // (len(numbers) * len(design.adaptions))),
                    seed=built.seed,
                )
                for adaption in design.adaptions
            ]
            for number in numbers
        ]

    def _network_spec(self, built: Built) -> NetworkSpec:
        data = built.data
        return NetworkSpec(category=data.name, digest=data.digest, loss=built.loss, seed=built.seed)

    def _train_networks(self, wanted: dict[NetworkSpec, CategoryPatches]) -> None:
        tasks = {}
        for spec, data in wanted.items():
            if spec in self._networks:
                continue
            images = data.fitted()
            config = dataclasses.replace(self._routing, loss=spec.loss)
            tasks[spec] = RouterTask(
                key=f"router-{fingerprint([spec, config, images])}",
                name=f"the routing network of {data.name}",
                shards=data.train.filled,
                images=images,
                labels_N=np.searchsorted(data.present, data.labels_N[np.asarray(images, np.intp)]),
                config=config,
                seed=spec.seed,
            )
        trained = self._trainer.train_routers(list(tasks.values())) if tasks else []
        self._networks |= dict(zip(tasks, trained, strict=True))

    def _fit(self, wanted: dict[ExpertSpec, CategoryPatches]) -> None:
        adaptions = {spec: self._adaption(spec, data) for spec, data in wanted.items()}
        inner: dict[ExpertSpec, BankWeights | DiscriminatorExpert] = {}
        banks = [spec for spec in wanted if spec.kind == "bank"]
        work = [
            (
                BankTask(
                    images=wanted[spec].fitted(spec.subclass),
                    adaption=self._in_training(spec, adaptions[spec]),
                    rows=spec.rows,
                    bank=self._bank if spec.whitening else dataclasses.replace(self._bank, whitening_directions=0),
                    seed=spec.seed,
                ),
                wanted[spec].train,
            )
            for spec in banks
        ]
        inner |= dict(zip(banks, self.pool.map_patches(fit_bank, work), strict=True))
        networks = [spec for spec in wanted if spec.kind == "discriminator"]
        tasks = [self._expert_task(spec, wanted[spec], adaptions[spec]) for spec in networks]
        trained = self._trainer.train_experts(tasks) if tasks else []
        inner |= {
            spec: DiscriminatorExpert.from_tensors(tensors) for spec, tensors in zip(networks, trained, strict=True)
        }
        held = [
            (
                ScoreTask(
                    images=wanted[spec].held(spec.subclass),
                    expert=expert_to_bytes(adaptions[spec], UNSCALED, inner[spec]),
                ),
                wanted[spec].train,
            )
            for spec in wanted
        ]
        for spec, scores in zip(wanted, self.pool.map_patches(score_images, held), strict=True):
            self._experts[spec] = FittedExpert(adaptions[spec], inner[spec], Scale.of(scores))

    def _adaption(self, spec: ExpertSpec, data: CategoryPatches) -> Adaption:
        return fit_adaption(
            spec.adaption,
            data.statistics.chosen(data.fitted(spec.subclass)),
            data.statistics.chosen(data.fitted()),
            unit=spec.norm,
            num_directions=self._mixture.directions,
        )

    def _in_training(self, spec: ExpertSpec, adaption: Adaption) -> Adaption:
        """What training pictures go through: the same, or only eq. 6 where they are not to be adapted."""
        return adaption if spec.adapt_training else adaption.without_moving()

    def _expert_task(self, spec: ExpertSpec, data: CategoryPatches, adaption: Adaption) -> ExpertTask:
        images = data.fitted(spec.subclass)
        where = data.name if spec.subclass is None else f"{data.name}/{data.subclasses[spec.subclass]}"
        return ExpertTask(
            key=f"expert-{fingerprint([spec, self._discriminator, self._mixture.directions, images])}",
            name=where,
            shards=data.train.filled,
            images=images,
            adapt=self._in_training(spec, adaption),
            config=self._discriminator,
            seed=spec.seed,
        )
