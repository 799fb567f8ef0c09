"""Area under the ROC curve, exact with ties, for a few hundred images or for tens of millions of pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from eagleray.arrays import AnyArray
from eagleray.metrics.pixels import label_pixels


def auroc(scores_N: ArrayLike, labels_N: ArrayLike) -> float | None:
    """Share of (defective, good) pairs in which the defective one scores higher; a tie counts one half.

    Args:
        scores_N: higher is more anomalous; compared in the precision they come in, infinities allowed.
        labels_N: nonzero is defective.

    Returns:
        A value in [0, 1], 0.5 for chance; None where only one kind of label is present.

    Raises:
        ValueError: a NaN score, or scores and labels that are not 1-D of one length.

    Source: Hanley and McNeil 1982 (equality with the Mann-Whitney statistic).
    """
    scores = np.asarray(scores_N)
    defective = np.asarray(labels_N).astype(bool, copy=False)
    if scores.ndim != 1 or scores.shape != defective.shape:
        raise ValueError(f"scores {scores.shape} and labels {defective.shape} must be 1-D and of one length")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} of {scores.size} scores are NaN; they cannot be ranked")
    return auroc_of_sorted(np.sort(scores[~defective]), np.sort(scores[defective]))


def pixel_auroc(maps: Sequence[ArrayLike], masks: Sequence[ArrayLike | None]) -> float | None:
    """AUROC over the pixels of all test images together, good images included.

    Arguments, errors and None as for `pixel_metrics`, which gives the AUPRO from the same sort.
    """
    pixels = label_pixels(maps, masks)
    return auroc_of_sorted(pixels.good, pixels.defective)


def auroc_of_sorted(good: AnyArray, defective: AnyArray) -> float | None:
    """AUROC of two ascending arrays of scores without NaN; None where one is empty.

    The defective scores are sorted for speed only: neighbouring searches then touch the same cache lines.
    """
    if good.size == 0 or defective.size == 0:
        return None
    # below + 0.5 * equal = (left + right) / 2; whole numbers until the one division, hence exact.
    pairs_won_twice = int(good.searchsorted(defective, "left").sum()) + int(good.searchsorted(defective, "right").sum())
    return pairs_won_twice / (2 * good.size * defective.size)
