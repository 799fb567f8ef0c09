"""What the search sees of pictures: the feature maps of reconstruction networks that were trained once and are kept.

Searching over the fusion network alone, on taps computed once, is what makes a search cheap; the architecture it finds
is then trained with everything else from scratch. Source: 3D-ADNAS, "Implementation Details" (the fusion network is
trained to find the architecture, then the overall model).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eagleray.arrays import Halves, Ints
from eagleray.errors import ConfigError
from eagleray.fusion.anomalies import AnomalyGenerator
from eagleray.fusion.genotype import Modality
from eagleray.fusion.images import Batch, RgbdImages, corrupted, cropped
from eagleray.fusion.network import NetworkConfig
from eagleray.fusion.reconstruction import ReconstructionNetwork
from eagleray.fusion.training import TrainingConfig, WindowTraining, draw, reconstruction_loss, seeded
from eagleray.metrics import auroc


@dataclass(frozen=True, slots=True)
class TapSet:
    """Taps of some pictures with synthetic anomalies; plain arrays, which cross Ray without a copy."""

    taps: Mapping[str, Halves]
    """(N, C, H, W) each, by name."""
    target_NHW: Halves
    """1 for a defective patch, else 0."""

    def __len__(self) -> int:
        return len(self.target_NHW)

    def joined(self, other: "TapSet") -> "TapSet":
        """With another modality's taps of the same pictures."""
        return TapSet({**self.taps, **other.taps}, self.target_NHW)

    def batch(self, numbers: Ints) -> tuple[dict[str, Tensor], Tensor]:
        """Taps and targets of some pictures."""
        taps = {name: torch.from_numpy(maps[numbers]).float() for name, maps in self.taps.items()}
        return taps, torch.from_numpy(self.target_NHW[numbers]).float()


class ReconstructionTraining(WindowTraining):
    """The reconstruction network of one modality in training, without a verdict.

    Both modalities see the same anomalies where settings, pictures and seed are the same, whoever trains them.
    """

    def __init__(
        self,
        modality: Modality,
        network: NetworkConfig,
        config: TrainingConfig,
        images: RgbdImages,
        generator: AnomalyGenerator,
        *,
        seed: int,
    ) -> None:
        with seeded(seed):
            self.network = ReconstructionNetwork(modality, network.width)
        super().__init__(self.network, f"the reconstruction of {modality}", config, images, generator, seed=seed)
        self._modality = modality

    def loss(self, batch: Batch) -> Tensor:
        """Of the reconstruction alone."""
        found = {self._modality: self.network(batch.inputs[self._modality]).picture}
        return reconstruction_loss(found, batch.clean, self._config)

    def taps(self, images: RgbdImages, generator: AnomalyGenerator, *, count: int, seed: int) -> TapSet:
        """Taps of `count` pictures with synthetic anomalies, drawn by `seed`."""
        self.network.eval()
        random = np.random.default_rng(seed)
        taps: dict[str, list[Halves]] = {}
        targets = []
        with torch.inference_mode():
            for numbers in draw(len(images), count, self._config.batch_size, random):
                batch = corrupted(cropped(images, numbers, self._config.crop, random), generator, random)
                targets.append(batch.target_NHW.numpy().astype(np.float16))
                for name, maps in self.network(batch.inputs[self._modality]).taps.items():
                    taps.setdefault(name, []).append(maps.contiguous().numpy().astype(np.float16))
        return TapSet({name: np.concatenate(parts) for name, parts in taps.items()}, np.concatenate(targets))


def merit(logits_NHW: np.ndarray[Any, Any], target_NHW: np.ndarray[Any, Any]) -> float:
    """What architectures are compared by: mean of the AUROC of pictures and that of patches, on held-out good pictures
    with synthetic anomalies.

    The paper says "validation accuracy"; its validation sets have no anomaly.
    """
    pictures = auroc(logits_NHW.max(axis=(1, 2)), target_NHW.max(axis=(1, 2)) > 0)
    patches = auroc(logits_NHW.reshape(-1), target_NHW.reshape(-1) > 0)
    if pictures is None or patches is None:
        share = float((target_NHW.max(axis=(1, 2)) > 0).mean())
        needed = "such that some of --search-pictures have an anomaly and some have none"
        raise ConfigError("--anomalies.share", needed, share)
    return (pictures + patches) / 2
