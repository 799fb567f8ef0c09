"""The closing tables of adapted_moe, for a terminal of 80 columns or more."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from eagleray.reports.grids import Cell, Grid, mixture_grids

MOST_FIGURES = 7
"""Most columns that leave room in 80 columns for a figure and its spread side by side; in more they are stacked."""


def mixture_tables(results: Mapping[str, Any]) -> dict[str, Table]:
    """Every table the results have figures for, by the key of the results, in the order of the report.

    Of "subclasses", "ablation" (the paper's Table 3), "losses" (Table 4), "top_k", "baselines" and "evidence"; none
    for another job.
    """
    return {name: draw_grid(grid) for name, grid in mixture_grids(results).items()}


def draw_grid(grid: Grid, *, stacked: bool | None = None) -> Table:
    """A table in words for a terminal; spreads stand below figures if `stacked`, by default where columns are many."""
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
    stacked = len(grid.headings) > MOST_FIGURES if stacked is None else stacked
    firsts = [row[0] for row in grid.rows]
    grouped = 0 in grid.words and len(set(firsts)) < len(firsts)
    for number, row in enumerate(grid.rows):
        # A name that repeats in the first column would hide where the next one begins.
        again = grouped and number > 0 and firsts[number - 1] == row[0]
        if number and grouped and not again:
            table.add_section()
        texts = ["" if again and not column else _lines(cell, stacked) for column, cell in enumerate(row)]
        strong = ["bold" if (number, column) in grid.strong else "" for column in range(len(row))]
        table.add_row(*map(Text, texts, strong))
    return table


def _lines(cell: Cell, stacked: bool) -> str:
    first = [cell.text, cell.around] if stacked else [" ".join(filter(None, cell[:2]))]
    return "\n".join(filter(None, (*first, cell.change)))
