"""The trials of a sweep over the continual stream job: a stream learned class after class, over pictures embedded once.

A trial's model lies in a store of its own, as that of `jobs/mecad_stream.py`, and equals what that job would learn.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from eagleray.arrays import AnyArray
from eagleray.continual import (
    Arrival,
    EvaluationConfig,
    Evaluator,
    Learner,
    Model,
    PatchSet,
    PreparedPictures,
    PreparedPool,
    ScoredImage,
    ScoreItem,
    StreamConfig,
    StreamRun,
    stream_figures,
)
from eagleray.data import Category
from eagleray.experts import image_score
from eagleray.metrics import auroc, forgetting_report
from eagleray.storage import ModelStore
from eagleray.sweeps.points import Changes, StreamSettings
from eagleray.uris import place


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSpec:
    """A stream is learned with some changed settings, in some order."""

    name: str
    """What tables call its point and its order."""
    point: int
    """Which of the sweep's points it is of."""
    changes: Changes
    order: int
    """Which of the sweep's orders its classes arrive in."""
    classes: tuple[str, ...]
    """In that order."""
    seed: int

    @property
    def folder(self) -> str:
        """Name of the folder that its model lies in, among those of the sweep."""
        return f"{self.point:02d}-{self.name}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class StreamMaterial:
    """What all trials share; it crosses to the workers once."""

    settings: StreamSettings
    evaluation: EvaluationConfig
    stream: StreamConfig
    categories: Mapping[str, Category]
    features: Mapping[str, Any]
    """What a model remembers of its extractor."""
    extractor: bytes = field(repr=False)
    """Every model carries it, so that it can be scored with and served like any other."""
    learned: PatchSet
    """Good pictures of all categories, in half precision."""
    tests: PatchSet
    """Test pictures, and pictures with synthetic anomalies, in single precision."""
    anomalies: Mapping[str, Sequence[str]]
    """Pictures with synthetic anomalies, by category; without any, trials have no merit."""
    folder: str
    """Where trials keep their models: a folder or URI that all nodes can reach."""
    fetch: Callable[[Any], AnyArray] = field(repr=False)
    """Gives the patches of a shard."""

    @cached_property
    def pictures(self) -> PreparedPictures:
        """Of this process: what one trial has computed serves the next."""
        return PreparedPictures(self.learned, self.tests, self.fetch)

    @property
    def most_steps(self) -> int:
        """See `eagleray.trials.Material`."""
        return len(self.categories)

    def begin(self, spec: StreamSpec) -> "StreamTrial":
        """Make a trial, before its first step."""
        return StreamTrial(spec, self)


class StreamTrial:
    """See `StreamSpec`; a step is a class. What it has learned is in its store, its state only says how far it is."""

    def __init__(self, spec: StreamSpec, material: StreamMaterial) -> None:
        self._material = material
        settings = material.settings.changed(spec.changes)
        self._scoring = settings.scoring
        out = place(material.folder) / spec.folder
        store = ModelStore.create(out / "model")
        self._pool = PreparedPool(material.pictures, store)
        learner = Learner(
            settings.learner(),
            material.stream,
            self._pool,
            store,
            features=material.features,
            extractor_blob=store.put_blob(material.extractor),
            seed=spec.seed,
        )
        evaluator = Evaluator(self._pool, settings.scoring, material.evaluation)
        self._run = StreamRun(learner, evaluator, store, out)
        self._events = [Arrival(material.categories[name]) for name in spec.classes]
        self._taken = 0
        self._seconds = 0.0
        self._merit: float | None = None
        self._row: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether all classes are learned."""
        return self._taken == len(self._events)

    def step(self) -> dict[str, float]:
        """Learn the next class and judge all so far; figures that do not exist yet are not a number."""
        start = time.perf_counter()
        self._run.take([self._events[self._taken]])
        self._taken += 1
        if self._material.anomalies:
            self._merit = self._measure_merit(self._run.model)
        self._seconds += time.perf_counter() - start
        self._row = self._figures()
        found = {name: self._row[name] for name in ("image_auroc", "forgetting", "merit")}
        return {name: float("nan") if value is None else value for name, value in found.items()}

    def state(self) -> dict[str, Any]:
        """How far it is, and what came of it so far."""
        return {"taken": self._taken, "seconds": self._seconds, "merit": self._merit, "row": self._row}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; its store may be a step ahead, which is then not learned again."""
        self._taken, self._seconds = int(state["taken"]), float(state["seconds"])
        self._merit, self._row = state["merit"], state["row"]

    def _measure_merit(self, model: Model) -> float | None:
        """Mean image AUROC of held-out good pictures against pictures with synthetic anomalies, category known."""
        found = []
        for name, stored in model.banks.items():
            digests = model.scored_against(name)
            items = [ScoreItem(path, digests) for path in self._material.anomalies[name]]
            scored = [one for one in self._pool.score(items) if isinstance(one, ScoredImage)]
            grids = [np.minimum.reduce([one.patch_scores_HW[digest] for digest in digests]) for one in scored]
            bad = [image_score(grid_HW, self._scoring) for grid_HW in grids]
            good_N = stored.bank.calibration_N
            labels = np.repeat([0, 1], [len(good_N), len(bad)])
            found.append(auroc(np.concatenate([good_N, np.array(bad, np.float32)]), labels))
        return _mean(found)

    def _figures(self) -> dict[str, Any]:
        """What `results.json` says of the trial."""
        steps = self._run.steps()
        figures = stream_figures(steps)
        last = figures["stream"][-1]
        order, matrix = figures["order"], figures["matrix"]
        expert_of = {name: int(e) for e, names in last["classes_per_expert"].items() for name in names}
        classes = {
            name: {
                "expert": expert_of[name],
                "image_auroc": matrix[-1][column],
                "forgetting": figures["forgetting"][name],
            }
            for column, name in enumerate(order)
        }
        experts = {
            expert: {
                "classes": names,
                "image_auroc": _mean([classes[name]["image_auroc"] for name in names]),
                "rows": last["rows_per_expert"][expert],
                "forgetting": _forgetting([order.index(name) for name in names], matrix),
            }
            for expert, names in last["classes_per_expert"].items()
        }
        return {
            "steps": len(steps),
            "image_auroc": last["mean_image_auroc"],
            "step_average": figures["step_average"],
            "forgetting": last["mean_forgetting"],
            "routing_accuracy": last["routing_accuracy"],
            "rows": sum(last["rows_per_expert"].values()),
            "merit": self._merit,
            "classes": classes,
            "experts": experts,
            "seconds": self._seconds,
        }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _forgetting(columns: Sequence[int], matrix: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Mean forgetting of some classes after each step; a class is learned in the step of its column."""
    values_SC = np.array([[row[column] for column in columns] for row in matrix], np.float64)
    return list(forgetting_report(values_SC, columns).mean_forgetting_by_step)
