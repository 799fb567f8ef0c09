"""Blank axes in the house style, and text that is drawn as it stands. Object-oriented matplotlib, no global state."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eagleray.arrays import AnyArray

# Okabe and Ito (2008), told apart with every common kind of colour blindness; orange, purple and sky are a little
# darker than theirs, so that text in them can be read on white.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009070", "#b97700", "#a8558f", "#2f8fc6"
INK, MUTED, FAINT, HATCHED = "#1f2328", "#667079", "#d9dee3", "#eef0f2"
GOOD, DEFECTIVE = BLUE, VERMILLION
EXPERT_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, MUTED)
FONT_PT = 9.5
DOTS_PER_INCH = 160


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` inches with one pair of quiet axes."""
    figure, (axes,) = panels(width, height)
    return figure, axes


def panels(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of `width` by `height` inches with rows * columns pairs of quiet axes, row by row."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    if columns > 1 and (engine := figure.get_layout_engine()) is not None:
        engine.set(wspace=0.06)  # type: ignore[call-arg]
    places = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
    for axes in places:
        quiet(axes)
    return figure, places


def quiet(axes: Axes) -> None:
    """Leave `axes` two faint spines and no tick marks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(length=0, labelsize=FONT_PT, labelcolor=INK, pad=5)
    axes.set_axisbelow(True)


def bare(axes: Axes) -> None:
    """Remove the frame of `axes`."""
    for spine in axes.spines.values():
        spine.set_visible(False)


def label(axes: Axes, x: str = "", y: str = "") -> None:
    """Name the axes, quietly."""
    axes.set_xlabel(x, fontsize=FONT_PT, color=MUTED, labelpad=6)
    axes.set_ylabel(y, fontsize=FONT_PT, color=MUTED, labelpad=6)


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Draw `text` as it stands at data coordinates: a "$" in a class name does not start a formula."""
    settings: dict[str, Any] = {"fontsize": FONT_PT, "color": INK, "va": "center", "clip_on": False} | style
    axes.text(x, y, text, parse_math=False, **settings)


def beside(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Like `write`, with x as a fraction of the axes' width: 1.02 is just right of them."""
    write(axes, x, y, text, transform=axes.get_yaxis_transform(), **style)


def heading(axes: Axes, text: str) -> None:
    """Write `text` above the axes, as it stands."""
    axes.set_title(text, loc="left", fontsize=FONT_PT + 1.5, color=INK, weight="bold", pad=8, parse_math=False)


def name_ticks(axes: Axes, which: str, positions: Sequence[float], names: Sequence[str], **style: Any) -> None:
    """Put `names` at `positions` along the "x" or "y" axis, as they stand."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(list(positions), labels=list(names), **style)
    for tick in axis.get_ticklabels():
        tick.set_parse_math(False)


def step_ticks(axes: Axes, num_steps: int) -> None:
    """Whole step numbers along x, at most about twenty of them."""
    every = max(1, -(-num_steps // 20))
    axes.set_xticks(range(1, num_steps + 1, every))


def shortened(name: str, most: int = 22) -> str:
    """A name that fits a label; line breaks become spaces."""
    text = " ".join(name.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def expert_colour(expert: int) -> str:
    """The colour of an expert, the same in every picture; the palette repeats after seven."""
    return EXPERT_COLOURS[expert % len(EXPERT_COLOURS)]


def spread(positions: Sequence[float], gap: float) -> AnyArray:
    """Move label positions apart until neighbours are at least `gap` from each other, keeping their order."""
    order = np.argsort(positions, kind="stable")
    moved = np.asarray(positions, dtype=float)[order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    # Pushing only upwards leaves a bias; shift the whole stack back to the middle of what it labels.
    moved += (np.mean(positions) - moved.mean()) if len(moved) else 0.0
    result = np.empty_like(moved)
    result[order] = moved
    return result
