"""Pictures of a sweep over its points: each class, forgetting and AUROC with their spread, and how far merit leads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from eagleray.arrays import AnyArray
from eagleray.reports.canvas import (
    BLUE,
    FAINT,
    FONT_PT,
    MUTED,
    VERMILLION,
    beside,
    blank,
    heading,
    label,
    name_ticks,
    panels,
    shortened,
)
from eagleray.reports.labels import boxes_along, name_point, place_labels
from eagleray.reports.plot_heat import heat_map, shade_bar
from eagleray.reports.sweep_rows import (
    Row,
    axis_name,
    axis_values,
    class_names,
    complete,
    is_log,
    is_space,
    mean_by_class,
    point_order,
    tick_name,
)

MOST_ANNOTATED = 16
"""Most points for which every cell of the heat map carries its figure."""
MOST_LETTERS = 28
"""Of a class's name on an axis."""
PANELS = {"forgetting": "Mean forgetting", "image_auroc": "Mean image AUROC"}
HIGHEST = 1.003
"""Top of an axis of image AUROC, so that a dot at 1 is whole."""
LEAST_RANGE = 0.05
"""A smaller range of figures is not drawn any larger: a few thousandths are not a drama."""


def sweep_classes(results: Mapping[str, Any]) -> Figure | None:
    """Heat map of image AUROC, classes down and points across, their mean last; None with fewer than two figures."""
    auroc_CP = mean_by_class(results)
    if np.isfinite(auroc_CP).sum() < 2:
        return None
    points, names = point_order(results), class_names(results)
    means = [results["points"][number]["image_auroc"]["mean"] for number in points]
    auroc_RP = np.vstack([auroc_CP, np.array(means, dtype=float)])
    annotated = len(points) <= MOST_ANNOTATED
    height = 0.34 if len(names) <= 15 else 0.27
    fig, axes = blank(9.4, 1.0 + height * len(auroc_RP))
    mesh = heat_map(axes, auroc_RP, annotated=annotated)
    axes.axhline(len(names) - 0.5, color="white", lw=5)
    name_ticks(axes, "y", range(len(auroc_RP)), [*(shortened(name, MOST_LETTERS) for name in names), "mean"])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    every = 1 if annotated else -(-len(points) // 20)
    shown = range(0, len(points), every)
    name_ticks(axes, "x", [at + 1 for at in shown], [tick_name(results, points[at]) for at in shown])
    label(axes, "point, from the best merit to the worst" if is_space(results) else axis_name(results))
    if not annotated:
        shade_bar(axes, mesh)
    return fig


def sweep_curves(results: Mapping[str, Any]) -> Figure | None:
    """Forgetting and mean image AUROC over the points: every trial faint, the mean bold with a band of its spread."""
    points = point_order(results)
    if is_space(results) or len(points) < 2 or not any(_known(results, key) for key in PANELS):
        return None
    fig, places = panels(9.4, 3.9, columns=2)
    values = axis_values(results)
    x_P = np.arange(len(points), dtype=float) if values is None else np.array([values[number] for number in points])
    at = dict(zip(points, x_P, strict=True))
    for axes, (key, title) in zip(places, PANELS.items(), strict=True):
        heading(axes, title)
        _axis(axes, results, x_P)
        _trials(axes, results, key, at)
        _means(axes, [results["points"][number][key] for number in points], x_P)
        _widen(axes, key)
    _legend(fig, results)
    return fig


def _known(results: Row, key: str) -> bool:
    return any(trial[key] is not None for trial in results["trials"])


def _axis(axes: Axes, results: Row, x_P: AnyArray) -> None:
    names = [tick_name(results, number) for number in point_order(results)]
    crowded = len(names) > 10 or max(map(len, names)) > 6
    if is_log(results):
        axes.set_xscale("log", base=2)
    name_ticks(axes, "x", list(x_P), names)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(list(x_P)))
    if crowded:
        axes.tick_params(axis="x", labelrotation=45, labelsize=FONT_PT - 1)
    axes.grid(axis="y", color=FAINT, lw=0.6)
    label(axes, axis_name(results))


