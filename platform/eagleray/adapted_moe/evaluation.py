"""Figures of a design on a category's test pictures: of each subclass, and their mean over the unseen ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eagleray.adapted_moe.dataset import TestImage
from eagleray.arrays import Floats
from eagleray.continual import ExpertPool, PixelTask, pixel_figures
from eagleray.experts import ScoringConfig, image_score
from eagleray.metrics import auroc

FIGURES = ("image_auroc", "pixel_auroc", "aupro")
NO_GOOD, NO_DEFECTIVE, NO_TESTS = "no good test images", "no defective test images", "no test images"
NO_MASKS = "no masks"


@dataclass(frozen=True, slots=True)
class SubclassFigures:
    """What was measured on one subclass's test pictures."""

    subclass: str
    seen: bool
    values: Mapping[str, float | None]
    """By the names of `FIGURES`."""
    reasons: Mapping[str, str]
    num_test_good: int
    num_test_defective: int


@dataclass(frozen=True, slots=True)
class Scored:
    """A design's patch scores of some test pictures."""

    tests: Sequence[TestImage]
    patch_scores_NHW: Floats


def image_scores(patch_scores_NHW: Floats, scoring: ScoringConfig) -> Floats:
    """Score (N,) of each picture."""
    return np.array([image_score(grid_HW, scoring) for grid_HW in patch_scores_NHW], np.float32)


def evaluate(
    scored: Sequence[Scored], pool: ExpertPool, scoring: ScoringConfig, *, sigma: float
) -> list[list[SubclassFigures]]:
    """Figures of each subclass, for each of some designs; localisation is measured in parallel.

    Args:
        scored: patch scores, with the pictures they are of.
        pool: measures.
        scoring: how a picture's score follows from its patches.
        sigma: blur of the anomaly maps, in pixels of the picture.
    """
    parts = [(entry, name, images) for entry in scored for name, images in _by_subclass(entry.tests).items()]
    tasks = [_pixel_task(entry, images, sigma) for entry, _, images in parts]
    found = iter(pool.map(pixel_figures, [task for task in tasks if task]))
    figures: dict[int, list[SubclassFigures]] = {id(entry): [] for entry in scored}
    for (entry, name, images), task in zip(parts, tasks, strict=True):
        pixels = next(found) if task else None
        figures[id(entry)].append(_figures(entry, name, images, pixels, scoring))
    return [figures[id(entry)] for entry in scored]


def decisive(tests: Sequence[TestImage]) -> tuple[int, ...]:
    """Numbers of the test pictures that a `headline` is about: of unseen subclasses, or all where none is unseen."""
    return tuple(number for number, test in enumerate(tests) if not test.seen) or tuple(range(len(tests)))


def headline(figures: Sequence[SubclassFigures], name: str) -> tuple[float | None, str | None]:
    """Mean of a figure over the unseen subclasses that have it, or over all where none is unseen; else why not."""
    unseen = [one for one in figures if not one.seen] or list(figures)
    values = [value for one in unseen if (value := one.values[name]) is not None]
    if values:
        return float(np.mean(values)), None
    reasons = dict.fromkeys(one.reasons[name] for one in unseen)
    return None, "; ".join(reasons) or NO_TESTS


def spread(found: Sequence[tuple[float | None, str | None]]) -> dict[str, Any]:
    """Mean and deviation over seeds; null with the reason where a seed has no figure."""
    values = [value for value, _ in found if value is not None]
    if len(values) < len(found) or not found:
        return {"mean": None, "std": None, "values": [], "reason": next((r for _, r in found if r), NO_TESTS)}
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "values": values}


def _by_subclass(tests: Sequence[TestImage]) -> dict[str, list[int]]:
    images: dict[str, list[int]] = {}
    for number, test in enumerate(tests):
        images.setdefault(test.subclass, []).append(number)
    return images


def _pixel_task(entry: Scored, images: Sequence[int], sigma: float) -> PixelTask | None:
    """Of one subclass; defective pictures without a mask are left out. None where no figure can be had."""
    samples = {image: entry.tests[image].sample for image in images}
    if not any(sample.mask for sample in samples.values()):
        return None
    usable = [image for image, sample in samples.items() if sample.label == 0 or sample.mask]
    return PixelTask(
        tuple(samples[image].path for image in usable),
        tuple(samples[image].mask for image in usable),
        tuple(entry.patch_scores_NHW[image] for image in usable),
        sigma,
    )


def _figures(
    entry: Scored,
    name: str,
    images: Sequence[int],
    pixels: Mapping[str, float | None] | None,
    scoring: ScoringConfig,
) -> SubclassFigures:
    labels = np.array([entry.tests[image].sample.label for image in images], np.int64)
    good, defective = int((labels == 0).sum()), int((labels == 1).sum())
    scores = image_scores(entry.patch_scores_NHW[np.asarray(images, np.intp)], scoring)
    values = {"image_auroc": auroc(scores, labels), **(pixels or {"pixel_auroc": None, "aupro": None})}
    reasons = {}
    if values["image_auroc"] is None:
        reasons["image_auroc"] = NO_DEFECTIVE if good else NO_GOOD
    for figure in ("pixel_auroc", "aupro"):
        if values[figure] is None:
            reasons[figure] = NO_MASKS if defective else NO_DEFECTIVE
    return SubclassFigures(name, entry.tests[images[0]].seen, values, reasons, good, defective)
