"""The trials of 3D-ADNAS: reconstruction networks, searches, and trainings from scratch."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from eagleray.arrays import Floats
from eagleray.config import to_json
from eagleray.data.rgbd import draw_few
from eagleray.fusion.anomalies import AnomalyConfig, AnomalyGenerator
from eagleray.fusion.genotype import MODALITIES, STAGES, Genotype, Modality, Stage
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import FusionNetwork, NetworkConfig, modalities_of
from eagleray.fusion.search import CandidateSearch, DartsSearch, Method, Search, SearchConfig, SearchData
from eagleray.fusion.space import Space
from eagleray.fusion.taps import ReconstructionTraining, TapSet
from eagleray.fusion.training import NetworkTraining, TrainingConfig, patch_scores
from eagleray.trials import Outcome, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconstructSpec:
    """The reconstruction network of a modality is trained, and taps are drawn with it."""

    modality: Modality
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpec:
    """An architecture is searched for."""

    name: str
    """What tables call it."""
    method: Method
    modalities: tuple[Modality, ...] = MODALITIES
    stages: tuple[Stage, ...] = STAGES
    alpha_rate: float | None = None
    """Learning rate of the architecture; DARTS needs one, no other method has one."""
    seed: int

    @property
    def space(self) -> Space:
        """What it chooses from."""
        return Space(modalities=self.modalities, stages=self.stages)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec:
    """A network of a given architecture is trained from scratch."""

    name: str
    genotype: Genotype
    seed: int
    shots: int | None = None
    """Good pictures of each category to learn from, drawn by the seed; None is all."""

    @property
    def nameless(self) -> "TrainSpec":
        """Equal for trainings that do the same."""
        return dataclasses.replace(self, name="")


Spec: TypeAlias = ReconstructSpec | SearchSpec | TrainSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What all trials share; it crosses to the workers once."""

    train: RgbdImages
    validation: RgbdImages
    test: RgbdImages
    """All categories' pictures together, in the model's scale."""
    train_counts: tuple[int, ...]
    """Pictures of each category in `train`, in order."""
    validation_counts: tuple[int, ...]
    """Pictures of each category in `validation`."""
    network: NetworkConfig
    anomalies: AnomalyConfig
    training: TrainingConfig
    """Of whole networks."""
    reconstruction: TrainingConfig
    """Of the reconstruction networks that the search looks through."""
    search: SearchConfig
    search_pictures: tuple[int, int]
    """Pictures with synthetic anomalies that searches learn from, and are judged on."""
    taps: SearchData | None = None
    budget: float = float("inf")
    """Operations that random and evolutionary searches may spend, in 1e9."""

    def generator(self, modalities: Sequence[Modality], training: TrainingConfig) -> AnomalyGenerator:
        """Of anomalies that these modalities can see, for the windows of this training."""
        size = min(training.crop, self.train.color_NYX3.shape[1])
        config = self.anomalies
        if len(modalities) == 1:
            config = dataclasses.replace(config, modalities=modalities[0])
        return AnomalyGenerator(config, size)

    def learned_from(self, spec: TrainSpec) -> RgbdImages:
        """The pictures of `train` that a network learns from; of one seed, fewer shots are a part of more."""
        if spec.shots is None:
            return self.train
        numbers, start = [], 0
        for count in self.train_counts:
            numbers.append(start + draw_few(count, spec.shots, spec.seed))
            start += count
        return self.train.chosen(np.concatenate(numbers))

    @property
    def most_steps(self) -> int:
        """See `eagleray.trials.Material`."""
        return self.search.epochs

    def begin(self, spec: Spec) -> Run:
        """Make a trial, before its first step."""
        if isinstance(spec, ReconstructSpec):
            return ReconstructRun(spec, self)
        return SearchRun(spec, self) if isinstance(spec, SearchSpec) else TrainRun(spec, self)