def _trials(axes: Axes, results: Row, key: str, at: Mapping[int, float]) -> None:
    """A faint line per order and seed through its complete trials, and a hollow dot for a trial that was stopped."""
    lines: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for trial in results["trials"]:
        if trial[key] is None:
            continue
        where = (at[trial["point"]], trial[key])
        if trial["ended"] == "complete":
            lines.setdefault((trial["order"], trial["seed"]), []).append(where)
        else:
            axes.plot(
                *where, marker="o", ms=4, color="white", markeredgecolor=VERMILLION, markeredgewidth=0.9, zorder=2.5
            )
    for places in lines.values():
        axes.plot(*zip(*sorted(places), strict=True), color=MUTED, lw=0.8, alpha=0.4, marker="o", ms=2.6, zorder=2)


def _means(axes: Axes, spreads: list[Row], x_P: AnyArray) -> None:
    mean_P = np.array([spread["mean"] for spread in spreads], dtype=float)
    std_P = np.array([spread["std"] or 0.0 for spread in spreads], dtype=float)
    axes.fill_between(x_P, mean_P - std_P, mean_P + std_P, color=BLUE, alpha=0.16, lw=0)
    axes.plot(x_P, mean_P, color=BLUE, lw=2.6, marker="o", ms=6, markeredgecolor="white", zorder=3)


def _widen(axes: Axes, key: str) -> None:
    bottom, top = axes.get_ylim()
    if key == "forgetting":
        axes.axhline(0, color=MUTED, lw=0.8, zorder=1)
        axes.set_ylim(min(bottom, -LEAST_RANGE), max(top, 0.005))
        return
    top = min(max(top, (bottom + top + LEAST_RANGE) / 2), HIGHEST)
    axes.set_ylim(min(bottom, top - LEAST_RANGE), top)


def _legend(fig: Figure, results: Row) -> None:
    marks = [
        Line2D([], [], color=BLUE, lw=2.6, marker="o", ms=6, label="mean, ± one standard deviation"),
        Line2D([], [], color=MUTED, lw=0.8, alpha=0.6, marker="o", ms=2.6, label="one order and seed"),
    ]
    if len(complete(results)) < len(results["trials"]):
        marks.append(
            Line2D([], [], ls="", marker="o", ms=4, color="white", markeredgecolor=VERMILLION, label="stopped early")
        )
    fig.legend(handles=marks, loc="outside lower center", ncol=3, frameon=False, fontsize=FONT_PT)


def merit_scatter(results: Mapping[str, Any]) -> Figure | None:
    """Merit against image AUROC: small dots are trials, numbered ones the means of points; None with fewer than two
    trials that have both.
    """
    places: dict[int, list[tuple[float, float]]] = {}
    for trial in complete(results):
        if trial["merit"] is not None and trial["image_auroc"] is not None:
            places.setdefault(trial["point"], []).append((trial["merit"], trial["image_auroc"]))
    if not is_space(results) or sum(map(len, places.values())) < 2:
        return None
    fig, axes = blank(9.4, 5.0)
    means_P2 = np.array([np.mean(found, axis=0) for found in places.values()])
    names = []
    for (point, found), (merit, auroc) in zip(places.items(), means_P2, strict=True):
        chosen = point == results["chosen"]
        colour = VERMILLION if chosen else BLUE
        merits, aurocs = zip(*found, strict=True)
        axes.scatter(merits, aurocs, s=10, color=colour, alpha=0.4, linewidth=0, zorder=2)
        axes.scatter([merit], [auroc], s=50, color=colour, edgecolor="white", linewidth=0.8, zorder=3)
        names.append(name_point(axes, tick_name(results, point), (merit, auroc), strong=chosen))
        if chosen:
            axes.axhline(auroc, color=VERMILLION, lw=0.9, ls=(0, (4, 3)), zorder=1)
            beside(axes, 1.01, auroc, "chosen", color=VERMILLION, weight="bold")
    axes.margins(0.08)
    _widen(axes, "image_auroc")
    axes.grid(color=FAINT, lw=0.6)
    label(axes, "merit: image AUROC against synthetic anomalies", "image AUROC on test pictures")
    fig.draw_without_rendering()  # names are placed in pixels, which the layout decides
    dots_P2 = axes.transData.transform(means_P2)
    around = 5 * fig.dpi / 72
    marks_P4 = np.concatenate([dots_P2 - around, dots_P2 + around], axis=1)
    place_labels(axes, names, dots_P2, marks_P4, boxes_along(dots_P2[:1]))
    return fig
