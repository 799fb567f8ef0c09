"""The whole study: architectures are searched for at equal budget, trained from scratch, and compared on the test."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
from eagleray.experts import ScoringConfig
from eagleray.fusion.genotype import MODALITIES, STAGES, Genotype, Stage
from eagleray.fusion.network import FusionNetwork
from eagleray.fusion.search import SearchConfig, SearchData
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
_AGAIN = "scratch-"
"""Begins the names of further trainings of the best architecture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """What is compared."""

    seeds: tuple[int, ...]
    """Of the searches whose architecture is kept, and of the trainings of that architecture."""
    alpha_rates: tuple[float, ...]
    """Learning rates of the architecture that DARTS is tried with."""
    baselines: tuple[str, ...]
    """Names among random, evolution, single (one module of Table 4 each), pairs (two modules each), color, depth."""
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
        seed, names = self.seeds[0], self.baselines
        wanted: tuple[Literal["random", "evolution"], ...] = ("random", "evolution")
        specs = [SearchSpec(name=f"{one}-{seed}", method=one, seed=seed) for one in wanted if one in names]
        specs += [
            SearchSpec(name=f"{'+'.join(stages)}-{seed}", method="darts", stages=stages, seed=seed)
            for stages in MODULES
            if ("single" if len(stages) == 1 else "pairs") in names
        ]
        specs += [
            SearchSpec(name=f"{one}-{seed}", method="darts", modalities=(one,), seed=seed)
            for one in MODALITIES
            if one in names
        ]
        return specs


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An architecture that a search came to."""

    spec: SearchSpec
    genotype: Genotype
    merit: float
    gflop: float
    seconds: float
    stopped: str | None
    history: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, outcome: Outcome[SearchSpec], config: SearchConfig) -> "Found":
        """From a trial."""
        history = outcome.state["history"]
        last = history[-1]
        darts = outcome.spec.method == "darts"
        settled = darts and outcome.stopped is None and last["step"] < config.epochs
        return cls(
            spec=outcome.spec,
            genotype=Genotype.from_json({"schema": "eagleray.genotype/1", **last["best"]}, "a trial's state"),
            merit=float(last["best_merit"]),
            gflop=float(last["gflop"]),
            seconds=float(outcome.state["seconds"]),
            stopped="settled" if settled else outcome.stopped,
            history=history if darts else (),
        )

    @property
    def method(self) -> str:
        """As tables call it: the modules or the modality where only some are searched over, else the method."""
        if self.spec.stages != STAGES:
            return "+".join(self.spec.stages)
        return self.spec.method if len(self.spec.modalities) > 1 else self.spec.modalities[0]


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

    def search(self) -> None:
        """Search: trials of DARTS, of which those that fall behind are stopped, then the baselines on as much."""
        ours = self._runner.run("search", self._config.search_specs(), self._material, stop_early=True)
        budget = max(float(outcome.state["history"][-1]["gflop"]) for outcome in ours)
        self._material = dataclasses.replace(self._material, budget=budget)
        others = self._runner.run("baselines", self._config.baseline_specs(), self._material)
        self.found = [Found.of(outcome, self._material.search) for outcome in (*ours, *others)]
        whole = [one for one in self.found if one.method == "darts" and one.stopped != "asha"]
        self.winner = max(whole, key=lambda one: one.merit)

    def train(self) -> None:
        """Train every found architecture from scratch, the best one also from further seeds and on fewer pictures.

        Nothing is chosen by it.
        """
        specs = [
            TrainSpec(name=one.spec.name, genotype=one.genotype, seed=one.spec.seed)
            for one in self.found
            if one.stopped != "asha"
        ]
        best, first = self.winner.genotype, self.winner.spec.seed
        seeds = range(first, first + self._config.retrainings)
        specs += [TrainSpec(name=f"{_AGAIN}{seed}", genotype=best, seed=seed) for seed in seeds[1:]]
        specs += [
            TrainSpec(name=f"{shots}-shot-{seed}", genotype=best, seed=seed, shots=shots)
            for shots in self._config.few_shot
            for seed in seeds
        ]
        self._trainings = self._runner.run("train", specs, self._material)

    def judge(self, *, sigma: float) -> None:
        """Measure all trained networks on the test pictures."""
        scores = self._runner.map(score_test, self._trainings, self._material)
        sizes = self._runner.map(measure_sizes, self._trainings, self._material)
        rows = [split_scores(self._categories, found["validation"], found["test"]) for found in scores]
        every = [row for part in rows for row in part]
        measured = iter(figures(every, self._scoring, sigma=sigma, runner=self._runner))
        trained = [
            Trained(outcome=outcome, rows=part, measured=[next(measured) for _ in part], sizes=size)
            for outcome, part, size in zip(self._trainings, rows, sizes, strict=True)
        ]
        self.trained = {one.spec.name: one for one in trained}

    @property
    def kept(self) -> Trained:
        """The network that the run is about: of the best architecture, from the search's own seed."""
        return self.trained[self.winner.spec.name]

    def tables(self) -> dict[str, Any]:
        """What the job adds to ``results.json``."""
        space = Space()
        return {
            "kept": self.winner.spec.name,
            "genotype": self.winner.genotype.to_json(),
            "candidates": {stage: list(space.pool(stage)) for stage in STAGES},
            "searches": [self._row(one) for one in self.found] + self._retrained(),
            "modalities": self._modalities(),
            "shots": self._shots(),
        }

    def _row(self, found: Found) -> dict[str, Any]:
        trained = self.trained.get(found.spec.name)
        nothing: dict[str, Any] = {
            **dict.fromkeys((*FIGURES, "frames_per_s", "weights_mb", "peak_mb")),
            "categories": {},
        }
        return {
            "name": found.spec.name,
            "method": found.method,
            "seed": found.spec.seed,
            **(self._figures(trained) if trained else nothing),
            "merit": found.merit,
            "search_s": found.seconds,
            "budget_gflop": found.gflop,
            "stopped": found.stopped,
            "genotype": found.genotype.to_json(),
            "history": [_epoch(step) for step in found.history] if found.method == "darts" else [],
        }

    def _retrained(self) -> list[dict[str, Any]]:
        base = self._row(self.winner)
        return [
            {**base, "name": name, "method": "scratch", "seed": trained.spec.seed, **self._figures(trained)}
            | {"history": [], "search_s": 0.0, "budget_gflop": 0.0, "stopped": None}
            for name, trained in self.trained.items()
            if name.startswith(_AGAIN)
        ]

    def _figures(self, trained: Trained) -> dict[str, Any]:
        names = [row.data.name for row in trained.rows]
        each = {
            name: {figure: values[figure] for figure in FIGURES}
            for name, values in zip(names, trained.measured, strict=True)
        }
        return {**mean_of(trained.measured), "categories": each, **trained.sizes}

    def _modalities(self) -> list[dict[str, Any]]:
        alone = [(one.method, self.trained[one.spec.name]) for one in self.found if one.method in MODALITIES]
        again = [trained for name, trained in self.trained.items() if name.startswith(_AGAIN)]
        shown = [*(("color+depth", trained) for trained in (self.kept, *again)), *alone]
        return [
            {"modalities": modalities, **row} for modalities, trained in shown for row in self._by_category(trained)
        ]

    def _shots(self) -> list[dict[str, Any]]:
        few = [trained for trained in self.trained.values() if trained.spec.shots is not None]
        return [{"shots": trained.spec.shots, **row} for trained in few for row in self._by_category(trained)]

    def _by_category(self, trained: Trained) -> list[dict[str, Any]]:
        categories = self._figures(trained)["categories"]
        return [{"seed": trained.spec.seed, "category": name, **values} for name, values in categories.items()]


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
