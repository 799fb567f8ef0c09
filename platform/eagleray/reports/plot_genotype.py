"""Picture of the fusion that was kept: its cells as a directed graph, one step down and to the right of the other.

Features stand at the left, in the colour of their modality. Coordinates are inches, y grows upwards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from eagleray.reports.canvas import DOTS_PER_INCH, HATCHED, INK, MUTED, write
from eagleray.reports.search_rows import MODALITIES, OPERATIONS, SOURCE_COLOURS, feature_name, used_cells

FEATURE_WIDTH, NODE_WIDTH, BOX_HEIGHT, HEAD_WIDTH = 1.5, 1.02, 0.44, 0.78
GAP = 0.28
"""Between neighbours within a cell, in inches."""
STEP = 0.5
"""Between the right edge of a cell and the left edge of the next."""
LEAD = 0.34
"""From the features to the first cell, and from the last one to the head."""
LANE = 1.62
"""Height of the lane of one cell."""
PORT = 0.45
"""A cell's first feature comes in this far above its middle, the second as far below."""
BYPASS = 0.33
"""How far from the middle of a cell a line passes a node: above to a later node, below to the cell's output."""
MARGIN = 0.1
TEXT_PT = 11.0
"""Larger than elsewhere, for the picture is wider and shown smaller."""
Point = tuple[float, float]


def genotype_graph(results: Mapping[str, Any]) -> Figure:
    """The cells whose output reaches the head, from the first on."""
    cells = used_cells(results["genotype"])
    lefts, x = {}, MARGIN + FEATURE_WIDTH + LEAD
    for name, cell in cells.items():
        lefts[name] = x
        x += _cell_width(cell) + STEP
    width, height = max(9.4, x - STEP + LEAD + HEAD_WIDTH + MARGIN), LANE * len(cells) + 0.36
    figure, axes = _sheet(width, height)
    outputs: dict[str, Point] = {}
    for lane, (name, cell) in enumerate(cells.items()):
        middle = height - 0.36 - LANE * (lane + 0.5)
        ports = [(lefts[name], middle + PORT), (lefts[name], middle - PORT)]
        colours = [SOURCE_COLOURS[feature.split(".")[0]] for feature in cell["features"]]
        _frame(axes, name, cell, lefts[name], middle)
        for number, (feature, port) in enumerate(zip(cell["features"], ports, strict=True)):
            if feature in outputs:
                _step_down(axes, outputs[feature], port, number)
            else:
                _feature(axes, feature, port)
        outputs[f"cell.{name}"] = _inside(axes, cell, ports, colours, middle)
    _head(axes, outputs[f"cell.{list(cells)[-1]}"])
    _legend(axes, height)
    return figure


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return figure, axes


def _cell_width(cell: Mapping[str, Any]) -> float:
    return GAP + len(cell["nodes"]) * (NODE_WIDTH + GAP)


def _frame(axes: Axes, name: str, cell: Mapping[str, Any], left: float, middle: float) -> None:
    height = 2 * PORT + 0.34
    _box(axes, left, middle - height / 2, _cell_width(cell), height, facecolor=HATCHED, edgecolor="none", zorder=1)
    write(axes, left + 0.02, middle + height / 2 + 0.12, f"{name} cell", weight="bold", fontsize=TEXT_PT)


def _feature(axes: Axes, feature: str, port: Point) -> None:
    colour = SOURCE_COLOURS[feature.split(".")[0]]
    _box(axes, MARGIN, port[1] - 0.17, FEATURE_WIDTH, 0.34, facecolor=colour, edgecolor="none", zorder=3)
    style = {"color": "white", "ha": "center", "weight": "bold", "fontsize": TEXT_PT, "zorder": 4}
    write(axes, MARGIN + FEATURE_WIDTH / 2, port[1], feature_name(feature), **style)
    _line(axes, [(MARGIN + FEATURE_WIDTH, port[1]), port], colour)


def _step_down(axes: Axes, output: Point, port: Point, number: int) -> None:
    """From the output of a cell right, down beside the next cell, and into its port."""
    turn = port[0] - STEP / 2 + 0.14 * (0.5 - number)
    _line(axes, [output, (turn, output[1]), (turn, port[1]), port], SOURCE_COLOURS["cell"])


