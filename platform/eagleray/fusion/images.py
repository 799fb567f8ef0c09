"""Pictures of colour and depth in memory, at the size that networks see, and batches of them with anomalies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eagleray.arrays import Bools, Floats, Ints, Pixels
from eagleray.fusion.anomalies import AnomalyGenerator
from eagleray.fusion.genotype import Modality
from eagleray.fusion.network import network_inputs
from eagleray.fusion.reconstruction import STRIDE

_COVERED = 0.2
"""Share of a patch that has to be defective for the patch to count as defective in training."""


@dataclass(frozen=True, slots=True)
class RgbdImages:
    """Some pictures."""

    color_NYX3: Pixels
    height_NYX: Floats
    """Towards the camera, from the median of the picture's points, in the model's scale."""
    valid_NYX: Bools
    """Where there is a point."""
    product_NYX: Bools
    """Where the product is, as far as that is known: where anomalies are put."""

    def __len__(self) -> int:
        return len(self.color_NYX3)

    def chosen(self, numbers: Sequence[int] | Ints) -> "RgbdImages":
        """Some of them, in that order."""
        index = np.asarray(numbers, np.intp)
        return RgbdImages(*(values[index] for values in self._arrays()))

    def window(self, number: int, row: int, column: int, side: int) -> "RgbdImages":
        """A square part of one of them."""
        rows, columns = slice(row, row + side), slice(column, column + side)
        return RgbdImages(*(values[number : number + 1, rows, columns] for values in self._arrays()))

    @classmethod
    def joined(cls, parts: Sequence["RgbdImages"]) -> "RgbdImages":
        """All pictures of some sets, in order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*(part._arrays() for part in parts), strict=True)))

    def _arrays(self) -> tuple[Any, ...]:
        return self.color_NYX3, self.height_NYX, self.valid_NYX, self.product_NYX

    def scaled(self, scale: float) -> "RgbdImages":
        """With heights divided by `scale`."""
        return replace(self, height_NYX=self.height_NYX / np.float32(scale))

    def inputs(self) -> dict[Modality, Tensor]:
        """As `network_inputs`."""
        return network_inputs(
            torch.from_numpy(np.ascontiguousarray(self.color_NYX3.transpose(0, 3, 1, 2))).float(),
            torch.from_numpy(self.height_NYX)[:, None],
            torch.from_numpy(self.valid_NYX)[:, None].float(),
        )


def heights(depth_YX: Floats, valid_YX: Bools) -> Floats:
    """Height of each point above the median one, in the unit of the depth; 0 where there is no point."""
    median = np.median(depth_YX[valid_YX])
    found: Floats = np.where(valid_YX, median - depth_YX, np.float32(0)).astype(np.float32)
    return found


def height_scale(images: RgbdImages) -> float:
    """Deviation of all the pictures' heights together: what heights are divided by."""
    values = images.height_NYX[images.valid_NYX]
    return float(max(values.std(), 1e-12))


class Batch(NamedTuple):
    """Pictures with anomalies, what they were before, and where the anomalies are."""

    inputs: dict[Modality, Tensor]
    clean: dict[Modality, Tensor]
    target_NHW: Tensor
    """1 for a defective patch, else 0."""


def corrupted(clean: RgbdImages, generator: AnomalyGenerator, random: np.random.Generator) -> Batch:
    """A batch of these pictures, some with a synthetic anomaly on the product."""
    made = [
        generator.corrupt(color_YX3, height_YX, valid_YX, random, product_YX)
        for color_YX3, height_YX, valid_YX, product_YX in zip(
            clean.color_NYX3, clean.height_NYX, clean.valid_NYX, clean.product_NYX, strict=True
        )
    ]
    dirty = RgbdImages(
        np.stack([one.color_YX3 for one in made]),
        np.stack([one.height_YX for one in made]),
        np.stack([one.valid_YX for one in made]),
        clean.product_NYX,
    )
    mask_N1YX = torch.from_numpy(np.stack([one.mask_YX for one in made]))[:, None].float()
    target_NHW = (functional.avg_pool2d(mask_N1YX, STRIDE)[:, 0] >= _COVERED).float()
    return Batch(dirty.inputs(), clean.inputs(), target_NHW)


def cropped(images: RgbdImages, numbers: Ints, side: int, random: np.random.Generator) -> RgbdImages:
    """A square window of each of these pictures, nine in ten around a place on the product: most of a picture is not.

    Networks are convolutional, so a window teaches as much about the product as a whole picture, for less.
    """
    size = images.color_NYX3.shape[1]
    if side >= size:
        return images.chosen(numbers)
    windows = []
    for number in numbers:
        places = np.flatnonzero(images.product_NYX[number])
        if len(places) and random.random() < _ON_PRODUCT:
            row, column = divmod(int(places[random.integers(len(places))]), size)
        else:
            row, column = random.integers(size, size=2)
        shift = random.integers(-(side // 8), side // 8 + 1, size=2)
        corner = np.clip(np.array([row, column]) - side // 2 + shift, 0, size - side)
        windows.append(images.window(int(number), int(corner[0]), int(corner[1]), side))
    return RgbdImages.joined(windows)


_ON_PRODUCT = 0.9
