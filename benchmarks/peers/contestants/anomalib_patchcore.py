"""PatchCore of anomalib: its torch model, without its trainer, data loaders, pre- and post-processing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import timm
import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

from benchmarks.peers.contestants.contest import Job, compete

BATCH = 32
"""Pictures in a batch, as in anomalib's data modules."""


class AnomalibPatchcore:
    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        np.random.seed(job.seed)  # its projection draws from there
        strides = timm.create_model(job.backbone, features_only=True, pretrained=False).feature_info.reduction()
        layers: Any = [strides.index(stride) for stride in job.strides]
        self.model = PatchcoreModel(layers=layers, backbone=job.backbone, pre_trained=False)
        self.model.feature_extractor.feature_extractor.load_state_dict(torch.load(job.weights, weights_only=True))
        self._mean, self._std = (torch.tensor(values).view(1, 3, 1, 1) for values in (job.mean, job.std))

    def embed(self, pictures: Sequence[Any]) -> None:
        self.model.train()  # its own switch: patches are kept, not scored
        for batch in self._batches(pictures):
            self.model(batch)

    def select(self, num_rows: int) -> None:
        num_patches = sum(len(patches) for patches in self.model.embedding_store)
        self.model.subsample_embedding((num_rows + 0.5) / num_patches)  # it rounds down
        assert len(self.model.memory_bank) == num_rows

    def predict(self, pictures: Sequence[Any]) -> tuple[list[float], list[Any]]:
        self.model.eval()
        scores: list[float] = []
        maps: list[Any] = []
        with torch.inference_mode():
            for batch in self._batches(pictures):
                found = self.model(batch)
                scores += found.pred_score.tolist()
                maps += list(found.anomaly_map[:, 0].numpy())
        return scores, maps

    def patches(self, picture: Any) -> Any:
        self.model.train()
        (batch,) = self._batches([picture])
        patches_PD = self.model(batch).numpy()
        side = int(np.sqrt(len(patches_PD)))
        return patches_PD.reshape(side, side, -1)

    def _batches(self, pictures: Sequence[Any]) -> Any:
        for first in range(0, len(pictures), BATCH):
            batch = torch.from_numpy(np.stack(pictures[first : first + BATCH]))
            yield (batch.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std


if __name__ == "__main__":
    compete(AnomalibPatchcore)