class ReconstructRun:
    """See `ReconstructSpec`; in the end the state holds the taps."""

    def __init__(self, spec: ReconstructSpec, material: Material) -> None:
        self._spec, self._material = spec, material
        self._generator = material.generator(MODALITIES, material.reconstruction)
        self._training = ReconstructionTraining(
            spec.modality, material.network, material.reconstruction, material.train, self._generator, seed=spec.seed
        )

    @property
    def done(self) -> bool:
        """See `Run`."""
        return self._training.done

    def step(self) -> dict[str, float]:
        """One epoch."""
        return {"merit": -self._training.run_epoch()}

    def taps(self) -> SearchData:
        """Taps of pictures to learn from and to judge on."""
        count, validation = self._material.search_pictures
        parts = ((self._material.train, count, 1), (self._material.validation, validation, 2))
        train, held = (
            self._training.taps(images, self._generator, count=number, seed=self._spec.seed + offset)
            for images, number, offset in parts
        )
        return SearchData(train=train, validation=held)

    def state(self) -> dict[str, Any]:
        """See `Run`."""
        return self._training.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Run`."""
        self._training.restore(state)


class SearchRun:
    """See `SearchSpec`."""

    def __init__(self, spec: SearchSpec, material: Material) -> None:
        assert material.taps is not None, "searches look through taps"
        data, config = _seen(material.taps, spec.modalities), material.search
        self._search: Search
        if spec.method == "darts":
            assert spec.alpha_rate is not None, "DARTS learns the architecture"
            self._search = DartsSearch(
                spec.space, data, material.network, config, alpha_rate=spec.alpha_rate, seed=spec.seed
            )
        else:
            self._search = CandidateSearch(
                spec.method, spec.space, data, material.network, config, seed=spec.seed, gflop=material.budget
            )
        self._history: list[dict[str, Any]] = []
        self._seconds = 0.0

    @property
    def done(self) -> bool:
        """See `Run`."""
        return self._search.done

    def step(self) -> dict[str, float]:
        """One epoch of DARTS, or one candidate."""
        start = time.perf_counter()
        progress = self._search.run_step()
        self._seconds += time.perf_counter() - start
        self._history.append(to_json(progress))
        return {"merit": progress.best_merit, "gflop": progress.gflop}

    def state(self) -> dict[str, Any]:
        """See `Run`."""
        return {"search": self._search.state(), "history": self._history, "seconds": self._seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Run`."""
        self._search.restore(state["search"])
        self._history, self._seconds = list(state["history"]), float(state["seconds"])


class TrainRun:
    """See `TrainSpec`; in the end the state holds the weights."""

    def __init__(self, spec: TrainSpec, material: Material) -> None:
        self.training = NetworkTraining(
            spec.genotype,
            material.network,
            material.training,
            material.learned_from(spec),
            material.generator(modalities_of(spec.genotype), material.training),
            seed=spec.seed,
        )
        self._seconds = 0.0

    @property
    def done(self) -> bool:
        """See `Run`."""
        return self.training.done

    def step(self) -> dict[str, float]:
        """One epoch."""
        start = time.perf_counter()
        loss = self.training.run_epoch()
        self._seconds += time.perf_counter() - start
        return {"merit": -loss}

    def state(self) -> dict[str, Any]:
        """See `Run`."""
        return {"training": self.training.state(), "seconds": self._seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Run`."""
        self.training.restore(state["training"])
        self._seconds = float(state["seconds"])


def network_of(trained: Outcome[TrainSpec], material: Material) -> FusionNetwork:
    """The network that was trained."""
    run = TrainRun(trained.spec, material)
    run.restore(trained.state)
    return run.training.network


def score_test(trained: Outcome[TrainSpec], material: Material) -> dict[str, Floats]:
    """Patch scores (N, H, W) of the validation and test pictures by a network that was trained."""
    network = network_of(trained, material)
    return {part: patch_scores(network, getattr(material, part)) for part in ("validation", "test")}


def _seen(data: SearchData, modalities: Sequence[Modality]) -> SearchData:
    """Only the taps of some modalities.

    Anomalies that a single modality cannot see stay anomalies: all searches are judged by the same pictures.
    """

    def chosen(taps: TapSet) -> TapSet:
        kept = {name: maps for name, maps in taps.taps.items() if name.split(".")[0] in modalities}
        return TapSet(kept, taps.target_NHW)

    return SearchData(train=chosen(data.train), validation=chosen(data.validation))
