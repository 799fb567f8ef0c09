"""The closing tables of adapted_moe, for a terminal of 80 columns or more."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from eagleray.reports.grids import Cell, Grid, grids

MOST_FIGURES = 7
"""Most columns that leave room in 80 columns for a figure and its spread side by side; in more they are stacked."""


def mixture_tables(results: Mapping[str, Any]) -> dict[str, Table]:
    """Every table the results have figures for, by the key of the results, in the order of the report.

    Of "subclasses", "ablation" (the paper's Table 3), "losses" (Table 4), "top_k", "baselines" and "evidence"; none
    for another job.
    """
    return {name: _drawn(grid) for name, grid in grids(results).items()}


def _drawn(grid: Grid) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=Text(grid.title),
        title_justify="left",
        title_style="bold",
        caption=Text("\n".join([grid.caption, *(f"- {note}" for note in grid.notes)])),
        caption_justify="left",
        header_style="bold",
    )
    for column, title in enumerate(grid.headings):
        # A long name folds instead of pushing the figures off the screen.
        side, folds = ("left", "fold") if column in grid.words else ("right", "ellipsis")
        heading = Text(title.replace(" ", "\n") if column not in grid.words else title)
        table.add_column(heading, justify=side, overflow=folds, no_wrap=column not in grid.words)  # type: ignore[arg-type]
    stacked = len(grid.headings) > MOST_FIGURES
    for number, row in enumerate(grid.rows):
        # A name that repeats in the first column would hide where the next one begins.
        again = 0 in grid.words and number > 0 and grid.rows[number - 1][0] == row[0]
        if number and not again and 0 in grid.words:
            table.add_section()
        texts = ["" if again and not column else _lines(cell, stacked) for column, cell in enumerate(row)]
        strong = ["bold" if (number, column) in grid.strong else "" for column in range(len(row))]
        table.add_row(*map(Text, texts, strong))
    return table


def _lines(cell: Cell, stacked: bool) -> str:
    first = [cell.text, cell.around] if stacked else [" ".join(filter(None, cell[:2]))]
    return "\n".join(filter(None, (*first, cell.change)))
