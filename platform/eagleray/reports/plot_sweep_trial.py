"""Pictures of one trial of a sweep: its classes, its experts with their memory, and what each expert forgot."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eagleray.reports.canvas import (
    FAINT,
    FONT_PT,
    INK,
    MUTED,
    bare,
    blank,
    expert_colour,
    heading,
    label,
    name_ticks,
    panels,
    shortened,
    write,
)
from eagleray.reports.plot_stream import forgetting_lines
from eagleray.reports.plot_sweep import MOST_LETTERS
from eagleray.reports.sweep_rows import Row, setting_of, shown_trial, trial_name
from eagleray.reports.wording import count, figure

BUDGET = "mecad.rows_per_expert"
GAP = 0.5
"""Room between the classes of two experts, in bars."""


def trial_classes(results: Mapping[str, Any]) -> Figure | None:
    """A bar of image AUROC per class, grouped and coloured by expert; None without figures."""
    trial = shown_trial(results)
    if trial is None or all(c["image_auroc"] is None for c in trial["classes"].values()):
        return None
    held = experts_of(trial)
    places = [(expert, name) for expert, names in held.items() for name in names]
    gaps = [GAP * list(held).index(expert) for expert, _ in places]
    y_C = np.arange(len(places)) + np.array(gaps)
    fig, axes = blank(9.4, 1.1 + 0.25 * (y_C[-1] + 1))
    heading(axes, trial_name(results, trial))
    values = [trial["classes"][name]["image_auroc"] for _, name in places]
    low = _floor(values)
    for y, (expert, _), value in zip(y_C, places, values, strict=True):
        _bar(axes, y, value, low, expert_colour(expert), 0.8)
    for expert in held:
        mine = y_C[[place[0] == expert for place in places]]
        text = f"expert {expert}"
        write(axes, 1.0 + 0.08 * (1 - low), mine.mean(), text, color=expert_colour(expert), weight="bold")
    name_ticks(axes, "y", list(y_C), [shortened(name, MOST_LETTERS) for _, name in places])
    axes.set(xlim=(low, 1.0), ylim=(y_C[-1] + 0.6, -0.6))
    axes.grid(axis="x", color=FAINT, lw=0.6)
    label(axes, "image AUROC")
    bare(axes)
    return fig


def trial_experts(results: Mapping[str, Any]) -> Figure | None:
    """Two panels of a bar per expert: image AUROC of its classes, and rows of its bank within its budget."""
    trial = shown_trial(results)
    if trial is None or not trial["experts"]:
        return None
    experts = sorted(map(int, trial["experts"]))
    figures = [trial["experts"][str(expert)] for expert in experts]
    fig, (left, right) = panels(9.4, 1.2 + 0.36 * len(experts), columns=2)
    low = _floor([held["image_auroc"] for held in figures])
    budget = setting_of(results, trial, BUDGET)
    budget = budget if isinstance(budget, int) and budget > 0 else None
    most = max([budget or 0, 1, *(held["rows"] for held in figures)])
    for y, (expert, held) in enumerate(zip(experts, figures, strict=True)):
        colour = expert_colour(expert)
        _bar(left, y, held["image_auroc"], low, colour, 0.66)
        if budget:
            right.barh(y, budget, 0.66, color="none", edgecolor=FAINT, lw=1)
        right.barh(y, held["rows"], 0.66, color=colour)
        used = f"{held['rows']:,}" + (f"  {100 * held['rows'] / budget:.0f} %" if budget else "")
        write(right, most * 1.02, y, used, fontsize=FONT_PT - 0.5)
    for axes, title in (
        (left, f"{trial_name(results, trial)}: image AUROC"),
        (right, "Bank rows" + (f", of {budget:,} allowed" if budget else "")),
    ):
        heading(axes, title)
        axes.set_ylim(len(experts) - 0.4, -0.6)
        axes.grid(axis="x", color=FAINT, lw=0.6)
        bare(axes)
    left.set_xlim(low, 1.0)
    right.set_xlim(0, most)
    right.xaxis.set_major_formatter("{x:,.0f}")
    right.locator_params(axis="x", nbins=5)
    held_words = [
        f"expert {e}: {count(len(f['classes']), 'class', 'classes')}" for e, f in zip(experts, figures, strict=True)
    ]
    name_ticks(left, "y", range(len(experts)), held_words)
    name_ticks(right, "y", [], [])
    return fig


def trial_forgetting(results: Mapping[str, Any]) -> Figure | None:
    """A line of forgetting over the steps for each expert; None with fewer than two steps that have a figure."""
    trial = shown_trial(results)
    if trial is None:
        return None
    lines = {int(e): np.array(held["forgetting"], dtype=float) for e, held in trial["experts"].items()}
    lines = {expert: line_S for expert, line_S in sorted(lines.items()) if np.isfinite(line_S).any()}
    fig = forgetting_lines(lines)
    if fig is not None:
        heading(fig.axes[0], trial_name(results, trial))
    return fig


def experts_of(trial: Row) -> dict[int, list[str]]:
    """Expert -> the classes it holds, from the highest image AUROC to the lowest."""
    held: dict[int, list[str]] = {}
    for name, figures in trial["classes"].items():
        held.setdefault(figures["expert"], []).append(name)
    return {
        expert: sorted(held[expert], key=lambda name: -(trial["classes"][name]["image_auroc"] or 0.0))
        for expert in sorted(held)
    }


def _floor(values: list[float | None]) -> float:
    """Where bars of image AUROC begin: at 0.5, which is guessing, or lower where a figure is."""
    known = [value for value in values if value is not None]
    return min(0.5, float(np.floor(min(known, default=0.5) * 10)) / 10)


def _bar(axes: Axes, y: float, value: float | None, low: float, colour: str, thickness: float) -> None:
    """A bar with its figure; "-" where there is none."""
    if value is not None:
        axes.barh(y, value - low, thickness, left=low, color=colour)
    at = low if value is None else value
    write(axes, at + 0.012 * (1 - low), y, figure(value), fontsize=FONT_PT - 1, color=MUTED if value is None else INK)
