"""Picture of what accuracy costs: image AUROC against the frame rate and against the memory, a point per method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from eagleray.arrays import AnyArray
from eagleray.reports.canvas import BLUE, FAINT, FONT_PT, GREEN, INK, ORANGE, heading, label, panels, shortened
from eagleray.reports.labels import boxes_along, name_point, place_labels
from eagleray.reports.search_rows import SEARCHES, cells_of, method_name, trained

PANELS = {
    "frames_per_s": ("Against the frame rate", "frames per second; right is better", 1.0),
    "peak_mb": ("Against the memory", "MB in use at the peak; left is better", -1.0),
}
"""Cost -> title, name of the axis, and the direction in which it gets better."""
FRONT_LINE = (0, (4, 2))
KINDS = {"searches": BLUE, "searches over some cells": GREEN, "other networks": ORANGE}


@dataclass(frozen=True, slots=True)
class Point:
    """A method in one panel; means over its seeds."""

    method: str
    cost: float
    auroc: float
    costs: list[float]
    aurocs: list[float]


def points_of(results: Mapping[str, Any], cost: str) -> list[Point]:
    """A point for every method that has an image AUROC."""
    found = []
    for method, rows in trained(results).items():
        rows = [row for row in rows if row["image_auroc"] is not None]
        if rows:
            costs, aurocs = [row[cost] for row in rows], [row["image_auroc"] for row in rows]
            found.append(Point(method, float(np.mean(costs)), float(np.mean(aurocs)), costs, aurocs))
    return found


def front(points: Sequence[Point], better: float) -> list[Point]:
    """The points that no other beats in both, from the cheapest to the most accurate; `better` is 1 where more is."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (-better * point.cost, -point.auroc)):
        if not kept or point.auroc > kept[-1].auroc:
            kept.append(point)
    return kept


def pareto(results: Mapping[str, Any]) -> Figure | None:
    """Two panels of labelled points with their spread over the seeds, and the front through the best."""
    found = {cost: points_of(results, cost) for cost in PANELS}
    if len(found["peak_mb"]) < 2:
        return None
    figure, places = panels(9.4, 8.4, rows=2)
    drawn = {}
    for axes, (cost, (title, name, better)) in zip(places, PANELS.items(), strict=True):
        points = found[cost]
        best = front(points, better)
        corners_C2 = _corners(best)
        axes.plot(*corners_C2.T, color=INK, lw=1.2, ls=FRONT_LINE, zorder=2)
        for point in points:
            _draw(axes, point)
        heading(axes, title)
        label(axes, name, "image AUROC")
        axes.margins(x=0.1, y=0.14)
        axes.grid(color=FAINT, lw=0.6)
        drawn[axes] = (points, [_label(axes, point, strong=point in best) for point in points], corners_C2)
    _legend(figure, [_kind(point.method) for point in found["peak_mb"]])
    figure.draw_without_rendering()  # labels are placed in pixels, which the layout decides
    for axes, (points, labels, corners_C2) in drawn.items():
        dots_P2 = axes.transData.transform([(point.cost, point.auroc) for point in points])
        marks_P4 = np.array([_reach(axes, point) for point in points])
        place_labels(axes, labels, dots_P2, marks_P4, boxes_along(axes.transData.transform(corners_C2)))
    return figure


def _corners(best: Sequence[Point]) -> AnyArray:
    """Corners of the steps of a front: between two of its points, only the cheaper one's accuracy is to be had."""
    corners = [(best[0].cost, best[0].auroc)]
    for point in best[1:]:
        corners += [(point.cost, corners[-1][1]), (point.cost, point.auroc)]
    return np.array(corners)


def _draw(axes: Axes, point: Point) -> None:
    colour = KINDS[_kind(point.method)]
    style: dict[str, Any] = {"xerr": np.std(point.costs), "yerr": np.std(point.aurocs), "ecolor": colour}
    axes.errorbar(point.cost, point.auroc, fmt="none", elinewidth=1.4, alpha=0.6, **style)
    if len(point.costs) > 1:
        axes.scatter(point.costs, point.aurocs, s=9, color=colour, alpha=0.45, linewidth=0)
    axes.scatter([point.cost], [point.auroc], s=50, color=colour, edgecolor="white", linewidth=0.8, zorder=3)


def _kind(method: str) -> str:
    searches, cells, others = KINDS
    return searches if method in SEARCHES else cells if cells_of(method) else others


def _label(axes: Axes, point: Point, *, strong: bool) -> Annotation:
    return name_point(axes, shortened(method_name(point.method)), (point.cost, point.auroc), strong=strong)


def _reach(axes: Axes, point: Point) -> AnyArray:
    """The pixels that a point, its seeds and its spread take: left, bottom, right, top."""
    around = 5 * axes.figure.dpi / 72
    ends_22 = axes.transData.transform([(pick(point.costs), pick(point.aurocs)) for pick in (min, max)])
    return np.concatenate([ends_22.min(axis=0) - around, ends_22.max(axis=0) + around])


def _legend(figure: Figure, kinds: Sequence[str]) -> None:
    marks = [Line2D([], [], marker="o", ls="", ms=7, color=KINDS[k], label=k) for k in KINDS if k in kinds]
    marks.append(Line2D([], [], color=INK, lw=1.3, ls=FRONT_LINE, label="front: none is better in both"))
    figure.legend(handles=marks, loc="outside lower center", ncol=4, frameon=False, fontsize=FONT_PT)
