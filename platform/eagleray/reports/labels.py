"""Names beside the points of a scatter, moved until they hide nothing. Everything here is in pixels.

A box is (left, bottom, right, top).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text

from eagleray.arrays import AnyArray
from eagleray.reports.canvas import FONT_PT, INK, MUTED

_PLACES = [
    (distance * x, distance * y, side)
    for distance in (1.0, 1.8, 2.8, 4.0)
    for x, y, side in (
        (9, 0, 0.0),
        (-9, 0, 1.0),
        (6, 10, 0.0),
        (6, -10, 0.0),
        (-6, 10, 1.0),
        (-6, -10, 1.0),
        (0, 13, 0.5),
        (0, -13, 0.5),
    )
]
"""Offsets from a point, in points, and which part of the name's width is left of it; the nearest first."""
_SIDES = {0.0: "left", 0.5: "center", 1.0: "right"}
_NUM_PASSES = 3
"""How often the names make way for each other."""


def name_point(axes: Axes, text: str, place: tuple[float, float], *, strong: bool) -> Annotation:
    """Write `text` beside a point of `axes`, to be moved by `place_labels`; a line joins it to a point far off."""
    style: dict[str, Any] = {"color": INK if strong else MUTED, "weight": "bold" if strong else "normal"}
    name = axes.annotate(
        text,
        place,
        xytext=(9, 0),
        textcoords="offset points",
        fontsize=FONT_PT - 0.5,
        va="center",
        parse_math=False,
        zorder=4,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.7, "shrinkA": 0, "shrinkB": 3},
        **style,
    )
    name.set_in_layout(False)
    return name


def place_labels(
    axes: Axes, labels: Sequence[Annotation], dots_P2: AnyArray, marks_P4: AnyArray, line_L4: AnyArray
) -> None:
    """Move each label, in offset points, to the nearest place that hides no mark, no other label and least of a line.

    Args:
        axes: drawn before, so that its layout is settled; labels stay inside.
        labels: one for each point.
        dots_P2: where the points are.
        marks_P4: what each point takes.
        line_L4: boxes along a line that had better not be hidden.
    """
    pixels = axes.figure.dpi / 72  # in one point
    extents = [Text.get_window_extent(text) for text in labels]  # of the words, without a line to the point
    sizes_P2 = np.array([(extent.width, extent.height) for extent in extents])
    boxes_P4 = np.concatenate([dots_P2, dots_P2 + sizes_P2], axis=1)
    leaders = [boxes_along(dots_P2[:1])] * len(labels)
    for _ in range(_NUM_PASSES):
        for number, text in enumerate(labels):
            dot, size = dots_P2[number], sizes_P2[number]
            rest = np.arange(len(labels)) != number
            lines = np.concatenate([line_L4, *(leader for at, leader in enumerate(leaders) if at != number)])
            best = np.inf
            for x, y, side in _PLACES:
                corner = dot + np.array([x, y]) * pixels - size * (side, 0.5)
                box = np.concatenate([corner, corner + size])
                leader = boxes_along(np.array([dot, np.clip(dot, box[:2], box[2:])]))
                others_N4 = np.concatenate([marks_P4[rest], boxes_P4[rest]])
                cost = 20 * (_hit(box, marks_P4).sum() + _hit(box, boxes_P4[rest]).sum())
                cost += min(3, _hit(box, lines).sum()) + 2 * _hit(leader[:, None], others_N4).any(axis=1).sum()
                cost += 0 if _inside(box, axes) else 40
                if cost < best:
                    best, found, leaders[number] = cost, box, leader
                    text.set(position=(x, y), ha=_SIDES[side])
            boxes_P4[number] = found


def boxes_along(corners_C2: AnyArray, every: float = 6.0) -> AnyArray:
    """Small boxes (L, 4) along a line through corners, at most `every` pixels apart; none for a single corner."""
    parts = [
        np.linspace(start, end, 2 + int(np.linalg.norm(end - start) / every)) for start, end in pairwise(corners_C2)
    ]
    points_L2 = np.concatenate([np.empty((0, 2)), *parts])
    return np.concatenate([points_L2 - 2, points_L2 + 2], axis=1)


def _hit(box: AnyArray, boxes_N4: AnyArray) -> AnyArray:
    """Which of the boxes meet `box`, or each of several where its shape is (L, 1, 4)."""
    both: AnyArray = (box[..., :2] < boxes_N4[:, 2:]) & (boxes_N4[:, :2] < box[..., 2:])
    return np.asarray(both.all(axis=-1))


def _inside(box: AnyArray, axes: Axes) -> bool:
    left, _, right, top = axes.bbox.extents
    return bool(left <= box[0] and box[2] <= right and box[3] <= top)
