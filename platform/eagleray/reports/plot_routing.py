"""Picture of the routing space: the routing embeddings of good images in two dimensions, a panel per category."""

from collections.abc import Mapping
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
    heading,
    label,
    panels,
    shortened,
)
from eagleray.reports.mixture_wording import part
from eagleray.reports.wording import percent

MOST_PANELS = 12
"""Most categories in one picture; of more, the first are shown."""
COLOURS = (*EXPERT_COLOURS[:6], "#7a4b2a", "#c2447f", "#6b8e00", "#3f3f9f", INK, MUTED)
"""Told apart as far as twelve colours can be; the marks tell the rest."""
HOLLOW = ("X", "s", "^", "D", "v", "P", "*", "<")
"""Marks of the unseen subclasses, in turn."""
PANEL_INCH = 4.2
MOST_LISTED = 40
"""Most lines that a legend beside a panel has room for, in two columns."""


def routing_space(results: Mapping[str, Any]) -> Figure | None:
    """Scatter of the embeddings, seen subclasses as filled dots and unseen ones as hollow marks."""
    spaces = [space for space in part(results, "routing_space") if space["points"]][:MOST_PANELS]
    if not spaces:
        return None
    fig, places = panels(9.4, PANEL_INCH * len(spaces), rows=len(spaces))
    for axes, space in zip(places, spaces, strict=True):
        _draw(axes, space)
    return fig


def _draw(axes: Axes, space: Mapping[str, Any]) -> None:
    points_N2 = np.asarray(space["points"], dtype=float)
    whose = np.asarray(space["subclasses"], dtype=object)
    was_seen = dict(zip(space["subclasses"], space["seen"], strict=True))
    seen = sorted(name for name, known in was_seen.items() if known)
    unseen = sorted(name for name, known in was_seen.items() if not known)
    styles = {name: _filled(number) for number, name in enumerate(seen)}
    styles |= {name: _hollow(number, len(seen)) for number, name in enumerate(unseen)}
    for name, style in styles.items():
        x, y = points_N2[whose == name].T
        axes.plot(x, y, ls="", zorder=2 if was_seen[name] else 3, **style)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    axes.axvline(0, color=FAINT, lw=0.6, zorder=0)
    axes.margins(0.06)
    axes.set_aspect("equal", anchor="W")  # distances are what the picture is about
    axes.locator_params(nbins=5)
    axes.tick_params(labelcolor=MUTED, labelsize=FONT_PT - 1.5)
    heading(axes, shortened(space["category"], 40))
    first, second = (percent(share) for share in space["explained"])
    label(axes, f"first component, {first} of the variance", f"second, {second}")
    _list(axes, styles, seen, unseen)


def _filled(number: int) -> dict[str, Any]:
    colour = COLOURS[number % len(COLOURS)]
    return {"marker": "o", "ms": 6.5, "color": colour, "markeredgecolor": "white", "markeredgewidth": 0.6}


def _hollow(number: int, taken: int) -> dict[str, Any]:
    colour = COLOURS[(taken + number) % len(COLOURS)]
    mark = HOLLOW[number % len(HOLLOW)]
    return {"marker": mark, "ms": 7, "color": colour, "markerfacecolor": "none", "markeredgewidth": 1.4}


def _list(axes: Axes, styles: Mapping[str, dict[str, Any]], seen: list[str], unseen: list[str]) -> None:
    """Legend right of the panel: the seen subclasses, then the unseen ones, each under its heading."""
    entries: list[tuple[str, dict[str, Any]]] = []
    for title, names in (("seen in training", seen), ("unseen", unseen)):
        if names:
            entries += [(title, {"marker": "", "color": "none"}), *((name, styles[name]) for name in names)]
    if len(entries) > MOST_LISTED:
        rest = f"and {len(entries) - MOST_LISTED} more"
        entries = [*entries[:MOST_LISTED], (rest, {"marker": "", "color": "none"})]
    columns = 1 if len(entries) <= 20 else 2
    fits = 72 * (PANEL_INCH - 0.4) / (1.4 * -(-len(entries) // columns))  # points a line may be high
    marks = [Line2D([], [], ls="", label=shortened(name, 22), **style) for name, style in entries]
    legend = axes.legend(
        handles=marks,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.04),
        ncol=columns,
        frameon=False,
        fontsize=min(FONT_PT - 0.5, fits) - (columns - 1),
        labelspacing=0.35,
        handletextpad=0.4,
        columnspacing=0.8,
    )
    for text, (_, style) in zip(legend.get_texts(), entries, strict=True):
        text.set_parse_math(False)
        if not style["marker"]:
            text.set(color=MUTED, weight="bold")
