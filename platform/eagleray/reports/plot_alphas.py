"""Picture of a search by gradient: its merit, and the weights of all choices over the epochs, a panel per choice."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eagleray.reports.canvas import (
    DOTS_PER_INCH,
    FAINT,
    FONT_PT,
    GREEN,
    INK,
    MUTED,
    SKY,
    VERMILLION,
    beside,
    heading,
    label,
    quiet,
    shortened,
    spread,
    write,
)
from eagleray.reports.search_rows import (
    CELLS,
    OPERATIONS,
    SOURCE_COLOURS,
    feature_name,
    gradient_search,
    input_name,
    used_cells,
)
from eagleray.reports.wording import figure as written

COLOURS = (GREEN, VERMILLION, SKY, INK, MUTED)
"""Of operations and of a node's inputs; features have the colour of their modality, every second one dashed."""
BEST_LINE: dict[str, Any] = {"color": MUTED, "lw": 1.1, "ls": ":", "zorder": 1}
MERIT_INCH, ROW_INCH = 1.7, 1.12
MOST_NAMED = 3
"""Most candidates named beside a panel: the chosen one and the strongest others."""


class Choice(NamedTuple):
    """One row of the alphas: what is chosen, among what, and how it went."""

    title: str
    names: list[str]
    chosen: str | None
    """None where there is no such cell."""
    weights: list[list[float]]
    """One row per epoch."""
    looks: list[dict[str, Any]]
    """Colour and line of each candidate."""


def alphas(results: Mapping[str, Any]) -> Figure | None:
    """Merit above, then a column per cell and a row per choice; None without a search by gradient of two epochs."""
    search = gradient_search(results)
    if search is None or len(search["history"]) < 2:
        return None
    used = used_cells(search["genotype"])
    columns = {name: list(choices(search, name, results["candidates"])) for name in CELLS}
    columns = {name: found for name, found in columns.items() if found}
    num_rows = max(map(len, columns.values()), default=0)
    figure = Figure(figsize=(9.4, MERIT_INCH + ROW_INCH * num_rows), dpi=DOTS_PER_INCH, layout="constrained")
    figure.set_facecolor("white")
    grid = figure.add_gridspec(1 + num_rows, max(len(columns), 1), height_ratios=[MERIT_INCH, *[ROW_INCH] * num_rows])
    epochs = [epoch["epoch"] for epoch in search["history"]]
    best = search["step"]
    _merit(figure.add_subplot(grid[0, :]), search["history"], epochs)
    figure.axes[0].axvline(best, **BEST_LINE)
    for column, (name, found) in enumerate(columns.items()):
        for row, choice in enumerate(found):
            axes = figure.add_subplot(grid[row + 1, column])
            _panel(axes, choice, epochs)
            axes.axvline(best, **BEST_LINE)
            if row == 0:
                heading(axes, f"{name} cell" + ("" if name in used else " (left out)"))
            if row == len(found) - 1:
                label(axes, "epoch")
            else:
                axes.tick_params(labelbottom=False)
    return figure


def choices(search: Mapping[str, Any], name: str, candidates: Mapping[str, Sequence[str]]) -> Iterator[Choice]:
    """The choices of one cell, each node's inputs before its operation; none where the cell was not searched."""
    cell, history = search["genotype"]["cells"][name], search["history"]
    rows = {kind: history[-1]["alphas"].get(f"{name}.{kind}", []) for kind in ("features", "nodes", "ops")}

    def choice(kind: str, row: int, title: str, names: list[str], chosen: str | None) -> Choice:
        looks = _of_modalities(candidates[name]) if kind == "features" else _by_number(len(names))
        return Choice(title, names, chosen, [epoch["alphas"][f"{name}.{kind}"][row] for epoch in history], looks)

    for row in range(len(rows["features"])):
        names = [feature_name(feature) for feature in candidates[name]]
        yield choice("features", row, input_name(row), names, cell and feature_name(cell["features"][row]))
    for node in range(len(rows["ops"])):
        title, inputs = input_name(node + 2), [input_name(number) for number in range(node + 2)]
        for slot in range(2):
            chosen = cell and input_name(cell["nodes"][node]["inputs"][slot])
            yield choice("nodes", 2 * node + slot, f"{title}, input {slot + 1}", inputs, chosen)
        chosen = cell and OPERATIONS[cell["nodes"][node]["op"]]
        yield choice("ops", node, f"{title}, operation", list(OPERATIONS.values()), chosen)


def _of_modalities(features: Sequence[str]) -> list[dict[str, Any]]:
    kinds = [feature.split(".")[0] for feature in features]
    return [
        {"color": SOURCE_COLOURS[kind], "ls": "--" if kinds[:number].count(kind) % 2 else "-"}
        for number, kind in enumerate(kinds)
    ]


def _by_number(count: int) -> list[dict[str, Any]]:
    return [{"color": COLOURS[number % len(COLOURS)], "ls": "-"} for number in range(count)]


def _merit(axes: Axes, history: Sequence[Mapping[str, Any]], epochs: Sequence[int]) -> None:
    quiet(axes)
    merits = [epoch["merit"] for epoch in history]
    axes.plot(epochs, merits, color=INK, lw=1.8)
    changes = [(epoch["epoch"], epoch["merit"]) for epoch in history if epoch["genotype_changed"]]
    if changes:
        axes.plot(*zip(*changes, strict=True), "o", ms=6, color=VERMILLION, markeredgecolor="white", zorder=3)
    beside(axes, 1.01, merits[-1], written(merits[-1]), weight="bold")
    heading(axes, "merit; a dot where the genotype changed")
    axes.grid(axis="y", color=FAINT, lw=0.6)
    axes.locator_params(axis="y", nbins=4)
    axes.margins(x=0.01, y=0.12)


def _panel(axes: Axes, choice: Choice, epochs: Sequence[int]) -> None:
    quiet(axes)
    ends = []
    for number, (name, look) in enumerate(zip(choice.names, choice.looks, strict=True)):
        chosen = name == choice.chosen
        line = [weights[number] for weights in choice.weights]
        axes.plot(epochs, line, lw=2.4 if chosen else 1.1, alpha=1.0 if chosen else 0.65, **look)
        ends.append((not chosen, -line[-1], name, look["color"]))
    named = sorted(ends)[:MOST_NAMED]
    heights = spread([-end for _, end, _, _ in named], 0.21)
    for y, (other, _, name, colour) in zip(heights, named, strict=True):
        style = {"weight": "normal" if other else "bold", "fontsize": FONT_PT - (2 if other else 1.5)}
        beside(axes, 1.03, y, shortened(name, 16), color=colour, **style)
    write(axes, 0.02, 0.96, choice.title, transform=axes.transAxes, fontsize=FONT_PT - 1.5, color=MUTED, va="top")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], labels=["0", "", "1"])
    axes.tick_params(labelsize=FONT_PT - 2, labelcolor=MUTED)
    axes.locator_params(axis="x", nbins=4, integer=True)
    axes.grid(axis="y", color=FAINT, lw=0.6)
    axes.margins(x=0.01)
