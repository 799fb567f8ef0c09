"""Pictures of adapted_moe's figures: the parts switched on one by one, and how many experts judge an image."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eagleray.reports.canvas import (
    EXPERT_COLOURS,
    FAINT,
    FONT_PT,
    INK,
    MUTED,
    bare,
    beside,
    expert_colour,
    heading,
    label,
    name_ticks,
    panels,
    shortened,
    spread,
)
from eagleray.reports.mixture_wording import (
    Row,
    baseline_name,
    categories,
    mean_of,
    part,
    switches,
    variant_name,
    variants,
)
from eagleray.reports.wording import figure

PANELS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC"}
MOST_COLOURED = len(EXPERT_COLOURS)
"""Most categories with a colour of their own; of more, only their mean is drawn, with a dot for each."""


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of a series."""

    mean: float
    std: float
    """0 where there is no spread."""
    values: list[float]
    """What the mean is of."""


def series_of(rows: Sequence[Row], key: str, place: Callable[[Row], Hashable]) -> dict[str, dict[Any, Point]]:
    """Name of a category -> place of a row -> its `key`; one series of means where the categories are too many.

    A category without any figure is left out.
    """
    names = categories([row for row in rows if any(row[panel]["mean"] is not None for panel in PANELS)])
    found: dict[str, dict[Any, Point]] = {name: {} for name in names}
    for row in rows:
        measured = row[key]
        if measured["mean"] is not None:
            values = [value for value in measured["values"] if value is not None]
            found[row["category"]][place(row)] = Point(measured["mean"], measured["std"] or 0.0, values)
    if len(names) <= MOST_COLOURED:
        return found
    places = dict.fromkeys(place for points in found.values() for place in points)
    means = {at: [points[at].mean for points in found.values() if at in points] for at in places}
    return {f"mean of {len(names)} categories": {at: Point(mean_of(each), 0.0, each) for at, each in means.items()}}


def ablation_dots(results: Mapping[str, Any]) -> Figure | None:
    """A row per combination of parts and per baseline, a dot per category with its spread over the seeds."""
    rows, others = part(results, "ablation"), part(results, "baselines")
    titles = list(dict.fromkeys(map(_line_title, [*rows, *others])))
    lines = {title: number for number, title in enumerate(titles)}
    num_parts = len(variants(rows))
    drawn = {key: series_of([*rows, *others], key, _line_title) for key in PANELS}
    num_series = len(drawn["image_auroc"])
    if len(titles) < 2 or not num_series:
        return None
    fig, (left, right) = panels(9.4, 1.2 + len(titles) * max(0.42, 0.15 * num_series + 0.14), columns=2)
    for axes, (key, title) in zip((left, right), PANELS.items(), strict=True):
        heading(axes, title)
        for number, points in enumerate(drawn[key].values()):
            # The first category above, the last below the middle of the row.
            shift = 0.0 if num_series == 1 else 0.56 * (number / (num_series - 1) - 0.5)
            _dots(axes, {lines[at] + shift: point for at, point in points.items()}, _colour(number, num_series))
        for line in range(len(titles) - 1):
            edge = line + 1 == num_parts
            axes.axhline(line + 0.5, color=MUTED if edge else FAINT, lw=0.9 if edge else 0.6)
        axes.set_ylim(len(titles) - 0.5, -0.5)
        axes.grid(axis="x", color=FAINT, lw=0.6)
        bare(axes)
    name_ticks(left, "y", range(len(titles)), [shortened(title, 26) for title in titles])
    name_ticks(right, "y", [], [])
    _legend(fig, list(drawn["image_auroc"]))
    return fig


def _line_title(row: Row) -> str:
    return baseline_name(row["name"]) if "name" in row else variant_name(switches(row))


def _dots(axes: Axes, points: Mapping[float, Point], colour: str) -> None:
    for y, point in points.items():
        axes.plot([point.mean - point.std, point.mean + point.std], [y, y], color=colour, lw=1.6, alpha=0.55)
        if len(point.values) > 1:
            axes.scatter(point.values, [y] * len(point.values), s=9, color=colour, alpha=0.45, linewidth=0)
        axes.scatter([point.mean], [y], s=44, color=colour, edgecolor="white", linewidth=0.8, zorder=3)


def _colour(number: int, num_series: int) -> str:
    return expert_colour(number) if num_series > 1 else INK


def _legend(fig: Figure, names: Sequence[str]) -> None:
    if len(names) < 2 and not names[0].startswith("mean of"):
        return
    marks = [
        Line2D([], [], marker="o", ls="", ms=7, color=_colour(number, len(names)), label=shortened(name))
        for number, name in enumerate(names)
    ]
    legend = fig.legend(handles=marks, loc="outside lower center", ncol=4, frameon=False, fontsize=FONT_PT)
    for text in legend.get_texts():
        text.set_parse_math(False)


def top_k_curves(results: Mapping[str, Any]) -> Figure | None:
    """AUROC over the number of experts that judge an image, a line per category with its spread as a band."""
    rows = part(results, "top_k")
    drawn = {key: series_of(rows, key, lambda row: row["k"]) for key in PANELS}
    if not any(len(points) > 1 for lines in drawn.values() for points in lines.values()):
        return None
    counts = sorted({row["k"] for row in rows})
    fig, places = panels(9.4, 3.7, columns=2)
    for axes, (key, title) in zip(places, PANELS.items(), strict=True):
        heading(axes, title)
        ends = []
        for number, (name, points) in enumerate(drawn[key].items()):
            colour = _colour(number, len(drawn[key]))
            ks = sorted(points)
            mean_K = np.array([points[k].mean for k in ks])
            std_K = np.array([points[k].std for k in ks])
            axes.fill_between(ks, mean_K - std_K, mean_K + std_K, color=colour, alpha=0.14, lw=0)
            axes.plot(ks, mean_K, color=colour, lw=1.8, marker="o", ms=4)
            if ks:
                where = "" if ks[-1] == counts[-1] else f" at {ks[-1]}"
                ends.append((mean_K[-1], f"{shortened(name, 14)}  {figure(mean_K[-1])}{where}", colour))
        axes.set_xlim(counts[0] - 0.15, counts[-1] + 0.15)
        axes.set_xticks(counts if len(counts) <= 12 else counts[:: -(-len(counts) // 12)])
        bottom, top = axes.get_ylim()
        if top - bottom < 0.05:  # a range of a few thousandths would blow noise up to drama
            axes.set_ylim((bottom + top) / 2 - 0.025, (bottom + top) / 2 + 0.025)
        gap = 0.075 * float(np.ptp(axes.get_ylim()))
        for y, (_, text, colour) in zip(spread([end[0] for end in ends], gap), ends, strict=True):
            beside(axes, 1.02, y, text, color=colour, weight="bold", fontsize=FONT_PT - 0.5)
        axes.grid(axis="y", color=FAINT, lw=0.6)
        label(axes, "experts that judge an image (k)")
    return fig
