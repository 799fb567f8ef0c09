"""One judge for all contestants: raw scores and maps as they wrote them, our metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.pictures import Product
from eagleray.arrays import AnyArray
from eagleray.metrics import auroc, forgetting_report, pixel_metrics

_FPR_LIMIT = 0.3
_BORDER = 6
"""Patches on a grid of stride 8 that the outermost patch of stride 32 has a part in: four, and two by interpolation."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of one contestant on one product; None where the product has no masks."""

    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None


def judged(scores_file: Path, product: Product) -> Accuracy:
    """Judge what a contestant wrote of a product's test pictures; defective ones without a mask count as images."""
    with np.load(scores_file) as found:
        scores_N, maps_NYX = found["scores"], found["maps"]
    image = auroc(scores_N, product.labels)
    masks = product.load_masks()
    masked = [i for i, mask in enumerate(masks) if mask is not None or not product.labels[i]]
    pixels = pixel_metrics([maps_NYX[i] for i in masked], [masks[i] for i in masked], fpr_limits=(_FPR_LIMIT,))
    return Accuracy(image, pixels.pixel_auroc, pixels.aupro[_FPR_LIMIT])


def disagreement(ours_HWD: AnyArray, theirs_HWD: AnyArray) -> float:
    """Largest difference of two contestants' patches of one picture, as a share of the largest value.

    Without the border, where one pools over zeros and the other over what is there.
    """
    inner = slice(_BORDER, -_BORDER)
    ours, theirs = ours_HWD[inner, inner], theirs_HWD[inner, inner]
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def judged_stream(
    steps: Sequence[Mapping[str, Sequence[float]]], labels: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Final average and forgetting of image AUROC from the scores after each step.

    Args:
        steps: after each product was learned, scores of the test pictures by product; of products to come they are
            left out of account.
        labels: of those pictures, in the order of the stream.
    """
    names = list(labels)
    matrix_SC = np.full((len(steps), len(names)), np.nan)
    for step, scores in enumerate(steps):
        for number, name in enumerate(names[: step + 1]):
            found = auroc(np.array(scores[name]), labels[name])
            matrix_SC[step, number] = np.nan if found is None else found
    report = forgetting_report(matrix_SC, list(range(len(names))))
    return {
        "final_average": report.final_average,
        "forgetting": report.mean_forgetting,
        "matrix": [[None if np.isnan(v) else float(v) for v in row] for row in matrix_SC],
    }
