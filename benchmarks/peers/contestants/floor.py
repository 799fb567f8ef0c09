"""The floor: the same patches as ours by loops that anybody would write first.

Torch as it comes, one row chosen a pass over all points (in the same projection to 64), all distances for each picture.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.peers.contestants.contest import Job, compete
from eagleray.banks import BankConfig, random_projection
from eagleray.features import FeaturesConfig
from eagleray.features.embedder import build_network
from eagleray.metrics import anomaly_map

BATCH = 32


class Floor:
    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        self._seed = job.seed
        config = FeaturesConfig(image_size=job.image_size, strides=tuple(job.strides))
        self._network, digest = build_network(config)
        assert digest == job.weights_sha256
        self._patches_ND = torch.empty(0)

    @torch.inference_mode()
    def embed(self, pictures: Sequence[Any]) -> None:
        found = [self._embed(pictures[first : first + BATCH]) for first in range(0, len(pictures), BATCH)]
        self._patches_ND = torch.cat(found).flatten(0, 2)

    @torch.inference_mode()
    def select(self, num_rows: int) -> None:
        dim = self._patches_ND.shape[1]
        projection_Dd = torch.from_numpy(random_projection(dim, BankConfig().projection_dim, seed=self._seed))
        points_Nd = self._patches_ND @ projection_Dd
        row = int(np.random.default_rng(self._seed).integers(len(points_Nd)))
        distances_N = torch.full((len(points_Nd),), torch.inf)
        rows = [row]
        while len(rows) < num_rows:
            distances_N = torch.minimum(distances_N, (points_Nd - points_Nd[row]).norm(dim=1))
            row = int(distances_N.argmax())
            rows.append(row)
        self._rows_MD = self._patches_ND[rows]

    @torch.inference_mode()
    def predict(self, pictures: Sequence[Any]) -> tuple[list[float], list[Any]]:
        scores, maps = [], []
        for picture in pictures:
            (patches_HWD,) = self._embed([picture])
            distances_HW = torch.cdist(patches_HWD.flatten(0, 1), self._rows_MD).amin(dim=1).view(patches_HWD.shape[:2])
            scores.append(float(distances_HW.max()))
            maps.append(anomaly_map(distances_HW.numpy(), picture.shape[:2]))
        return scores, maps

    @torch.inference_mode()
    def patches(self, picture: Any) -> Any:
        return self._embed([picture])[0].numpy()

    def _embed(self, pictures: Sequence[Any]) -> torch.Tensor:
        found: torch.Tensor = self._network(torch.from_numpy(np.stack(pictures)))
        return found


if __name__ == "__main__":
    compete(Floor)
