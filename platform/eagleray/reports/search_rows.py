"""What adnas_search's results hold, in order and averaged over seeds, as every table, picture and sentence needs it."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from eagleray.reports.canvas import BLUE, ORANGE, PURPLE
from eagleray.reports.wording import class_names, is_search

GIVEN = "given"
"""Method of a fusion that was not searched for."""
SEARCHES = {"darts": "DARTS", "random": "Random search", "evolution": "Evolution"}
"""Title of each way to search, in the order shown."""
CELLS = ("early", "middle", "late")
OTHERS = {GIVEN: "Given", "color": "Colour alone", "depth": "Depth alone", "scratch": "Kept, retrained"}
"""Title of each other known method."""
UNSEARCHED = (GIVEN, "scratch")
"""Methods that search for nothing."""
MODALITIES = {"color": "colour", "depth": "depth", "color+depth": "colour + depth"}
OPERATIONS = {"add": "add", "concat": "concat", "glu": "GLU", "attention": "attention"}
"""Operation of a node -> its name for a reader, in the order of the alphas."""
SOURCE_COLOURS = {"color": ORANGE, "depth": BLUE, "cell": PURPLE}
"""Colours of what a cell can take: a feature of either modality, or the output of an earlier cell."""
Row = Mapping[str, Any]
RowT = TypeVar("RowT", bound=Row)
Spread = Mapping[str, Any]
"""Mean and standard deviation over seeds, both None where no seed has a figure, and the values they are of."""


def part(results: Row, key: str) -> list[dict[str, Any]]:
    """Rows of a key that adnas_search adds; none where it is absent, and none in another job."""
    return list(results.get(key, [])) if is_search(results) else []


def groups(rows: Iterable[RowT], by: Callable[[Row], Hashable]) -> dict[Any, list[RowT]]:
    """Rows by what they share, in the order met."""
    found: dict[Any, list[RowT]] = {}
    for row in rows:
        found.setdefault(by(row), []).append(row)
    return found


def by_method(results: Row) -> dict[str, list[dict[str, Any]]]:
    """Method -> its searches: the ways to search, then fusion by chosen cells, then all else."""
    found = groups(part(results, "searches"), lambda row: row["method"])
    order = [*SEARCHES, *sorted((m for m in found if cells_of(m)), key=_cells_first), *OTHERS]
    return {name: found[name] for name in [*order, *(name for name in found if name not in order)] if name in found}


def trained(results: Row) -> dict[str, list[dict[str, Any]]]:
    """The same without searches that were stopped before a network was trained; of a seed's, that of the best held-out.

    Several learning rates are so many searches of one seed, and only one of them counts, as for any other method.
    """
    found = {}
    for name, rows in by_method(results).items():
        by_seed = groups((row for row in rows if row["categories"]), _seed)
        if by_seed:
            found[name] = [_best_held_out(mine) for mine in by_seed.values()]
    return found


def _best_held_out(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max(rows, key=lambda row: row["validation_auroc"] or 0.0)


def cells_of(method: str) -> tuple[str, ...]:
    """The cells that a method is limited to, ("early", "middle") for "early+middle"; none for any other method."""
    names = tuple(method.split("+"))
    return names if set(names) <= set(CELLS) else ()


def _cells_first(method: str) -> tuple[int, list[int]]:
    """One cell before two, early before late: the order of the paper's Table 4."""
    cells = cells_of(method)
    return len(cells), [CELLS.index(name) for name in cells]


def method_name(method: str) -> str:
    """Title of a method; an unknown one keeps its name."""
    if cells := cells_of(method):
        return " + ".join(cells).capitalize() + (" cell" if len(cells) == 1 else "")
    return (SEARCHES | OTHERS).get(method, method)


def over_seeds(values: Iterable[float | None]) -> Spread:
    """Mean and standard deviation of the figures that exist."""
    values = list(values)
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "std": None, "values": values}
    return {"mean": float(np.mean(known)), "std": float(np.std(known)), "values": values}


def over_categories(rows: Iterable[dict[str, Any]], key: str) -> Spread:
    """Spread over the seeds of the mean over the categories."""
    seeds = groups((row for row in rows if row[key] is not None), lambda row: row["seed"])
    return over_seeds(float(np.mean([row[key] for row in mine])) for mine in seeds.values())


def categories(results: Row) -> list[str]:
    """Names of the categories, in order."""
    return class_names(results)


def winner(results: Row) -> dict[str, Any] | None:
    """The search whose fusion was kept; None where it is not among the searches."""
    return next((search for search in part(results, "searches") if search["name"] == results["kept"]), None)


def gradient_search(results: Row) -> dict[str, Any] | None:
    """The winner where that is a search by gradient, else the one with the highest merit; None without any."""
    ran = [search for search in part(results, "searches") if search["history"]]
    kept = winner(results)
    if kept is not None and kept["history"]:
        return kept
    return max(ran, key=lambda search: search["merit"], default=None)


def used_cells(genotype: Row) -> dict[str, dict[str, Any]]:
    """The cells whose output reaches the head, early to late."""
    cells = {name: genotype["cells"][name] for name in CELLS if genotype["cells"][name] is not None}
    wanted = {list(cells)[-1]}
    for name in reversed(cells):
        if name in wanted:
            wanted |= {taken.removeprefix("cell.") for taken in cells[name]["features"]}
    return {name: cell for name, cell in cells.items() if name in wanted}


def differences(first: Sequence[Row], second: Sequence[Row], key: str) -> list[float]:
    """Mean `key` of `first` minus that of `second`, seed by seed; only seeds for which both have a figure."""
    means = [
        {seed: over_seeds(row[key] for row in mine)["mean"] for seed, mine in groups(rows, _seed).items()}
        for rows in (first, second)
    ]
    pairs = [(means[0][seed], means[1][seed]) for seed in means[0].keys() & means[1].keys()]
    return [one - other for one, other in pairs if one is not None and other is not None]


def _seed(row: Row) -> int:
    return int(row["seed"])


def input_name(number: int) -> str:
    """Name of a node's input: the cell's features first, then its nodes."""
    return f"feature {number + 1}" if number < 2 else f"node {number - 1}"


def feature_name(feature: str) -> str:
    """ "colour early 0" for "color.early.0", "early cell" for "cell.early"."""
    kind, *rest = feature.split(".")
    return f"{rest[0]} cell" if kind == "cell" else " ".join([MODALITIES[kind], *rest])
