"""Findings of adapted_moe in words, and its figures over seeds and categories that every table and picture needs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eagleray.reports.wording import (
    NO_REASON,
    alarms,
    by_reason,
    class_names,
    count,
    figure,
    is_mixture,
    listed,
    percent,
    signed,
)

BASELINES = {
    "simplenet": "Single SimpleNet",
    "bank": "Memory bank",
    "bank_plain": "Plain memory bank",
}
"""Title of each known baseline, in the order shown."""
PARTS = {"moe": "MoE", "tta": "TTA", "norm": "Norm"}
"""The switches of the ablation, as the paper's Table 3 names them."""
LOSSES = {"softmax": "softmax", "center": "softmax + center"}
Row = Mapping[str, Any]


def part(results: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Rows of a key that adapted_moe adds, its categories in order; none in another job, whose key of that name is
    something else.
    """
    if not is_mixture(results):
        return []
    place = {name: number for number, name in enumerate(class_names(results))}
    return sorted(results[key], key=lambda row: place.get(row["category"], len(place)))


def categories(rows: Sequence[Row]) -> list[str]:
    """Names of the categories in `rows`, in their order."""
    return list(dict.fromkeys(row["category"] for row in rows))


def variants(rows: Sequence[Row]) -> list[tuple[bool, ...]]:
    """The combinations of (moe, tta, norm) in rows of the ablation, in their order."""
    return list(dict.fromkeys(switches(row) for row in rows))


def switches(row: Row) -> tuple[bool, ...]:
    """The row's (moe, tta, norm)."""
    return tuple(row[key] for key in PARTS)


def variant_name(switched: Sequence[bool]) -> str:
    """ "MoE + TTA", or "none" for the plain method."""
    return " + ".join(name for name, on in zip(PARTS.values(), switched, strict=True) if on) or "none"


def baseline_name(name: str) -> str:
    """Title of a baseline; an unknown one keeps its name."""
    return BASELINES.get(name, name)


def num_seeds(rows: Sequence[Row]) -> int:
    """Most seeds behind any figure of `rows`."""
    spreads = [value for row in rows for value in row.values() if isinstance(value, Mapping) and "values" in value]
    return max((len(spread["values"]) for spread in spreads), default=0)


def seeds_words(rows: Sequence[Row], what: str = "standard deviation") -> str:
    """ "Mean and standard deviation over 3 seeds", or that there was one."""
    seeds = num_seeds(rows)
    return f"Mean and {what} over {seeds} seeds" if seeds > 1 else "One seed"


def reasons(rows: Sequence[Row], titles: Mapping[str, str]) -> list[str]:
    """Why figures of `rows` are missing: one line per reason, with the figures and whom they concern."""
    missing = [
        (_reason(row, key), name, " ".join(filter(None, (row["category"], row.get("subclass")))))
        for row in rows
        for key, name in titles.items()
        if (row[key]["mean"] if isinstance(row[key], Mapping) else row[key]) is None
    ]
    return [f"no {', '.join(f)} for {listed(names)}: {reason}" for reason, f, names in by_reason(missing)]


def _reason(row: Row, key: str) -> str:
    found = row[key]["reason"] if isinstance(row[key], Mapping) else row.get("reasons", {}).get(key, NO_REASON)
    return str(found)


def tested_on(results: Mapping[str, Any]) -> str:
    """ "on unseen subclasses" and the like: what the figures of the categories are means over."""
    unseen = {row["category"] for row in part(results, "subclasses") if not row["seen"]}
    if not unseen:
        return "on the subclasses it learned"
    if unseen >= results["classes"].keys():
        return "on unseen subclasses"
    return "on unseen subclasses where a category has any"


def means_of(results: Mapping[str, Any]) -> str:
    """Note for the table of the categories."""
    return f"Means {tested_on(results)}"


def title(results: Mapping[str, Any]) -> str:
    """Heading of the report: how much was learned."""
    experts = sum(values["experts"] for values in results["classes"].values())
    unseen = sum(not row["seen"] for row in part(results, "subclasses"))
    parts = [count(len(results["order"]), "category", "categories"), count(experts, "expert")]
    return ", ".join(parts + ([count(unseen, "unseen subclass", "unseen subclasses")] if unseen else []))


def verdict(results: Mapping[str, Any]) -> list[str]:
    """What the run showed, as plain sentences built from its figures."""
    sentences = [_detection(results), _gain(results), _baselines(results), _routing(results), alarms(results)]
    return [sentence for sentence in sentences if sentence]


def _detection(results: Mapping[str, Any]) -> str:
    means = {"image AUROC": results["mean"]["image_auroc"], "pixel AUROC": results["mean"]["pixel_auroc"]}
    found = [f"{name} {value:.3f}" for name, value in means.items() if value is not None]
    if not found:
        return "Without defective test images, no detection figure can be measured."
    where = tested_on(results)
    where = f"{where[:1].upper()}{where[1:]}"
    each = {n: results["classes"][n]["image_auroc"] for n in class_names(results)}
    each = {name: value for name, value in each.items() if value is not None}
    if len(each) < 2:
        return f"{where}, {' and '.join(found)}."
    low, high = min(each, key=each.__getitem__), max(each, key=each.__getitem__)
    span = f"image AUROC from {each[low]:.3f} ({low}) to {each[high]:.3f} ({high})"
    some = f" over {len(each)} of {len(results['classes'])} categories" if len(each) < len(results["classes"]) else ""
    return f"{where}, mean {' and '.join(found)}{some}; {span}."


def gain(results: Mapping[str, Any], key: str) -> tuple[float, list[float]] | None:
    """Mean `key` of a single SimpleNet (no part on) over the categories, and what all three parts change it by.

    Only categories that have both figures count. The change is one figure per seed where both have every seed, else
    one figure in all. None where the ablation lacks either row.
    """
    rows = part(results, "ablation")
    plain = {row["category"]: row[key] for row in rows if not any(switches(row))}
    whole = {row["category"]: row[key] for row in rows if all(switches(row))}
    pairs = [
        (plain[name], whole[name])
        for name in plain
        if name in whole and plain[name]["mean"] is not None and whole[name]["mean"] is not None
    ]
    if not pairs:
        return None
    seeds = {len(spread["values"]) for pair in pairs for spread in pair}
    complete = len(seeds) == 1 and not any(None in spread["values"] for pair in pairs for spread in pair)
    if complete and seeds != {0}:
        changes = [mean_of([w["values"][i] - p["values"][i] for p, w in pairs]) for i in range(seeds.pop())]
    else:
        changes = [mean_of([w["mean"] - p["mean"] for p, w in pairs])]
    return mean_of([p["mean"] for p, _ in pairs]), changes


def mean_of(values: Sequence[float]) -> float:
    """Plain mean."""
    return sum(values) / len(values)


def _gain(results: Mapping[str, Any]) -> str:
    measured = {name: gain(results, key) for key, name in (("image_auroc", "image"), ("pixel_auroc", "pixel"))}
    known = {name: found for name, found in measured.items() if found is not None}
    if not known:
        return ""
    start = " and ".join(f"{name} AUROC {plain:.3f}" for name, (plain, _) in known.items())
    change = " and ".join(f"{name} AUROC by {_change(changes)}" for name, (_, changes) in known.items())
    return (
        f"A single SimpleNet for all subclasses reaches {start}; routing, adaption and normalisation change {change}."
    )


def _change(changes: Sequence[float]) -> str:
    text = signed(mean_of(changes))
    if len(changes) < 2:
        return text
    return f"{text} ({signed(min(changes))} to {signed(max(changes))} over {len(changes)} seeds)"


def _baselines(results: Mapping[str, Any]) -> str:
    rows = part(results, "baselines")
    names = list(dict.fromkeys(row["name"] for row in rows))
    told = []
    for name in sorted(names, key=lambda n: list(BASELINES).index(n) if n in BASELINES else len(BASELINES)):
        if name == "simplenet" and gain(results, "image_auroc") is not None:
            continue  # the sentence before has told it
        mine = [row for row in rows if row["name"] == name]
        figures = {word: _mean(mine, key) for key, word in (("image_auroc", "image"), ("pixel_auroc", "pixel"))}
        known = [f"{word} AUROC {value:.3f}" for word, value in figures.items() if value is not None]
        if known:
            whom = f"a {BASELINES[name].lower()}" if name in BASELINES else name
            told.append(f"{whom} reaches {' and '.join(known)}")
    return f"On the same test images, {'; '.join(told)}." if told else ""


def _mean(rows: Sequence[Row], key: str) -> float | None:
    known = [row[key]["mean"] for row in rows if row[key]["mean"] is not None]
    return mean_of(known) if known else None


def _routing(results: Mapping[str, Any]) -> str:
    accuracy = results["routing_accuracy"]
    if accuracy is None:
        return ""
    return f"{percent(accuracy)} of the test images of seen subclasses went first to the expert of their own subclass."


def tiles(results: Mapping[str, Any], measured: Callable[[str], str]) -> list[tuple[str, str, str]]:
    """Key figures as name, value and detail; `measured` tells what a mean is over."""
    mean, rows = results["mean"], part(results, "subclasses")
    found = gain(results, "image_auroc")
    experts = sum(values["experts"] for values in results["classes"].values())
    unseen = sum(not row["seen"] for row in rows)
    known = [
        ("Image AUROC", figure(mean["image_auroc"]), measured("image_auroc")),
        ("Pixel AUROC", figure(mean["pixel_auroc"]), measured("pixel_auroc")),
        ("AUPRO", figure(mean["aupro"]), measured("aupro")),
    ]
    if found is not None:
        detail = f"image AUROC of the whole method; a single SimpleNet has {found[0]:.3f}"
        known.append(("Against SimpleNet", signed(mean_of(found[1])), detail))
    if results["routing_accuracy"] is not None:
        known.append(("Routing", percent(results["routing_accuracy"]), "of seen test images at their own expert"))
    known.append(("Experts", f"{experts:,}", f"in {count(len(results['classes']), 'category', 'categories')}"))
    if rows:
        known.append(("Subclasses tested", f"{len(rows):,}", f"{len(rows) - unseen:,} seen, {unseen:,} unseen"))
    return known
