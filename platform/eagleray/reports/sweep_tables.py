"""The closing table of a sweep, for a terminal of 80 columns or more."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.table import Table

from eagleray.reports.mixture_tables import draw_grid
from eagleray.reports.sweep_grids import points_grid
from eagleray.reports.sweep_rows import is_space


def sweep_table(results: Mapping[str, Any]) -> Table:
    """The figures of every point: mean over its complete trials, and one standard deviation below.

    What does not fit beside the settings of a space stands in the report alone.
    """
    grid = points_grid(results)
    caption = "Mean over the complete trials of a point, ± one standard deviation. Bold has the highest image AUROC."
    left_out = {"step average"} | ({"trials", "forgetting", "routing", "rows"} if is_space(results) else set())
    kept = [column for column, heading in enumerate(grid.headings) if heading not in left_out]
    rows = [[row[column]._replace(change="") for column in kept] for row in grid.rows]
    strong = frozenset((row, kept.index(column)) for row, column in grid.strong if column in kept)
    headings = [grid.headings[column] for column in kept]
    return draw_grid(replace(grid, caption=caption, headings=headings, rows=rows, strong=strong), stacked=True)
