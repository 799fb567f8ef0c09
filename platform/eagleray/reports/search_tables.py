"""The closing tables of adnas_search, for a terminal of 80 columns or more."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType

from eagleray.reports.grids import Grid
from eagleray.reports.mixture_tables import draw_grid
from eagleray.reports.search_grids import search_grids
from eagleray.reports.search_rows import CELLS

WIDTH = 80
KEYS = {"modalities": 2, "cells": len(CELLS)}
"""Table -> its first columns that say what a row is of; one column in any other."""
GAP = 2
"""Columns of the terminal between two columns of a table."""


def search_tables(results: Mapping[str, Any]) -> dict[str, RenderableType]:
    """Every table the results have figures for, in the order of the report; none for another job.

    Of "modalities" (the paper's Tables 1 to 3), "cells" (Table 4), "searches", "speed" (Table 5), "shots" and
    "shots_by_category" (Tables 6 and 7). Where the categories do not fit side by side, a table goes on below itself.
    """
    return {name: _drawn(grid) for name, grid in search_grids(results).items()}


def _drawn(grid: Grid) -> RenderableType:
    pieces = list(_pieces(grid))
    return Group(*(draw_grid(piece, stacked=len(pieces) > 1 or None) for piece in pieces))


def _pieces(grid: Grid) -> Iterator[Grid]:
    """Parts of a table that each fit the width, every one with the columns that say what a row is of."""
    num_keys = KEYS.get(grid.name, 1)
    widths = [_width(grid, column) + GAP for column in range(len(grid.headings))]
    pieces: list[list[int]] = [[]]
    for column in range(num_keys, len(widths)):
        taken = sum(widths[:num_keys]) + sum(widths[one] for one in pieces[-1])
        if pieces[-1] and taken + widths[column] > WIDTH:
            pieces.append([])
        pieces[-1].append(column)
    for number, columns in enumerate(pieces):
        kept = [*range(num_keys), *columns]
        last = number == len(pieces) - 1
        yield replace(
            grid,
            title=grid.title if number == 0 else f"{grid.title}, continued",
            caption=grid.caption if last else "",
            notes=grid.notes if last else (),
            headings=[grid.headings[column] for column in kept],
            words=frozenset(at for at, column in enumerate(kept) if column in grid.words),
            rows=[[row[column] for column in kept] for row in grid.rows],
            strong=frozenset((row, kept.index(column)) for row, column in grid.strong if column in kept),
        )


def _width(grid: Grid, column: int) -> int:
    """Of the widest word that stands in a column by itself."""
    texts = [row[column] for row in grid.rows]
    heading = grid.headings[column].split("\n" if column in grid.words else None)
    return max(len(text) for text in [*heading, *(part for cell in texts for part in cell)])
