"""Ours set to the peer's method: its grid, taps as they come, no whitening, all pictures, the highest patch score.

What differs from the peer is then the making alone: onnxruntime, several rows a pass in a projection to 64, faiss.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.peers.contestants.contest import Job, compete
from benchmarks.peers.contestants.eagleray_patchcore import open_extractor
from eagleray.banks import BankConfig, farthest_first, project, random_projection
from eagleray.continual import cut
from eagleray.experts import BankExpert, ScoringConfig, image_score
from eagleray.features import FeaturesConfig
from eagleray.metrics import anomaly_map

FEATURES: dict[str, Any] = {"grid_stride": min(FeaturesConfig().strides), "unit_taps": False}
SCORING = ScoringConfig(top_share=0.0)


class SamePatches:
    def __init__(self, job: Job) -> None:
        self._job = job
        extractor = open_extractor(job, **FEATURES)
        self._embedder = extractor.open(parallel=job.threads)
        self._threads = ThreadPoolExecutor(job.threads)
        self._patches_ND: Any = None

    def embed(self, pictures: Sequence[Any]) -> None:
        first = 0
        for part in cut(pictures):
            for patches_HWD in self._embedder.embed_batch(part):
                patches_PD = patches_HWD.reshape(-1, patches_HWD.shape[-1])
                if self._patches_ND is None:
                    self._patches_ND = np.empty((len(pictures) * len(patches_PD), patches_PD.shape[1]), np.float16)
                self._patches_ND[first : first + len(patches_PD)] = patches_PD
                first += len(patches_PD)

    def select(self, num_rows: int) -> None:
        seed, dim = self._job.seed, self._patches_ND.shape[1]
        points_Nd = project(self._patches_ND, random_projection(dim, BankConfig().projection_dim, seed=seed))
        chosen = farthest_first(points_Nd, num_rows, seed=seed, num_threads=self._job.threads)
        self._expert = BankExpert(self._patches_ND[chosen.indices_M].astype(np.float32))

    def predict(self, pictures: Sequence[Any]) -> tuple[list[float], list[Any]]:
        with threadpool_limits(1):
            found = list(self._threads.map(self._predict, pictures))
        return [score for score, _ in found], [map_YX for _, map_YX in found]

    def patches(self, picture: Any) -> Any:
        return self._embedder.embed(picture)

    def _predict(self, picture: Any) -> tuple[float, Any]:
        scores_HW = self._expert.patch_scores(self._embedder.embed(picture))
        return image_score(scores_HW, SCORING), anomaly_map(scores_HW, picture.shape[:2])


if __name__ == "__main__":
    compete(SamePatches)
