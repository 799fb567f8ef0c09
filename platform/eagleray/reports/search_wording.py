"""Findings of adnas_search in words; none is claimed that was not measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eagleray.reports.search_rows import (
    CELLS,
    GIVEN,
    OTHERS,
    SEARCHES,
    Row,
    cells_of,
    differences,
    groups,
    method_name,
    over_categories,
    over_seeds,
    part,
    trained,
    used_cells,
    winner,
)
from eagleray.reports.wording import (
    alarms,
    by_reason,
    class_names,
    count,
    detection,
    figure,
    listed,
    signed,
    why_missing,
)


def title(results: Row) -> str:
    """Heading of the report: how much was learned, and what the fusion was chosen from."""
    kept = winner(results)
    parts = [count(len(results["order"]), "category", "categories") + ", colour and depth"]
    if kept is not None and kept["method"] != GIVEN:
        found = [search for search in part(results, "searches") if search["method"] not in OTHERS]
        parts.append(f"best of {count(len(found), 'search', 'searches')}")
    return ", ".join(parts)


def means_of(results: Row) -> str:
    """Note for the table of the categories."""
    best = winner(results)
    return "Figures of the fusion that was kept" + ("" if best is None else f", {best['name']}")


def verdict(results: Row) -> list[str]:
    """What the run showed, as plain sentences built from its figures."""
    sentences = [
        detection(results),
        _kept(results),
        _searches(results),
        _cells(results),
        _modalities(results),
        _speed(results),
        alarms(results),
    ]
    return [sentence for sentence in sentences if sentence]


def _kept(results: Row) -> str:
    best = winner(results)
    if best is None:
        return ""
    cells = list(used_cells(results["genotype"]))
    left = [name for name in CELLS if name not in cells]
    where = f"fuses in the {_and(cells)} {'cell' if len(cells) == 1 else 'cells'}"
    without = f" and leaves out the {_and(left)} {'one' if len(left) == 1 else 'ones'}" if left else ""
    if best["method"] == GIVEN:
        return f"The fusion was given, not searched for; it {where}{without}."
    return (
        f"The fusion kept is that of {_inside(best['method'])}, seed {best['seed']}, chosen by its image AUROC on "
        f"held-out pictures with synthetic anomalies ({figure(best['validation_auroc'])}); it {where}{without}."
    )


def _searches(results: Row) -> str:
    found = {name: rows for name, rows in trained(results).items() if name in SEARCHES}
    means = {name: over_seeds(row["image_auroc"] for row in rows)["mean"] for name, rows in found.items()}
    told = [f"{figure(value)} by {_inside(name)}" for name, value in means.items() if value is not None]
    if len(told) < 2:
        return ""
    rows = [row for rows in found.values() for row in rows]
    seeds = max(len(rows) for rows in found.values())
    over = f" and over {seeds} seeds" if seeds > 1 else ""
    text = f"{budget_words(rows)}{over}, image AUROC is {_and(told)}"
    gain = gain_over_random(results)
    return f"{text}; DARTS against random search: {_change(gain)}." if gain else f"{text}."


def gain_over_random(results: Row) -> list[float]:
    """Image AUROC of DARTS minus that of random search, seed by seed; empty where either is missing."""
    found = trained(results)
    return differences(found.get("darts", []), found.get("random", []), "image_auroc")


def budget_words(searches: Sequence[Row]) -> str:
    """ "With at most 184 TFLOP each": the most that any of the searches spent."""
    return f"With at most {tflop(max(row['budget_gflop'] for row in searches))} TFLOP each"


def tflop(gflop: float) -> str:
    """A budget, with at least two digits of it."""
    value = gflop / 1000
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _cells(results: Row) -> str:
    means = {
        name: over_seeds(row["image_auroc"] for row in rows)["mean"]
        for name, rows in trained(results).items()
        if cells_of(name)
    }
    known = {name: value for name, value in means.items() if value is not None}
    if len(known) < 2:
        return ""
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return (
        f"Limited to some of the cells, {_inside(high)} does best ({figure(known[high])}) and {_inside(low)} worst "
        f"({figure(known[low])})."
    )


def modality_means(results: Row) -> dict[str, float]:
    """Modalities -> mean image AUROC over categories and seeds; only those with a figure."""
    seen = groups(part(results, "modalities"), lambda row: row["modalities"])
    means = {name: over_categories(rows, "image_auroc")["mean"] for name, rows in seen.items()}
    return {name: value for name, value in means.items() if value is not None}


def _modalities(results: Row) -> str:
    means = modality_means(results)
    names = {"color+depth": "colour and depth together", "color": "colour alone", "depth": "depth alone"}
    told = [f"{names[name]} {figure(means[name])}" for name in names if name in means]
    if len(told) < 2:
        return ""
    text = f"Image AUROC of {_and(told)}"
    alone = {name: value for name, value in means.items() if name != "color+depth"}
    if not alone or "color+depth" not in means:
        return f"{text}."
    best = max(alone, key=alone.__getitem__)
    gain = round(means["color+depth"] - alone[best], 3)
    added = "depth adds" if best == "color" else "colour adds"
    return f"{text}: {added} {figure(gain) if gain > 0 else f'nothing ({signed(gain)})'}."


def _speed(results: Row) -> str:
    best = winner(results)
    if best is None or best["frames_per_s"] is None:
        return ""
    return (
        f"It judges {best['frames_per_s']:,.1f} pictures a second, with {megabytes(best['weights_mb'])} of weights and "
        f"{megabytes(best['peak_mb'])} of maps at its peak."
    )


def megabytes(value: float) -> str:
    """Such as 590 MB; two digits of what is small."""
    return f"{value:,.0f} MB" if value >= 10 else f"{value:.2g} MB"


def tiles(results: Row, measured: Callable[[str], str]) -> list[tuple[str, str, str]]:
    """Key figures as name, value and detail; `measured` tells what a mean is over."""
    mean, best, means = results["mean"], winner(results), modality_means(results)
    known = [
        ("Image AUROC", figure(mean["image_auroc"]), measured("image_auroc")),
        ("Pixel AUROC", figure(mean["pixel_auroc"]), measured("pixel_auroc")),
        ("AUPRO", figure(mean["aupro"]), measured("aupro")),
    ]
    if gain := gain_over_random(results):
        known.append(("Against random", signed(sum(gain) / len(gain)), "image AUROC of DARTS minus random search"))
    if {"color+depth", "color"} <= means.keys():
        gain_by_depth = signed(means["color+depth"] - means["color"])
        known.append(("What depth adds", gain_by_depth, f"image AUROC; colour alone has {figure(means['color'])}"))
    if best is not None and best["frames_per_s"] is not None:
        known.append(("Frames per second", f"{best['frames_per_s']:,.1f}", "colour and depth are one frame"))
        weights = f"of maps at its peak, beside {megabytes(best['weights_mb'])} of weights"
        known.append(("Memory", megabytes(best["peak_mb"]), weights))
    return known


def missing(results: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    """Why categories have no figure: one line per reason."""
    classes = results["classes"]
    found = [
        (classes[name].get("reasons", {}).get(key) or why_missing(results, key), shown, name)
        for name in class_names(results)
        for key, shown in titles.items()
        if classes[name][key] is None
    ]
    return [f"no {', '.join(keys)} for {listed(names)}: {reason}" for reason, keys, names in by_reason(found)]


def _change(changes: Sequence[float]) -> str:
    text = signed(sum(changes) / len(changes))
    if len(changes) < 2:
        return text
    return f"{text} ({signed(min(changes))} to {signed(max(changes))} seed by seed)"


def _inside(method: str) -> str:
    """Title of a method within a sentence."""
    name = method_name(method)
    name = name if name.isupper() else name[:1].lower() + name[1:]
    return f"the {name}" if len(cells_of(method)) == 1 else name


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
