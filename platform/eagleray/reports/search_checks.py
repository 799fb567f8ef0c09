"""Relations between fields of adnas_search's results that a JSON Schema cannot state."""

from collections.abc import Mapping
from typing import Any

from eagleray.errors import ResultsError

NUM_OPERATIONS = 4


def check_search(results: Mapping[str, Any], where: str) -> None:
    """Genotypes can be built, and the alphas have a row for every choice and a column for every candidate.

    Raises:
        ResultsError: the first violation, as one line that names `where` and the field.
    """
    _check_genotype(results["genotype"], "$.genotype", where)
    _check_kept(results, where)
    for number, search in enumerate(results["searches"]):
        field = f"$.searches[{number}]"
        if search["genotype"] is not None:
            _check_genotype(search["genotype"], f"{field}.genotype", where)
        for at, epoch in enumerate(search["history"]):
            for group, rows in epoch["alphas"].items():
                _check_alphas(rows, group, results["candidates"], f"{field}.history[{at}].alphas.{group}", where)


def _check_kept(results: Mapping[str, Any], where: str) -> None:
    found = {search["name"]: search["genotype"] for search in results["searches"]}
    if (kept := results["kept"]) is not None and found.get(kept) != results["genotype"]:
        raise ResultsError(where, f"field $.kept: no search {kept!r} has the genotype in $.genotype")


def _check_genotype(genotype: Mapping[str, Any], field: str, where: str) -> None:
    if not any(genotype["cells"].values()):
        raise ResultsError(where, f"field {field}.cells: at least one cell must be there")
    known: set[str] = set()
    for name, cell in genotype["cells"].items():
        if cell is None:
            continue
        for feature in cell["features"]:
            if feature.startswith("cell.") and feature not in known:
                raise ResultsError(where, f"field {field}.cells.{name}.features: {feature} is no earlier cell")
        known.add(f"cell.{name}")
        for number, node in enumerate(cell["nodes"]):
            if max(node["inputs"]) >= number + 2:
                inputs = f"{node['inputs']} name an input that is not before the node"
                raise ResultsError(where, f"field {field}.cells.{name}.nodes[{number}].inputs: {inputs}")


def _check_alphas(
    rows: list[list[float]], group: str, candidates: Mapping[str, list[str]], field: str, where: str
) -> None:
    cell, kind = group.split(".")
    widths = {
        "features": [len(candidates.get(cell, []))] * 2,
        "nodes": [2 + row // 2 for row in range(len(rows))],
        "ops": [NUM_OPERATIONS] * len(rows),
    }[kind]
    found = [len(row) for row in rows]
    if found != widths:
        raise ResultsError(where, f"field {field}: rows of {found} weights, not of {widths}")
