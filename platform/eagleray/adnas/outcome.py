"""The figures of trained networks on the test pictures, in the form of ``results.json`` and ``scores.parquet``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eagleray.adnas.pictures import CategoryPictures
from eagleray.arrays import Floats
from eagleray.continual import EvaluationConfig, PixelTask, Verdict, means, pixel_figures, write_examples
from eagleray.experts import ScoringConfig, image_score
from eagleray.metrics import auroc, p_value, threshold
from eagleray.trials import TrialRunner

FIGURES = ("image_auroc", "pixel_auroc", "aupro")


@dataclass(frozen=True, slots=True)
class Scored:
    """What a network says of one category's pictures."""

    data: CategoryPictures
    validation_NHW: Floats
    """Patch scores of held-out good pictures."""
    test_NHW: Floats
    """Patch scores of the test pictures."""


def split_scores(categories: Sequence[CategoryPictures], validation_NHW: Floats, test_NHW: Floats) -> list[Scored]:
    """Scores of all categories' pictures together, cut by category."""
    found, held, tested = [], 0, 0
    for data in categories:
        ends = held + len(data.validation), tested + len(data.test)
        found.append(Scored(data, validation_NHW[held : ends[0]], test_NHW[tested : ends[1]]))
        held, tested = ends
    return found


def figures(
    rows: Sequence[Scored], scoring: ScoringConfig, *, sigma: float, runner: TrialRunner
) -> list[dict[str, Any]]:
    """The figures of each row by the names of `FIGURES`, and why one is missing under ``reasons``.

    Args:
        rows: categories, of one network or of several.
        scoring: how a picture's score follows from its patches.
        sigma: blur of the anomaly maps, in pixels of the picture.
        runner: carries out the measuring of pixels.
    """
    tasks = {number: _pixel_task(row, sigma) for number, row in enumerate(rows)}
    kept = {number: task for number, task in tasks.items() if task is not None}
    pixels = dict(zip(kept, runner.map(pixel_figures, list(kept.values())), strict=True))
    found = []
    for number, row in enumerate(rows):
        labels = np.array([test.sample.label for test in row.data.tests], np.int64)
        values = {
            "image_auroc": auroc(image_scores(row.test_NHW, scoring), labels),
            **pixels.get(number, {"pixel_auroc": None, "aupro": None}),
        }
        found.append({**values, "reasons": {name: _reason(name, labels) for name in FIGURES if values[name] is None}})
    return found


def image_scores(patch_scores_NHW: Floats, scoring: ScoringConfig) -> Floats:
    """Score (N,) of each picture."""
    return np.array([image_score(grid_HW, scoring) for grid_HW in patch_scores_NHW], np.float32)


def mean_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean of each figure over the categories that have it."""
    found: dict[str, float | None] = {}
    for name in FIGURES:
        values = [row[name] for row in rows if row[name] is not None]
        found[name] = float(np.mean(values)) if values else None
    return found


def closing(
    rows: Sequence[Scored],
    measured: Sequence[Mapping[str, Any]],
    *,
    scoring: ScoringConfig,
    evaluation: EvaluationConfig,
    out: Path,
) -> dict[str, Any]:
    """What the kept network shows on the test pictures; writes the example pictures.

    Args:
        rows: its scores, by category.
        measured: the `figures` of those rows.
        scoring: how a picture's score follows from its patches.
        evaluation: false-alarm rate and blur.
        out: folder of the run.
    """
    classes, judged, scores = {}, {}, []
    for row, values in zip(rows, measured, strict=True):
        good_N = np.sort(image_scores(row.validation_NHW, scoring))
        limit = threshold(good_N, evaluation.false_alarm_rate)
        verdicts = [
            _verdict(row, number, score, good_N, limit.value)
            for number, score in enumerate(image_scores(row.test_NHW, scoring))
        ]
        judged[row.data.name] = verdicts
        scores += [_score_row(row.data.name, verdict) for verdict in verdicts]
        classes[row.data.name] = {
            **{name: values[name] for name in FIGURES},
            "expert": 0,
            "forgetting": None,
            "rows": 0,
            "threshold": limit.value,
            "attained_false_alarm_rate": limit.attained_rate,
            "routing_accuracy": None,
            "false_alarms": sum(one.flagged for one in verdicts if not one.sample.label),
            "missed": sum(not one.flagged for one in verdicts if one.sample.label),
            "num_train": len(row.data.train),
            "num_calibration": len(row.data.validation),
            "num_test_good": sum(not one.sample.label for one in verdicts),
            "num_test_defective": sum(one.sample.label for one in verdicts),
            "reasons": {
                **values["reasons"],
                "forgetting": "everything is learned at once",
                "routing_accuracy": "one network judges all categories",
            },
        }
    return {
        "order": list(classes),
        "stream": [],
        "matrix": [],
        "step_average": None,
        "controls": {},
        "routing_accuracy": None,
        "classes": classes,
        "mean": means(classes),
        "examples": write_examples(out, judged, sigma=evaluation.heatmap_sigma),
        "scores": scores,
    }


def _verdict(row: Scored, number: int, score: np.float32, good_N: Floats, limit: float) -> Verdict:
    return Verdict(
        sample=row.data.tests[number].sample,
        score=float(score),
        p_value=float(p_value(float(score), good_N)),
        flagged=bool(score > limit),
        routed_class=row.data.name,
        routed_expert=0,
        patch_scores_HW=row.test_NHW[number],
        patch_limit=float(good_N.max()),
    )


def _score_row(category: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "class": category,
        "path": verdict.sample.path,
        "label": verdict.sample.label,
        "defect": verdict.sample.defect,
        "score": verdict.score,
        "p_value": verdict.p_value,
        "flagged": verdict.flagged,
        "expert": 0,
        "routed_expert": 0,
        "routed_class": category,
        "subclass": None,
    }


def _pixel_task(row: Scored, sigma: float) -> PixelTask | None:
    """Defective pictures without a mask are left out; None where no figure can be had."""
    samples = [test.sample for test in row.data.tests]
    if not any(sample.mask for sample in samples):
        return None
    usable = [number for number, sample in enumerate(samples) if sample.label == 0 or sample.mask]
    return PixelTask(
        tuple(samples[number].path for number in usable),
        tuple(samples[number].mask for number in usable),
        tuple(row.test_NHW[number] for number in usable),
        sigma,
    )


def _reason(name: str, labels: np.ndarray[Any, Any]) -> str:
    if not len(labels):
        return "no test images"
    if not labels.any():
        return "no defective test images"
    return "no good test images" if name == "image_auroc" else "no masks"
