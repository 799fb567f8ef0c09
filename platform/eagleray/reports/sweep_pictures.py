"""The pictures of a sweep with their words, for `eagleray.reports.plots`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eagleray.reports.plot_sweep import merit_scatter, sweep_classes, sweep_curves
from eagleray.reports.plot_sweep_trial import experts_of, trial_classes, trial_experts, trial_forgetting
from eagleray.reports.sweep_rows import (
    Row,
    best_point,
    class_names,
    mean_by_class,
    merit_agreement,
    merit_pairs,
    point_name,
    point_order,
    shown_trial,
    trial_name,
)
from eagleray.reports.wording import count, figure, listed, signed

_Draw = Callable[[Mapping[str, Any], object], Figure | None]


def _alt_curves(results: Row) -> str:
    told = [
        f"{point_name(results, number)} {figure(point['image_auroc']['mean'])}, "
        f"forgetting {signed(point['forgetting']['mean'])}"
        for number in point_order(results)
        for point in [results["points"][number]]
    ]
    return f"Lines of mean forgetting and mean image AUROC over the points: {'; '.join(told)}."


def _alt_classes(results: Row) -> str:
    best, means = best_point(results, "image_auroc"), mean_by_class(results)
    if best is None:
        return "Heat map of image AUROC by class and point."
    column = means[:, point_order(results).index(best)]
    told = [
        f"{n} {figure(None if np.isnan(v) else float(v))}" for n, v in zip(class_names(results), column, strict=True)
    ]
    return f"Heat map of image AUROC by class and point. At {point_name(results, best)}: {listed(told, 20)}."


def _alt_merit(results: Row) -> str:
    agreement = merit_agreement(results)
    text = f"Scatter of merit and image AUROC of {count(len(merit_pairs(results)), 'trial')}"
    return f"{text}; rank correlation {signed(agreement, 2)}." if agreement is not None else f"{text}."


def _alt_trial_classes(results: Row) -> str:
    trial = shown_trial(results)
    if trial is None:
        return ""
    told = [
        f"expert {expert}: {listed([f'{n} ' + figure(trial['classes'][n]['image_auroc']) for n in names], 12)}"
        for expert, names in experts_of(trial).items()
    ]
    return f"Bars of image AUROC per class, {trial_name(results, trial)}. {'; '.join(told)}."


def _alt_trial_experts(results: Row) -> str:
    trial = shown_trial(results)
    if trial is None:
        return ""
    told = [f"expert {e} {figure(held['image_auroc'])}, {held['rows']:,} rows" for e, held in trial["experts"].items()]
    return f"Bars of image AUROC and of bank rows per expert: {'; '.join(told)}."


def _alt_trial_forgetting(results: Row) -> str:
    trial = shown_trial(results)
    if trial is None:
        return ""
    ends = {e: [v for v in held["forgetting"] if v is not None][-1:] for e, held in trial["experts"].items()}
    told = [f"expert {expert} {signed(last[0])}" for expert, last in ends.items() if last]
    return f"Lines of forgetting per expert over {count(trial['steps'], 'step')}. At the end: {'; '.join(told)}."


PICTURES: dict[str, tuple[str, _Draw, str, Callable[[Row], str]]] = {
    "sweep_curves": (
        "Forgetting and image AUROC",
        lambda results, _: sweep_curves(results),
        "A thin line is one order of the classes with one seed: where all move together, the point matters; where they "
        "cross, chance does. Forgetting is image AUROC now minus image AUROC when a class was learned: below zero, "
        "something was forgotten.",
        _alt_curves,
    ),
    "merit": (
        "How well merit predicts",
        lambda results, _: merit_scatter(results),
        "Small dots are trials, large ones the means of points. Merit chose, before any test picture was looked at. "
        "Where dots rise to the right, it chose well; dots above the line would have been better choices.",
        _alt_merit,
    ),
    "sweep_classes": (
        "Image AUROC of every class at every point",
        lambda results, _: sweep_classes(results),
        "After the last step, the mean over orders and seeds. Read a row to see whether the point matters to a class.",
        _alt_classes,
    ),
    "trial_classes": (
        "Classes by expert",
        lambda results, _: trial_classes(results),
        "The classes of one trial, named above the bars, after its last step. Bars begin at 0.5, which is guessing, or "
        "lower where a figure is.",
        _alt_trial_classes,
    ),
    "trial_experts": (
        "Image AUROC and memory of each expert",
        lambda results, _: trial_experts(results),
        "The mean over the classes an expert holds, and its memory, in one trial. The outline is the rows that it may "
        "hold; the share is what it uses of them.",
        _alt_trial_experts,
    ),
    "trial_forgetting": (
        "Forgetting of each expert",
        lambda results, _: trial_forgetting(results),
        "The mean over the classes an expert holds, after each step of one trial: below zero, something was forgotten.",
        _alt_trial_forgetting,
    ),
}
"""File name -> title, how to draw, caption, alternative text; in the order of the report."""
