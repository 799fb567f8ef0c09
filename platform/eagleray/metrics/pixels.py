"""Pixels of all test images in the form the localisation metrics need: good and defective scores, each sorted once.

Good pixels (nearly all of them) are kept as bare scores in one array, so that one in-place float32 sort of values does
and maps can be made one at a time: 4 bytes a pixel. Only the few defective pixels carry a weight and need an argsort.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from eagleray.arrays import Bools, Floats

EIGHT_CONNECTED = ((1, 1, 1), (1, 1, 1), (1, 1, 1))


@dataclass(frozen=True, slots=True)
class LabelledPixels:
    """Scores of all pixels of a test set; higher is more anomalous."""

    good: Floats
    """Scores of all defect-free pixels, those of good images included, ascending."""
    defective: Floats
    """Scores of all defective pixels, ascending."""
    region_weight: NDArray[np.float64]
    """Per defective pixel 1 / (pixels of its region * regions); the sum is 1."""
    num_regions: int
    """8-connected defective regions over all images."""


def label_pixels(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike | None]) -> LabelledPixels:
    """Collect and sort the pixels of a test set.

    Args:
        maps: one anomaly map (Y, X) per image, of any size each; read as float32, one at a time.
        masks: one mask (Y, X) per map, nonzero is defective; None for a good image.

    Raises:
        ValueError: a map holds NaN, is not 2-D, or has another shape than its mask; or the counts differ.
    """
    good: Floats = np.empty(0, np.float32)
    defective: list[Floats] = []
    weights: list[NDArray[np.float64]] = []
    num_regions = 0
    for number, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        map_YX = _checked_map(scores, number)
        mask_YX = None if mask is None else _checked_mask(mask, map_YX, number)
        if mask_YX is None or not mask_YX.any():
            _append(good, map_YX.ravel())
            continue
        _append(good, map_YX[~mask_YX])
        defective.append(map_YX[mask_YX])
        share, regions = _share_of_region(mask_YX)
        weights.append(share)
        num_regions += regions
    good.sort()
    all_defective = np.concatenate(defective) if defective else np.empty(0, np.float32)
    order = np.argsort(all_defective)
    weight = np.concatenate(weights)[order] / num_regions if weights else np.empty(0)
    return LabelledPixels(good, all_defective[order], weight, num_regions)


def _checked_map(scores: ArrayLike, number: int) -> Floats:
    map_YX = np.asarray(scores, dtype=np.float32)
    if map_YX.ndim != 2:
        raise ValueError(f"anomaly map {number} must be 2-D, its shape is {map_YX.shape}")
    if np.isnan(map_YX).any():
        raise ValueError(f"anomaly map {number} holds {np.isnan(map_YX).sum()} NaN scores; they cannot be ranked")
    return map_YX


def _checked_mask(mask: ArrayLike, map_YX: Floats, number: int) -> Bools:
    mask_YX: Bools = np.asarray(mask).astype(bool, copy=False)
    if mask_YX.shape != map_YX.shape:
        raise ValueError(f"mask {number} has shape {mask_YX.shape}, its anomaly map {map_YX.shape}")
    return mask_YX


def _share_of_region(mask_YX: Bools) -> tuple[NDArray[np.float64], int]:
    """For each defective pixel in reading order 1 / pixels of its region; and the number of regions."""
    region_YX, num_regions = ndimage.label(mask_YX, structure=EIGHT_CONNECTED)
    region = region_YX[mask_YX]
    return 1.0 / np.bincount(region)[region], int(num_regions)


def _append(pixels: Floats, more: Floats) -> None:
    """Lengthen an array that nobody else holds, in place: joining a list of parts would need everything twice."""
    filled = pixels.size
    pixels.resize(filled + more.size, refcheck=False)
    pixels[filled:] = more
