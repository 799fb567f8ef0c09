"""Findings of a sweep in words; a difference is called one only where it exceeds the spread over orders and seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from eagleray.reports.sweep_rows import (
    Row,
    axis_values,
    best_point,
    changes_words,
    class_names,
    complete,
    is_space,
    merit_agreement,
    point_name,
    point_order,
)
from eagleray.reports.wording import count, duration, figure, listed, percent, signed

KINDS = {
    "experts": "Number of experts",
    "threshold": "Similarity threshold",
    "budget": "Memory budget",
    "space": "Search space",
}
TEST_PICTURES = "Test pictures are only reported here: nothing was chosen by them."
UNMEASURED = "No image AUROC could be measured: that takes complete trials, with good and defective test pictures."


LEAST = 0.0005
"""A difference below this cannot be seen in three digits."""


def title(results: Row) -> str:
    """Heading of the report: what was varied, and over how much."""
    return f"{KINDS[results['sweep']['kind']]}: {size_words(results)}"


def size_words(results: Row) -> str:
    """ "8 points, 3 class orders, 3 seeds"."""
    sweep = results["sweep"]
    orders, seeds = count(len(sweep["orders"]), "class order"), count(len(sweep["seeds"]), "seed")
    return f"{count(len(sweep['points']), 'point')}, {orders}, {seeds}"


def verdict(results: Row) -> list[str]:
    """What the sweep showed, as plain sentences built from its figures."""
    best = best_point(results, "image_auroc")
    sentences = [UNMEASURED] if best is None else [_best(results, best), _apart(results, best), *_along(results)]
    sentences = [*_chosen(results), *sentences, _stopped(results)]
    if results["chosen"] is None:
        sentences.append(TEST_PICTURES)
    return [sentence for sentence in sentences if sentence]


def _best(results: Row, best: int) -> str:
    points = results["points"]
    others = [number for number, point in enumerate(points) if point["image_auroc"]["mean"] is not None]
    told = f"{point_name(results, best)}, with {_spread_words(points[best]['image_auroc'])}"
    trials = f"over {count(points[best]['trials'], 'complete trial')}"
    if len(others) == 1:
        return f"Image AUROC {_spread_words(points[best]['image_auroc'])} {trials} of {point_name(results, best)}."
    low = min(others, key=lambda number: points[number]["image_auroc"]["mean"])
    if are_alike(results):
        return f"Image AUROC is {figure(points[best]['image_auroc']['mean'])} on the mean at every point."
    lowest = f"{point_name(results, low)}, with {_spread_words(points[low]['image_auroc'])}"
    return f"Image AUROC is highest on the mean at {told} {trials}, and lowest at {lowest}."


def _apart(results: Row, best: int) -> str:
    """Whether the spread allows to tell the best point from the others."""
    points = results["points"]
    others = [
        number
        for number in point_order(results)
        if number != best and points[number]["image_auroc"]["mean"] is not None
    ]
    if not others or are_alike(results):
        return ""
    if not has_spread(results, "image_auroc"):
        return "With one trial a point there is no spread over orders and seeds to judge the differences by."
    near = [number for number in others if is_within(results, number, best, "image_auroc")]
    if not near:
        text = "Every other point is lower by more than the spread over orders and seeds"
    elif len(near) == len(others):
        text = "No other point is lower by more than the spread over orders and seeds: they cannot be told apart"
    else:
        rest = len(others) - len(near)
        lower = f"the other {rest} points are lower" if rest > 1 else "the one other point is lower"
        text = (
            f"It cannot be told from {joined([point_name(results, number) for number in near])}; "
            f"{lower} by more than the spread over orders and seeds"
        )
    low = min(others, key=lambda number: points[number]["image_auroc"]["mean"])
    won, pairs = wins(results, best, low)
    against = (
        f". Trial against trial of the same order and seed, it beats {point_name(results, low)} in {won} of {pairs}"
    )
    return f"{text}{against if pairs else ''}."


def are_alike(results: Row) -> bool:
    """Whether three digits show no difference between the points."""
    means = [point["image_auroc"]["mean"] for point in results["points"] if point["image_auroc"]["mean"] is not None]
    return bool(max(means) - min(means) <= LEAST)


def has_spread(results: Row, key: str) -> bool:
    """Whether any point has the figure from more than one trial."""
    return any(point[key]["std"] is not None for point in results["points"])


def is_within(results: Row, number: int, best: int, key: str) -> bool:
    """Whether a point lies below the best by no more than the larger of the two standard deviations, or than can be
    printed.
    """
    mine, top = results["points"][number][key], results["points"][best][key]
    return bool(top["mean"] - mine["mean"] <= max(mine["std"] or 0.0, top["std"] or 0.0, LEAST))


def wins(results: Row, point: int, other: int) -> tuple[int, int]:
    """In how many pairs of complete trials with the same order and seed `point` has the higher image AUROC, and of
    how many.
    """
    runs: dict[int, dict[tuple[int, int], float]] = {point: {}, other: {}}
    for trial in complete(results):
        if trial["point"] in runs and trial["image_auroc"] is not None:
            runs[trial["point"]][trial["order"], trial["seed"]] = trial["image_auroc"]
    pairs = runs[point].keys() & runs[other].keys()
    return sum(runs[point][pair] > runs[other][pair] for pair in pairs), len(pairs)


def _along(results: Row) -> list[str]:
    """Where the figures stop getting better along the axis."""
    if is_space(results) or len(results["points"]) < 2:
        return []
    if results["sweep"]["kind"] in ("experts", "budget") and axis_values(results) is not None:
        return [
            _stops(results, "image_auroc", "Image AUROC", "rising"),
            _stops(results, "forgetting", "Forgetting", "falling"),
        ]
    best = best_point(results, "forgetting")
    if best is None:
        return []
    return [
        f"Least is forgotten at {point_name(results, best)} ({signed(results['points'][best]['forgetting']['mean'])})."
    ]


def levels_off(results: Row, key: str) -> int | None:
    """The first point along the axis from which no later one is better by more than the spread."""
    best = best_point(results, key)
    if best is None:
        return None
    known = [number for number in point_order(results) if results["points"][number][key]["mean"] is not None]
    return next(number for number in known if number == best or is_within(results, number, best, key))


def _stops(results: Row, key: str, name: str, verb: str) -> str:
    at = levels_off(results, key)
    known = [number for number in point_order(results) if results["points"][number][key]["mean"] is not None]
    if at is None or len(known) < 2:
        return ""
    value = _value(key, results["points"][at][key]["mean"])
    by = " by more than the spread" if has_spread(results, key) else ""
    if at == known[-1]:
        return f"{name} is still {verb} at {point_name(results, at)}, the last point ({value})."
    if at == known[0]:
        verbs = {"rising": ("rises", "rise"), "falling": ("falls", "fall")}[verb]
        no_more = f"{verbs[0]} by no more than the spread" if by else f"does not {verbs[1]}"
        return f"From {point_name(results, at)} on ({value}), {name[:1].lower()}{name[1:]} {no_more}."
    return f"{name} stops {verb} at {point_name(results, at)} ({value}): no later point is better{by}."


def _stopped(results: Row) -> str:
    stopped = len(results["trials"]) - len(complete(results))
    if not stopped:
        return ""
    what = f"{stopped} of {count(len(results['trials']), 'trial')} {'was' if stopped == 1 else 'were'}"
    return f"{what} stopped behind the others (ASHA); no mean includes them."


def _chosen(results: Row) -> list[str]:
    """What merit chose, and how that looks to the test pictures."""
    chosen = results["chosen"]
    if chosen is None:
        return []
    point = results["points"][chosen]
    what = (
        f"Point {chosen} ({changes_words(point['changes'])}) was chosen by its merit, {_spread_words(point['merit'])}"
    )
    by = f"{what} on held-out good pictures with synthetic anomalies."
    auroc = point["image_auroc"]["mean"]
    if auroc is None:
        return [by, TEST_PICTURES]
    better = sum((other["image_auroc"]["mean"] or 0.0) > auroc for other in results["points"])
    has = "no other point has" if not better else f"{count(better, 'point')} {'has' if better == 1 else 'have'}"
    return [by, f"{TEST_PICTURES.rstrip('.')}; by them, {has} a higher image AUROC than its {figure(auroc)}."]


def tiles(results: Row) -> list[tuple[str, str, str]]:
    """Key figures as name, value and detail."""
    points, best, chosen = results["points"], best_point(results, "image_auroc"), results["chosen"]
    told = []
    if chosen is not None:
        detail = f"image AUROC of point {chosen}, chosen by merit {figure(points[chosen]['merit']['mean'])}"
        told.append(("Chosen point", figure(points[chosen]["image_auroc"]["mean"]), detail))
    if best is not None:
        point = points[best]
        around = "" if point["image_auroc"]["std"] is None else f"; ±{figure(point['image_auroc']['std'])}"
        told.append(("Best mean image AUROC", figure(point["image_auroc"]["mean"]), point_name(results, best) + around))
        means = [p["image_auroc"]["mean"] for p in points if p["image_auroc"]["mean"] is not None]
        if len(means) > 1 and chosen is None:
            told.append(("Best minus lowest", figure(max(means) - min(means)), "difference of mean image AUROC"))
    if (least := best_point(results, "forgetting")) is not None:
        value = signed(points[least]["forgetting"]["mean"])
        told.append(("Least forgetting", value, f"{point_name(results, least)}; below zero is lost image AUROC"))
    if best is not None and points[best]["routing_accuracy"]["mean"] is not None:
        routed = percent(points[best]["routing_accuracy"]["mean"])
        told.append(("Routing", routed, f"test pictures at the right expert, {point_name(results, best)}"))
    if best is not None and points[best]["rows"]["mean"] is not None:
        told.append(("Bank rows", f"{points[best]['rows']['mean']:,.0f}", f"in all banks, {point_name(results, best)}"))
    if is_space(results) and (agreement := merit_agreement(results)) is not None:
        told.append(
            ("Merit and image AUROC", signed(agreement, 2), "rank correlation over the trials; 1 is the same order")
        )
    trials, done = len(results["trials"]), len(complete(results))
    stopped = f"; {trials - done} stopped early" if done < trials else ""
    told.append(("Trials", f"{trials:,}", f"{count(len(class_names(results)), 'class', 'classes')} each{stopped}"))
    seconds = duration(results["seconds"]["total"])
    return [*told, ("Time", seconds, f"at most {results['peak_rss_mb']:,.0f} MB in a process")]


def joined(names: Sequence[str], most: int = 6) -> str:
    """ "a, b and c", the rest counted."""
    if len(names) > most:
        return listed(names, most)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _spread_words(spread: Mapping[str, Any]) -> str:
    """ "0.913 ± 0.012", or the mean alone."""
    return figure(spread["mean"]) + ("" if spread["std"] is None else f" ± {figure(spread['std'])}")


def _value(key: str, value: float) -> str:
    return signed(value) if key == "forgetting" else figure(value)
