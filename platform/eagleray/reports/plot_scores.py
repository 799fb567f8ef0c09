"""Pictures of the scores: good against defective images of each class, and the run against its controls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from eagleray.arrays import AnyArray
from eagleray.reports.canvas import (
    BLUE,
    DEFECTIVE,
    FAINT,
    FONT_PT,
    GOOD,
    INK,
    MUTED,
    bare,
    beside,
    blank,
    label,
    name_ticks,
    shortened,
)
from eagleray.reports.wording import CONTROLS, class_names, controls_in_order, count, figure

MOST_CLASSES = 30
"""Most classes in one picture of scores; of more, those told apart worst are shown."""
LOWEST, HIGHEST = 0.25, 8.0
"""Range of score / threshold that is drawn; what lies beyond is drawn at the edge."""


def classes_with_scores(results: Mapping[str, Any], scores: pa.Table) -> list[str]:
    """Classes that have a threshold and scored images, worst image AUROC last to be cut, at most `MOST_CLASSES`."""
    classes, scored = results["classes"], set(scores["class"].to_pylist())
    names = [n for n in class_names(results) if n in scored and (classes[n]["threshold"] or 0) > 0]
    if len(names) <= MOST_CLASSES:
        return names
    auroc = {name: classes[name]["image_auroc"] for name in names}
    return sorted(names, key=lambda n: 2.0 if auroc[n] is None else auroc[n])[:MOST_CLASSES]


def score_strips(results: Mapping[str, Any], scores: pa.Table) -> Figure | None:
    """One strip per class of score / threshold, good images above and defective ones below its line."""
    names = classes_with_scores(results, scores)
    if not names:
        return None
    rng = np.random.default_rng(0)  # only jitters dots; the same picture every time
    fig, axes = blank(9.4, 1.0 + 0.44 * len(names))
    axes.set_xscale("log", base=2)
    axes.axvline(1.0, color=INK, lw=1.2)
    columns = {name: scores[name].to_numpy(zero_copy_only=False) for name in ("class", "label", "score", "flagged")}
    drawn: list[AnyArray] = [np.array([0.5, 2.0])]
    for row, name in enumerate(names):
        mine = columns["class"] == name
        ratio_N = columns["score"][mine] / results["classes"][name]["threshold"]
        ratio_N = np.clip(np.nan_to_num(ratio_N, nan=LOWEST), LOWEST, HIGHEST)
        label_N, flagged_N = columns["label"][mine], columns["flagged"][mine]
        for value, colour, side in ((0, GOOD, -0.2), (1, DEFECTIVE, 0.2)):
            dots = ratio_N[label_N == value]
            y = row + side + rng.uniform(-0.11, 0.11, len(dots))
            wrong = flagged_N[label_N == value].astype(bool) != bool(value)
            axes.scatter(dots[~wrong], y[~wrong], s=11, color=colour, alpha=0.4, linewidth=0)
            axes.scatter(dots[wrong], y[wrong], s=22, color=colour, edgecolor="white", linewidth=0.5, zorder=3)
        beside(axes, 1.01, row, _mistakes(results["classes"][name]), color=MUTED, fontsize=FONT_PT - 1)
        drawn.append(ratio_N)
        axes.axhline(row + 0.5, color=FAINT, lw=0.6)
    low, high = np.concatenate(drawn).min(), np.concatenate(drawn).max()
    axes.set(xlim=(low * 0.94, high * 1.06), ylim=(len(names) - 0.5, -0.5))
    ticks = [t for t in (0.25, 0.35, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8) if low * 0.94 <= t <= high * 1.06]
    axes.set_xticks(ticks, labels=["threshold" if t == 1 else f"{t:g}×" for t in ticks])
    axes.minorticks_off()
    name_ticks(axes, "y", range(len(names)), [shortened(n) for n in names])
    bare(axes)
    beside(axes, 0.0, -0.75, "●  good images, upper line", color=GOOD, weight="bold")
    beside(axes, 0.38, -0.75, "●  defective images, lower line", color=DEFECTIVE, weight="bold")
    label(axes, "image score, as a multiple of the class's threshold")
    return fig


def _mistakes(values: Mapping[str, Any]) -> str:
    alarms, missed = values["false_alarms"], values["missed"]
    parts = [count(alarms, "false alarm")] if alarms else []
    parts += [f"{missed} missed"] if missed else []
    return ", ".join(parts) or ("" if alarms is None and missed is None else "no mistake")


def controls_compared(results: Mapping[str, Any]) -> Figure | None:
    """A row of dots per control: its mean image AUROC, and the classes behind it."""
    controls = results["controls"]
    names = [name for name in controls_in_order(results) if controls[name]["image_auroc"] is not None]
    if len(names) < 2:
        return None
    fig, axes = blank(9.4, 0.8 + 0.5 * len(names))
    lowest = 1.0
    for row, name in enumerate(names):
        mean = controls[name]["image_auroc"]
        each = [value for value in controls[name]["classes"].values() if value is not None]
        lowest = min(lowest, mean, *each) if each else min(lowest, mean)
        colour = BLUE if name == "routed" else MUTED
        axes.axhline(row, color=FAINT, lw=0.6)
        axes.scatter(each, [row] * len(each), s=16, color=colour, alpha=0.35, linewidth=0)
        axes.scatter([mean], [row], s=95, color=colour, edgecolor="white", linewidth=1.2, zorder=3)
        rows = controls[name]["rows"]
        beside(axes, 1.02, row, figure(mean), weight="bold", color=colour, fontsize=11)
        beside(axes, 1.12, row, "" if rows is None else f"{rows:,} rows", color=MUTED)
    axes.set(xlim=(lowest - 0.02, 1.0), ylim=(len(names) - 0.5, -0.5))
    name_ticks(axes, "y", range(len(names)), [shortened(CONTROLS.get(n, (n, ""))[0], 26) for n in names])
    axes.tick_params(axis="y", labelsize=FONT_PT + 0.5)
    bare(axes)
    label(axes, "image AUROC: large dot the mean, small dots the classes")
    return fig
