"""Ours as a class is learned and scored: patches on one grid, whitening, nested coreset, held-out pictures."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.peers.contestants.contest import Job, compete
from eagleray.continual import CalibrationConfig, ExpertUpdate, LearnerConfig, MecadConfig, cut, held_out
from eagleray.continual.fit import fit_class
from eagleray.experts import BankExpert, image_score
from eagleray.features import Extractor, FeaturesConfig, build_extractor
from eagleray.metrics import anomaly_map


def open_extractor(job: Job, **settings: Any) -> Extractor:
    """The extractor at the job's taps and size, with the weights that all contestants have; exported before."""
    extractor = build_extractor(FeaturesConfig(image_size=job.image_size, strides=tuple(job.strides), **settings))
    assert extractor.weights_sha256 == job.weights_sha256
    return extractor


class EagleRay:
    """All defaults but the job's size, taps and rows; whitening's directions count as rows."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._embedder = open_extractor(job).open(parallel=job.threads)
        self._threads = ThreadPoolExecutor(job.threads)
        # An expert has room for six classes, as it has by default.
        capacity = MecadConfig().expert_capacity
        self._config = LearnerConfig(mecad=MecadConfig(rows_per_class=job.rows, rows_per_expert=capacity * job.rows))
        self._fit: list[Any] = []
        self._calibration: list[Any] = []

    def embed(self, pictures: Sequence[Any]) -> None:
        names = tuple(map(str, range(len(pictures))))
        held = held_out(names, CalibrationConfig().share, self._job.seed)
        self._fit = list(self._shards([p for p, name in zip(pictures, names, strict=True) if name not in held]))
        self._calibration = list(self._shards([p for p, name in zip(pictures, names, strict=True) if name in held]))

    def select(self, num_rows: int) -> None:
        update = ExpertUpdate(
            class_name="product",
            num_classes=1,
            seed=self._job.seed,
            mecad=self._config.mecad,
            bank=self._config.bank,
            scoring=self._config.scoring,
            provenance={},
        )
        with threadpool_limits(1, user_api="blas"):  # as where a bank is fitted
            bank = fit_class(update, None, self._fit, self._calibration, num_rows)
        self.expert = BankExpert(bank.rows_MD, bank.whitening)

    def score(self, picture: Any) -> tuple[float, Any]:
        """Score of one picture, and the scores (H, W) of its patches."""
        scores_HW = self.expert.patch_scores(self._embedder.embed(picture))
        return image_score(scores_HW, self._config.scoring), scores_HW

    def each(self, function: Any, items: Sequence[Any]) -> list[Any]:
        """Call a function on each item, each on one thread, as many at once as there are cores."""
        with threadpool_limits(1):
            return list(self._threads.map(function, items))

    def predict(self, pictures: Sequence[Any]) -> tuple[list[float], list[Any]]:
        found = self.each(self._score_and_map, pictures)
        return [score for score, _ in found], [map_YX for _, map_YX in found]

    def patches(self, picture: Any) -> Any:
        return self._embedder.embed(picture)

    @property
    def points(self) -> list[Any]:
        """Patches (n, D) that rows are chosen from."""
        return [shard.reshape(-1, shard.shape[-1]) for shard in self._fit]

    def _score_and_map(self, picture: Any) -> tuple[float, Any]:
        score, scores_HW = self.score(picture)
        return score, anomaly_map(scores_HW, picture.shape[:2])

    def _shards(self, pictures: Sequence[Any]) -> Iterator[Any]:
        """Patches (N, H, W, D) in half precision, as a pool keeps them."""
        for part in cut(pictures):
            yield np.array([patches.astype(np.float16) for patches in self._embedder.embed_batch(part)])


if __name__ == "__main__":
    compete(EagleRay)
