"""Tables of adnas_search in the paper's form, as plain text in rows."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from eagleray.reports.grids import Cell, Grid, highest, spread_cell
from eagleray.reports.search_rows import (
    CELLS,
    MODALITIES,
    UNSEARCHED,
    Row,
    Spread,
    by_method,
    categories,
    cells_of,
    groups,
    method_name,
    over_categories,
    over_seeds,
    part,
    trained,
    winner,
)
from eagleray.reports.search_wording import budget_words, missing, tflop
from eagleray.reports.wording import figure

FIGURES = {"image_auroc": "I-AUROC", "pixel_auroc": "P-AUROC", "aupro": "AUPRO"}
STOPPED = {"asha": "behind", "settled": "settled", None: "budget"}
"""Why a search ended, in a word; the caption of its table says what that means."""


def search_grids(results: Mapping[str, Any]) -> dict[str, Grid]:
    """Every table that the results have figures for, by name, in the order of the report; none for another job."""
    makers = (modalities_grid, cells_grid, searches_grid, speed_grid, shots_grid, shots_by_category_grid)
    return {grid.name: grid for grid in (make(results) for make in makers) if grid is not None}


def modalities_grid(results: Row) -> Grid | None:
    """The paper's Tables 1 to 3: the figures of either modality and of both, per category and in the mean."""
    seen = groups(part(results, "modalities"), lambda row: row["modalities"])
    if not seen:
        return None
    lines: list[list[Cell]] = []
    strong: set[tuple[int, int]] = set()
    for key, shown in FIGURES.items():
        block = {name: _per_category(results, seen[name], key) for name in MODALITIES if name in seen}
        strong |= {(len(lines) + row, 2 + column) for row, column in _best(list(block.values()))}
        lines += [[Cell(shown), Cell(MODALITIES[name]), *map(spread_cell, cells)] for name, cells in block.items()]
    return Grid(
        name="modalities",
        title="Figures of either modality and of both",
        caption=f"{_seeds_words(seen.values())} The best modality of a figure is bold.",
        headings=["figure", "modalities", *_headings(results), "mean"],
        words=frozenset({0, 1}),
        rows=lines,
        strong=frozenset(strong),
        notes=missing(results, FIGURES),
    )


def cells_grid(results: Row) -> Grid | None:
    """The paper's Table 4: image AUROC of searches over some of the cells, and of the fusion kept from all three."""
    found = trained(results)
    lines = [(cells_of(name), rows) for name, rows in found.items() if cells_of(name)]
    if not lines:
        return None
    if (kept := winner(results)) is not None and kept["categories"]:
        lines.append((CELLS, [kept, *found.get("scratch", [])]))
    block = [_by_entry(results, rows) for _, rows in lines]
    return Grid(
        name="cells",
        title="What each cell brings: image AUROC",
        caption=f"{_seeds_words(rows for _, rows in lines)} ✓: the search was free to fuse there. All three: the "
        "fusion that was kept. The best of a column is bold.",
        headings=[*CELLS, *_headings(results), "mean"],
        words=frozenset(),
        rows=[
            [*(Cell("✓" if name in cells else "-") for name in CELLS), *map(spread_cell, spreads)]
            for (cells, _), spreads in zip(lines, block, strict=True)
        ],
        strong=frozenset((row, len(CELLS) + column) for row, column in _best(block)),
        notes=missing(results, {"image_auroc": FIGURES["image_auroc"]}),
    )


def searches_grid(results: Row) -> Grid | None:
    """Every search with what it spent and why it ended, the kept one stressed."""
    rows = [row for rows in by_method(results).values() for row in sorted(rows, key=lambda row: row["seed"])]
    if not rows:
        return None
    kept, alone = winner(results), Counter((row["method"], row["seed"]) for row in rows)
    titles = ["method", "seed", "held-out", *FIGURES.values(), "TFLOP", "min", "ended"]
    return Grid(
        name="searches",
        title="Every search and baseline",
        caption=f"{budget_words(rows)}. Held-out: image AUROC on held-out good pictures with synthetic anomalies, "
        "by which one of the fusions that a search handed on was chosen; no test picture was looked at. Bold is the "
        "fusion that was kept. Ended: its budget was used, it had settled on a fusion, or it was stopped behind the "
        "others (ASHA).",
        headings=titles,
        words=frozenset({0, 8}),
        rows=[
            [
                Cell(method_name(row["method"]) if alone[row["method"], row["seed"]] == 1 else row["name"]),
                Cell(str(row["seed"])),
                Cell(figure(row["validation_auroc"])),
                *(Cell(figure(row[key])) for key in FIGURES),
                Cell(tflop(row["budget_gflop"])),
                Cell(f"{row['search_s'] / 60:,.1f}"),
                Cell("-" if row["method"] in UNSEARCHED else STOPPED[row["stopped"]]),
            ]
            for row in rows
        ],
        strong=frozenset((n, column) for n, row in enumerate(rows) if row is kept for column in range(len(titles))),
    )


