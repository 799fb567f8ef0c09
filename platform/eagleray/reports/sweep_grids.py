"""Tables of a sweep, as plain text in rows."""

from collections.abc import Callable, Mapping
from typing import Any

from eagleray.reports.grids import Cell, Grid
from eagleray.reports.sweep_rows import (
    FIGURES,
    Row,
    axis_values,
    best_point,
    is_space,
    point_order,
    setting_name,
    tick_name,
    value_words,
)
from eagleray.reports.wording import figure, percent, signed

HEADINGS = {
    "image_auroc": "image AUROC",
    "step_average": "step average",
    "forgetting": "forgetting",
    "routing_accuracy": "routing",
    "rows": "rows",
    "merit": "merit",
}
WRITERS: dict[str, Callable[[Any], str]] = dict.fromkeys(FIGURES, figure) | {
    "forgetting": signed,
    "routing_accuracy": percent,
    "rows": lambda value: "-" if value is None else f"{value:,.0f}",
}
ENDED = {"complete": "complete", "asha": "stopped"}
STEP_AVERAGE = "Step average: mean image AUROC over all steps."
MERIT = "Merit: image AUROC of held-out good pictures against synthetic anomalies."


def sweep_grids(results: Mapping[str, Any]) -> dict[str, Grid]:
    """Every table of a sweep, by name, in the order of the report."""
    return {grid.name: grid for grid in (points_grid(results), trials_grid(results), orders_grid(results))}


def points_grid(results: Row) -> Grid:
    """A row per point: means over its complete trials with spread and range; the best mean image AUROC is stressed."""
    points, shown, order = results["points"], _shown(results), point_order(results)
    best, fields = best_point(results, "image_auroc"), _settings(results)
    lines = [
        [
            Cell(tick_name(results, number)),
            *(Cell(value_words(points[number]["changes"][field])) for field in fields),
            Cell(f"{points[number]['trials']:,}"),
            *(_spread_cell(points[number][key], WRITERS[key]) for key in shown),
        ]
        for number in order
    ]
    strong = {(row, column) for row, number in enumerate(order) if number == best for column in range(len(lines[row]))}
    chosen = results["chosen"]
    marks = f" Point {chosen} was chosen, by merit." if chosen is not None else ""
    return Grid(
        name="points",
        title="Means over orders and seeds",
        caption=f"Mean over the complete trials of a point, ± one standard deviation, and the lowest and highest trial "
        f"below. Bold has the highest mean image AUROC.{marks} Forgetting: below zero, something was forgotten. "
        f"{_explained(shown)}",
        headings=[point_heading(results), *map(setting_name, fields), "trials", *(HEADINGS[key] for key in shown)],
        words=frozenset(),
        rows=lines,
        strong=frozenset(strong),
    )


def trials_grid(results: Row) -> Grid:
    """A row per trial: of a space by merit, of any other in the order of the points."""
    shown, order = _shown(results), point_order(results)
    trials = sorted(results["trials"], key=lambda trial: (order.index(trial["point"]), trial["order"], trial["seed"]))
    if is_space(results):
        trials.sort(key=lambda trial: (trial["ended"] != "complete", -(trial["merit"] or 0.0)))
    fields = _settings(results)
    return Grid(
        name="trials",
        title="Every trial" + (", by merit" if is_space(results) else ""),
        caption="Figures after the last step of each. A stopped trial fell behind the others (ASHA) and knows fewer "
        f"classes: it is in no mean. {_explained(shown)}",
        headings=[
            point_heading(results),
            *map(setting_name, fields),
            "order",
            "seed",
            "ended",
            "steps",
            *(HEADINGS[key] for key in shown),
            "seconds",
        ],
        words=frozenset({3 + len(fields)}),
        rows=[
            [
                Cell(tick_name(results, trial["point"])),
                *(Cell(value_words(trial["changes"][field])) for field in fields),
                Cell(str(trial["order"])),
                Cell(str(trial["seed"])),
                Cell(ENDED[trial["ended"]]),
                Cell(f"{trial['steps']:,}"),
                *(Cell(WRITERS[key](trial[key])) for key in shown),
                Cell(f"{trial['seconds']:,.1f}"),
            ]
            for trial in trials
        ],
        folded=True,
    )


def orders_grid(results: Row) -> Grid:
    """A row per order of the classes."""
    return Grid(
        name="orders",
        title="Orders of the classes",
        caption="The order in which the classes are learned, first to last.",
        headings=["order", "classes"],
        words=frozenset({1}),
        rows=[[Cell(str(n)), Cell(", ".join(order))] for n, order in enumerate(results["sweep"]["orders"])],
    )


def point_heading(results: Row) -> str:
    """What the first column of the points holds."""
    plain = is_space(results) or axis_values(results) is None
    return "point" if plain else setting_name(results["sweep"]["fields"][0])


def _settings(results: Row) -> list[str]:
    """The settings that a point's name leaves open, each of which has a column."""
    fields = list(results["sweep"]["fields"])
    return fields if is_space(results) or axis_values(results) is None else fields[1:]


def _shown(results: Row) -> list[str]:
    """Figures that any trial has; image AUROC always, so that its absence is seen."""
    return [key for key in FIGURES if key == "image_auroc" or any(t[key] is not None for t in results["trials"])]


def _explained(shown: list[str]) -> str:
    return " ".join(text for key, text in (("step_average", STEP_AVERAGE), ("merit", MERIT)) if key in shown)


def _spread_cell(spread: Row, write: Callable[[Any], str]) -> Cell:
    if spread["mean"] is None:
        return Cell("-")
    if spread["std"] is None:
        return Cell(write(spread["mean"]))
    if spread["lowest"] == spread["highest"]:
        return Cell(write(spread["mean"]), "±0")
    std = write(spread["std"]).lstrip("+")
    return Cell(write(spread["mean"]), f"±{std}", f"{write(spread['lowest'])}..{write(spread['highest'])}")
