"""Area under the per-region-overlap curve (AUPRO), exact: no grid of thresholds.

The curve plots the per-region overlap (PRO), the share of each 8-connected defective region that is found, averaged
over regions, against the false-positive rate (FPR) over all defect-free pixels, those of good images included. Points
stand at the distinct scores and are joined by straight lines; the area up to the FPR limit, where the curve is
interpolated, is divided by the limit.

The curve need not be drawn. Lowering the threshold past the score of one defective pixel raises PRO by that pixel's
weight, 1 / (pixels of its region * regions), while FPR goes from the share of good pixels above that score to the share
at or above it (the two differ by the ties). So each defective pixel adds its weight times the area under a ramp from 0
to 1 between those two rates, and one sort of the good pixels is all it takes.

Source: Bergmann et al. 2021 (MVTec AD, IJCV), which takes quantiles of the good scores as thresholds instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eagleray.arrays import Ints
from eagleray.metrics.pixels import LabelledPixels, label_pixels
from eagleray.metrics.roc import auroc_of_sorted


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """How well anomaly maps find the defective pixels; 1 is perfect."""

    pixel_auroc: float | None
    """In [0, 1], 0.5 for chance; None without defective or without good pixels."""
    aupro: dict[float, float | None]
    """FPR limit -> AUPRO in [0, 1], half the limit for chance; None without defective or without good pixels."""
    num_regions: int
    """8-connected defective regions over all images."""


def pixel_metrics(
    maps: Iterable[ArrayLike], masks: Iterable[ArrayLike | None], *, fpr_limits: tuple[float, ...] = (0.3,)
) -> PixelMetrics:
    """Pixel AUROC, and AUPRO at each limit, over all test images with one sort.

    Args:
        maps: one anomaly map (Y, X) per test image, good ones included, of any size each; read as float32, one at a
            time.
        masks: one mask (Y, X) per map, nonzero is defective; None for a good image.
        fpr_limits: false-positive rates to integrate up to, in (0, 1].

    Raises:
        ValueError: a map holds NaN, is not 2-D, or has another shape than its mask; the counts differ; a limit is
            out of range.
    """
    for limit in fpr_limits:
        if not 0 < limit <= 1:
            raise ValueError(f"an FPR limit must be in (0, 1], got {limit!r}")
    pixels = label_pixels(maps, masks)
    auroc = auroc_of_sorted(pixels.good, pixels.defective)
    if auroc is None:
        return PixelMetrics(None, dict.fromkeys(fpr_limits), pixels.num_regions)
    above = pixels.good.size - pixels.good.searchsorted(pixels.defective, "right")
    at_least = pixels.good.size - pixels.good.searchsorted(pixels.defective, "left")
    by_limit: dict[float, float | None] = {limit: _aupro(pixels, above, at_least, limit) for limit in fpr_limits}
    return PixelMetrics(auroc, by_limit, pixels.num_regions)


def aupro(maps: Sequence[ArrayLike], masks: Sequence[ArrayLike | None], *, fpr_limit: float = 0.3) -> float | None:
    """AUPRO up to one FPR limit; arguments, errors and None as for `pixel_metrics`."""
    return pixel_metrics(maps, masks, fpr_limits=(fpr_limit,)).aupro[fpr_limit]


def _aupro(pixels: LabelledPixels, above: Ints, at_least: Ints, limit: float) -> float:
    """Weighted sum of the areas under each defective pixel's ramp, up to and divided by the limit.

    Args:
        pixels: at least one good and one defective pixel.
        above: per defective pixel the number of good pixels that score higher: where its ramp starts.
        at_least: per defective pixel the number of good pixels that score as high or higher: where its ramp ends.
        limit: false-positive rate in (0, 1].
    """
    start = np.minimum(above / pixels.good.size, limit)
    end = np.minimum(at_least / pixels.good.size, limit)
    ties = np.maximum(at_least - above, 1) / pixels.good.size
    height_at_end = (end - start) / ties  # below 1 where the limit cuts the ramp; unused where it has no width
    areas = (end - start) * height_at_end / 2 + (limit - end)
    return float(areas @ pixels.region_weight) / limit
