"""Figures of one class from its verdicts; where a figure cannot exist it is None and the reason is in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eagleray.arrays import Bools, Floats
from eagleray.continual.evaluation import Verdict
from eagleray.features import image_size, load_mask
from eagleray.metrics import anomaly_map, auroc, pixel_metrics

FPR_LIMIT = 0.3
"""Integration limit of AUPRO."""


@dataclass(frozen=True, slots=True)
class PixelTask:
    """Everything that the localisation figures of one class need; light enough to be sent to a worker."""

    paths: tuple[str, ...]
    masks: tuple[str | None, ...]
    """Mask file of each defective picture; None for a good one."""
    patch_scores_HW: tuple[Floats, ...] = field(repr=False)
    sigma: float


def pixel_task(verdicts: Sequence[Verdict], sigma: float) -> PixelTask | str:
    """The task of one class, or why it has none. Defective pictures without a mask are left out."""
    if not any(verdict.sample.mask for verdict in verdicts):
        defective = any(verdict.sample.label for verdict in verdicts)
        return "no masks" if defective else "no defective test images"
    usable = [v for v in verdicts if v.sample.label == 0 or v.sample.mask]
    return PixelTask(
        tuple(v.sample.path for v in usable),
        tuple(v.sample.mask for v in usable),
        tuple(v.patch_scores_HW for v in usable),
        sigma,
    )


def pixel_figures(task: PixelTask) -> dict[str, float | None]:
    """Pixel AUROC and AUPRO of one class, on anomaly maps at the size of each picture."""
    masks = [load_mask(path) if path else None for path in task.masks]
    found = pixel_metrics(_heat_maps(task, masks), masks, fpr_limits=(FPR_LIMIT,))
    return {"pixel_auroc": found.pixel_auroc, "aupro": found.aupro[FPR_LIMIT]}


def _heat_maps(task: PixelTask, masks: Sequence[Bools | None]) -> Iterator[Floats]:
    """The anomaly map (Y, X) of each picture, made when it is asked for: all at once are 4 bytes a pixel."""
    for path, mask_YX, grid_HW in zip(task.paths, masks, task.patch_scores_HW, strict=True):
        yield anomaly_map(grid_HW, image_size(path) if mask_YX is None else mask_YX.shape, sigma=task.sigma)


def image_figures(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Image AUROC and the errors at the threshold."""
    labels = np.array([verdict.sample.label for verdict in verdicts], dtype=np.int64)
    flagged = np.array([verdict.flagged for verdict in verdicts], dtype=bool)
    return {
        "image_auroc": auroc(np.array([verdict.score for verdict in verdicts], np.float32), labels),
        "num_test_good": int((labels == 0).sum()),
        "num_test_defective": int((labels == 1).sum()),
        "false_alarms": int((flagged & (labels == 0)).sum()),
        "missed": int((~flagged & (labels == 1)).sum()),
    }


def routing_accuracy(judged: Mapping[str, Sequence[Verdict]]) -> float | None:
    """Share of test images that were sent to their own class; None without any."""
    correct = [v.routed_class == v.sample.category for verdicts in judged.values() for v in verdicts]
    return float(np.mean(correct)) if correct else None


def why_no_auroc(figures: dict[str, Any]) -> str:
    """Why a class has no image AUROC."""
    if figures["num_test_defective"] == 0:
        return "no test images" if figures["num_test_good"] == 0 else "no defective test images"
    return "no good test images"