def speed_grid(results: Row) -> Grid | None:
    """The paper's Table 5, with the memory of the weights and that of judging kept apart."""
    found = trained(results)
    if not found:
        return None
    units = {"frames_per_s": "frames/s", "weights_mb": "weights MB", "peak_mb": "peak MB"}
    return Grid(
        name="speed",
        title="Frame rate, memory and image AUROC",
        caption=f"{_seeds_words(found.values())} Weights: size of what is stored. Peak: most memory in use while a "
        "picture is judged, weights not counted.",
        headings=["method", *units.values(), "I-AUROC"],
        words=frozenset({0}),
        rows=[
            [
                Cell(method_name(name)),
                *(_quantity([row[key] for row in rows], _digits(rows, key)) for key in units),
                spread_cell(over_seeds(row["image_auroc"] for row in rows)),
            ]
            for name, rows in found.items()
        ],
    )


def shots_grid(results: Row) -> Grid | None:
    """The paper's Tables 6 and 7: every figure by the number of pictures learned from, "all" being the whole run."""
    seen = _shots(results)
    if not seen:
        return None
    return Grid(
        name="shots",
        title="Learned from few pictures",
        caption=f"{_seeds_words(seen.values())} Columns: training pictures of each category, drawn by the seed. The "
        "weights alone learn from few: the architecture was found with the pictures of the last column.",
        headings=["figure", *(_shots_words(results, shots) for shots in seen)],
        words=frozenset({0}),
        rows=[
            [Cell(shown), *(spread_cell(over_categories(rows, key)) for rows in seen.values())]
            for key, shown in FIGURES.items()
        ],
        notes=missing(results, FIGURES),
    )


def shots_by_category_grid(results: Row) -> Grid | None:
    """Image AUROC per category by the number of pictures learned from (the supplement's Tables 3 and 6)."""
    seen = _shots(results)
    if not seen:
        return None
    return Grid(
        name="shots_by_category",
        title="Image AUROC from few pictures, per category",
        caption=_seeds_words(seen.values()),
        headings=["pictures", *_headings(results), "mean"],
        words=frozenset({0}),
        rows=[
            [Cell(_shots_words(results, shots)), *map(spread_cell, _per_category(results, rows, "image_auroc"))]
            for shots, rows in seen.items()
        ],
    )


def _headings(results: Row) -> list[str]:
    """The categories, "ChocolateCookie" on two lines."""
    return [re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name) for name in categories(results)]


def _shots(results: Row) -> dict[int | None, list[dict[str, Any]]]:
    """Number of pictures -> its rows, few first; None stands for the whole run's, as in the modalities' rows."""
    found = groups(part(results, "shots"), lambda row: row["shots"])
    both = [row for row in part(results, "modalities") if row["modalities"] == "color+depth"]
    few: dict[int | None, list[dict[str, Any]]] = {shots: found[shots] for shots in sorted(found)}
    return few | ({None: both} if few and both else {})


def _shots_words(results: Row, shots: int | None) -> str:
    """ "5-shot"; for the whole run "all", unless it was given few pictures itself."""
    number = shots or results["config"].get("shots")
    return f"{number}-shot" if number else "all"


def _per_category(results: Row, rows: Sequence[dict[str, Any]], key: str) -> list[Spread]:
    """Spread over the seeds in each category, then that of the mean over the categories."""
    mine = groups(rows, lambda row: row["category"])
    each = [over_seeds(row[key] for row in mine.get(name, [])) for name in categories(results)]
    return [*each, over_categories(rows, key)]


def _by_entry(results: Row, searches: Sequence[Row]) -> list[Spread]:
    """The same of image AUROC, from the categories of each search."""
    each = [
        over_seeds(search["categories"].get(name, {}).get("image_auroc") for search in searches)
        for name in categories(results)
    ]
    return [*each, over_seeds(search["image_auroc"] for search in searches)]


def _best(block: Sequence[Sequence[Spread]]) -> set[tuple[int, int]]:
    """Places of the best of each column, as (row, column)."""
    columns = enumerate(zip(*block, strict=True))
    return {(row, column) for column, cells in columns for row in highest([cell["mean"] for cell in cells])}


def _digits(rows: Sequence[Row], key: str) -> int:
    """Of a frame rate or a size in MB: more of what is small."""
    return 1 if key == "frames_per_s" else 0 if min(row[key] for row in rows) >= 10 else 2


def _quantity(values: Sequence[float], digits: int) -> Cell:
    """Mean of a quantity that is no share, with its spread where there is one."""
    spread = over_seeds(values)
    around = f"±{spread['std']:,.{digits}f}" if len(values) > 1 else ""
    return Cell(f"{spread['mean']:,.{digits}f}", around)


def _seeds_words(blocks: Any) -> str:
    """ "Mean and standard deviation over 3 seeds.", or that there was one."""
    most = max(len({row["seed"] for row in rows}) for rows in blocks)
    return f"Mean and standard deviation over {most} seeds." if most > 1 else "One seed."
