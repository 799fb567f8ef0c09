"""pyCLAD's strategies on a stream of products, told when a product begins, and no class at the test, as ours.

pyCLAD has no detector for pictures. Its own get a vector a picture, mean and maximum of the patch embeddings that
anomalib makes with the same weights; and anomalib's PatchCore is made one of its models, for plain fine-tuning: a bank
that is fitted again to each product. Replay and all data for that one would take longer than the whole benchmark, by
the rate of its coreset.
"""

import random
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pyclad.callbacks.callback import Callback
from pyclad.data.concept import Concept
from pyclad.data.datasets.concepts_dataset import ConceptsDataset
from pyclad.models.adapters.pyod_adapters import IsolationForestAdapter, LocalOutlierFactorAdapter
from pyclad.models.model import Model
from pyclad.scenarios.concept_incremental import ConceptIncrementalScenario
from pyclad.strategies.baselines.cumulative import CumulativeStrategy
from pyclad.strategies.baselines.naive import NaiveStrategy
from pyclad.strategies.replay.buffers.adaptive_balanced import AdaptiveBalancedReplayBuffer
from pyclad.strategies.replay.replay import ReplayEnhancedStrategy
from pyclad.strategies.replay.selection.random import RandomSelection

from benchmarks.peers.contestants.anomalib_patchcore import AnomalibPatchcore
from benchmarks.peers.contestants.contest import Job, clock, load, peak_mb, read_job, write_figures

BUFFER = 100
"""Pictures that replay keeps, of all products together."""


class PatchcoreModel(Model):
    """anomalib's PatchCore on pictures (N, P, D) that are embedded already."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._detector = AnomalibPatchcore(job)

    def fit(self, data: Any) -> None:
        self._detector.model.embedding_store = [torch.from_numpy(data.reshape(-1, data.shape[-1]))]
        self._detector.select(self._job.rows)

    def predict(self, data: Any) -> tuple[Any, Any]:
        with torch.inference_mode():
            scores_N = np.array([self._score(torch.from_numpy(patches_PD)) for patches_PD in data])
        return np.zeros(len(data), int), scores_N

    def name(self) -> str:
        return "PatchCore of anomalib"

    def _score(self, patches_PD: torch.Tensor) -> float:
        """As its forward pass."""
        model = self._detector.model
        distances_P, rows_P = model.nearest_neighbors(patches_PD, n_neighbors=1)
        return float(model.compute_anomaly_score(distances_P[None], rows_P[None], patches_PD))


class Scores(Callback):
    """Keeps scores of each product after each step, and counts the seconds of learning."""

    def __init__(self) -> None:
        self.steps: list[dict[str, list[float]]] = []
        self.seconds = 0.0

    def before_training(self, *_: Any, **__: Any) -> None:
        self._began = perf_counter()

    def after_training(self, *_: Any, **__: Any) -> None:
        self.seconds += perf_counter() - self._began
        self.steps.append({})

    def after_evaluation(self, evaluated_concept: Concept, anomaly_scores: Any, **_: Any) -> None:
        self.steps[-1][evaluated_concept.name] = np.asarray(anomaly_scores, float).tolist()


def embedded(detector: AnomalibPatchcore, paths: list[str]) -> Any:
    """Patches (N, P, D)."""
    detector.model.embedding_store.clear()
    detector.embed(load(paths))
    store = detector.model.embedding_store
    return torch.cat(store).reshape(len(paths), -1, store[0].shape[-1]).numpy()


def pooled(patches_NPD: Any) -> Any:
    """One vector a picture."""
    return np.concatenate([patches_NPD.mean(axis=1), patches_NPD.max(axis=1)], axis=1)


def main() -> None:
    job = read_job()
    detector = AnomalibPatchcore(job)
    embedded(detector, next(iter(job.train.values()))[:8])  # the first one is slow
    seconds: dict[str, float] = {}
    with clock(seconds, "embed"):  # what learning costs under any strategy
        train = {name: embedded(detector, paths) for name, paths in job.train.items()}
    test = {name: embedded(detector, paths) for name, paths in job.test.items()}

    def run(name: str, make: Callable[[], Any], data: Callable[[Any], Any]) -> dict[str, Any]:
        random.seed(job.seed)  # replay draws from there
        np.random.seed(job.seed)  # and forests from there
        scores = Scores()
        concepts = [[Concept(n, data(patches_NPD)) for n, patches_NPD in part.items()] for part in (train, test)]
        ConceptIncrementalScenario(ConceptsDataset("products", *concepts), make(), [scores]).run()
        return {"name": name, "steps": scores.steps, "seconds": seconds["embed"] + scores.seconds}

    runs = [run("pyCLAD naive, PatchCore", lambda: NaiveStrategy(PatchcoreModel(job)), lambda patches: patches)]
    for name, detect in (("LOF", LocalOutlierFactorAdapter), ("isolation forest", IsolationForestAdapter)):
        runs += [
            run(f"pyCLAD naive, {name}", lambda detect=detect: NaiveStrategy(detect()), pooled),
            run(f"pyCLAD replay, {name}", lambda detect=detect: ReplayEnhancedStrategy(detect(), _buffer()), pooled),
            run(f"pyCLAD all data, {name}", lambda detect=detect: CumulativeStrategy(detect()), pooled),
        ]
    write_figures(job, {"runs": runs, "peak_mb": peak_mb()})


def _buffer() -> AdaptiveBalancedReplayBuffer:
    return AdaptiveBalancedReplayBuffer(RandomSelection(), BUFFER)


if __name__ == "__main__":
    main()
