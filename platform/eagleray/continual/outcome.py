"""The closing figures of a run, in the form of ``results.json`` and ``scores.parquet``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eagleray.continual.controls import NOTES, Control
from eagleray.continual.evaluation import EvaluationConfig, Verdict
from eagleray.continual.figures import (
    PixelTask,
    image_figures,
    pixel_figures,
    pixel_task,
    routing_accuracy,
    why_no_auroc,
)
from eagleray.continual.model import Model
from eagleray.continual.pool import ExpertPool
from eagleray.metrics import forgetting_report, threshold

FIGURES = ("image_auroc", "pixel_auroc", "aupro", "forgetting")


def stream_figures(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The matrix of image AUROCs and what follows from it, from what each step found."""
    order = list(dict.fromkeys(step["class"] for step in steps))
    matrix = [[step["image_auroc"].get(name) for name in order] for step in steps]
    values_SC = np.array([[np.nan if v is None else v for v in row] for row in matrix], dtype=np.float64)
    learned_at = [row for row, step in enumerate(steps) if step["op"] == "learn"]
    report = forgetting_report(_by_learning(steps, learned_at), learned_at)
    stream = []
    for step, values_C, forgetting in zip(steps, values_SC, report.mean_forgetting_by_step, strict=True):
        entry = {key: value for key, value in step.items() if key not in ("version", "image_auroc")}
        mean = None if np.isnan(values_C).all() else float(np.nanmean(values_C))
        stream.append({**entry, "mean_image_auroc": mean, "mean_forgetting": forgetting})
    return {
        "order": order,
        "stream": stream,
        "matrix": matrix,
        "step_average": report.step_average,
        # By the order of learning, so that of a class learned again its last learning stays.
        "forgetting": {steps[row]["class"]: value for row, value in zip(learned_at, report.forgetting, strict=True)},
    }


def _by_learning(steps: Sequence[Mapping[str, Any]], learned_at: Sequence[int]) -> NDArray[np.float64]:
    """Image AUROCs (S, L), a column for each learning: what was removed on purpose is not forgotten by the next one."""
    values_SL = np.full((len(steps), len(learned_at)), np.nan)
    column: dict[str, int] = {}
    for row, step in enumerate(steps):
        if step["op"] == "learn":
            column[step["class"]] = learned_at.index(row)
        for name, value in step["image_auroc"].items():
            values_SL[row, column[name]] = np.nan if value is None else value
    return values_SL


def class_figures(
    model: Model,
    judged: Mapping[str, Sequence[Verdict]],
    forgetting: Mapping[str, float | None],
    routed: Mapping[str, Sequence[Verdict]],
    pool: ExpertPool,
    config: EvaluationConfig,
) -> dict[str, dict[str, Any]]:
    """Figures of every class that the model knows; localisation is measured in parallel.

    Args:
        model: the final model.
        judged: verdicts that the figures are made of.
        forgetting: by class.
        routed: verdicts with the class found from the image, for the routing accuracy.
        pool: does the localisation.
        config: false-alarm rate and blur.
    """
    tasks = {name: pixel_task(judged.get(name, ()), config.heatmap_sigma) for name in model.banks}
    measurable = {name: task for name, task in tasks.items() if isinstance(task, PixelTask)}
    pixels = dict(zip(measurable, pool.map(pixel_figures, list(measurable.values())), strict=True))
    classes = {}
    for name, stored in model.banks.items():
        figures = image_figures(judged.get(name, ()))
        bank, task = stored.bank, tasks[name]
        limit = threshold(bank.calibration_N, config.false_alarm_rate)
        reasons = {}
        if figures["image_auroc"] is None:
            reasons["image_auroc"] = why_no_auroc(figures)
        if isinstance(task, str):
            reasons |= {"pixel_auroc": task, "aupro": task}
        elif pixels[name]["pixel_auroc"] is None:
            reasons |= dict.fromkeys(("pixel_auroc", "aupro"), "the masks mark no pixel, or every pixel")
        if not judged.get(name):
            reasons["routing_accuracy"] = "no test images"
        if forgetting.get(name) is None:
            reasons["forgetting"] = reasons.get("image_auroc", "nothing was learned after it")
        classes[name] = {
            **figures,
            **pixels.get(name, {"pixel_auroc": None, "aupro": None}),
            "routing_accuracy": routing_accuracy({name: routed.get(name, ())}),
            "expert": model.experts[name],
            "forgetting": forgetting.get(name),
            "rows": stored.num_rows,
            "threshold": limit.value,
            "attained_false_alarm_rate": limit.attained_rate,
            "num_train": bank.num_images,
            "num_calibration": len(bank.calibration_N),
            "reasons": reasons,
        }
    return classes


def means(classes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Plain mean of each figure over the classes that have it."""
    found: dict[str, Any] = {"reasons": {}}
    for figure in FIGURES:
        values = [figures[figure] for figures in classes.values() if figures[figure] is not None]
        found[figure] = float(np.mean(values)) if values else None
        if not values:
            found["reasons"][figure] = "no class has this figure"
    return found


def control_figures(found: Mapping[str, Control]) -> dict[str, dict[str, Any]]:
    """Each control with its mean over classes."""
    figures = {}
    for name, control in found.items():
        values = [value for value in control.image_auroc.values() if value is not None]
        figures[name] = {
            "image_auroc": float(np.mean(values)) if values else None,
            "classes": dict(control.image_auroc),
            "rows": control.rows,
            "note": NOTES[name],
        }
    return figures


def score_rows(model: Model, judged: Mapping[str, Sequence[Verdict]]) -> list[dict[str, Any]]:
    """One row per test image, in the columns of ``scores.parquet``."""
    return [
        {
            "class": name,
            "path": verdict.sample.path,
            "label": verdict.sample.label,
            "defect": verdict.sample.defect,
            "score": verdict.score,
            "p_value": verdict.p_value,
            "flagged": verdict.flagged,
            "expert": model.experts[name],
            "routed_expert": verdict.routed_expert,
            "routed_class": verdict.routed_class,
        }
        for name, verdicts in judged.items()
        for verdict in verdicts
    ]