def _inside(
    axes: Axes, cell: Mapping[str, Any], ports: Sequence[Point], colours: Sequence[str], middle: float
) -> Point:
    """Draw the nodes of a cell and what they take; returns where its output leaves."""
    left, nodes = ports[0][0], cell["nodes"]
    lefts = [left + GAP + number * (NODE_WIDTH + GAP) for number in range(len(nodes))]
    output = (left + _cell_width(cell), middle)
    for number, node in enumerate(nodes):
        _box(axes, lefts[number], middle - BOX_HEIGHT / 2, NODE_WIDTH, BOX_HEIGHT, facecolor="white", edgecolor=INK)
        title = OPERATIONS[node["op"]]
        write(
            axes, lefts[number] + NODE_WIDTH / 2, middle, title, ha="center", weight="bold", fontsize=TEXT_PT, zorder=4
        )
        for slot, taken in enumerate(node["inputs"]):
            # Two arrows beside each other where a node takes the same input twice.
            aside = 0.08 * (1 - 2 * slot) if node["inputs"][0] == node["inputs"][1] else 0.0
            if taken < 2:
                _from_port(axes, ports[taken], lefts[number] + 0.3 + aside, middle, colours[taken])
            else:
                _from_node(axes, lefts[taken - 2], lefts[number], middle + aside)
    taken_inputs = {taken for node in nodes for taken in node["inputs"]}
    for slot in {0, 1} - taken_inputs:
        style = {"fontsize": TEXT_PT - 2, "color": MUTED, "zorder": 4}
        write(axes, ports[slot][0] + 0.08, ports[slot][1], "taken by no node", **style)
    for number, node_left in enumerate(lefts):
        _leave(axes, node_left, output, last=number == len(nodes) - 1)
    return output


def _from_port(axes: Axes, port: Point, x: float, middle: float, colour: str) -> None:
    """Along the cell's edge, then into the top or the bottom of a node."""
    side = 1 if port[1] > middle else -1
    _line(axes, [port, (x, port[1])], colour)
    _arrow(axes, (x, port[1]), (x, middle + side * BOX_HEIGHT / 2), colour)
    axes.plot(*port, "o", ms=4.5, color=colour, zorder=5)


def _from_node(axes: Axes, left: float, right: float, middle: float) -> None:
    """From a node straight to its neighbour, or over the nodes between to a later one."""
    if right - left < 1.5 * (NODE_WIDTH + GAP):
        _arrow(axes, (left + NODE_WIDTH, middle), (right, middle), INK)
        return
    up, down = left + NODE_WIDTH - 0.14, right + NODE_WIDTH - 0.3
    top = middle + BOX_HEIGHT / 2
    _line(axes, [(up, top), (up, middle + BYPASS), (down, middle + BYPASS)], INK)
    _arrow(axes, (down, middle + BYPASS), (down, top), INK)


def _leave(axes: Axes, left: float, output: Point, *, last: bool) -> None:
    """From a node to the output of its cell, which is made of all its nodes: the last one straight, others below."""
    if last:
        _line(axes, [(left + NODE_WIDTH, output[1]), output], SOURCE_COLOURS["cell"])
        return
    down, up, bottom = left + NODE_WIDTH - 0.14, output[0] - GAP / 2, output[1] - BYPASS
    corners = [(down, output[1] - BOX_HEIGHT / 2), (down, bottom), (up, bottom), (up, output[1])]
    _line(axes, corners, SOURCE_COLOURS["cell"])


def _head(axes: Axes, output: Point) -> None:
    left = output[0] + LEAD
    _arrow(axes, output, (left, output[1]), SOURCE_COLOURS["cell"])
    _box(axes, left, output[1] - 0.26, HEAD_WIDTH, 0.52, facecolor=INK, edgecolor="none", zorder=3)
    write(
        axes,
        left + HEAD_WIDTH / 2,
        output[1],
        "head",
        color="white",
        ha="center",
        weight="bold",
        fontsize=TEXT_PT,
        zorder=4,
    )


def _legend(axes: Axes, height: float) -> None:
    titles = {"color": MODALITIES["color"], "depth": MODALITIES["depth"], "cell": "output of a cell"}
    marks = [Line2D([], [], color=SOURCE_COLOURS[key], lw=5, label=title) for key, title in titles.items()]
    marks.append(Line2D([], [], color=INK, lw=1.6, label="from node to node"))
    place: dict[str, Any] = {
        "loc": "upper right",
        "bbox_to_anchor": (axes.get_xlim()[1], height),
        "bbox_transform": axes.transData,
    }
    axes.legend(handles=marks, ncol=4, frameon=False, fontsize=TEXT_PT - 1, handlelength=1.4, labelcolor=MUTED, **place)


def _box(axes: Axes, x: float, y: float, width: float, height: float, **style: Any) -> None:
    shape = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, **({"linewidth": 1.2, "zorder": 3} | style)))


def _line(axes: Axes, points: Sequence[Point], colour: str) -> None:
    axes.plot(*zip(*points, strict=True), color=colour, lw=1.8, solid_joinstyle="round", zorder=2)


def _arrow(axes: Axes, start: Point, end: Point, colour: str) -> None:
    ends: dict[str, Any] = {"shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>", "mutation_scale": 11}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, lw=1.8, zorder=2, **ends))
