"""What a sweep's results hold, by point and by class, as every table, picture and sentence needs it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from eagleray.arrays import AnyArray
from eagleray.reports.wording import count

FIGURES = ("image_auroc", "step_average", "forgetting", "routing_accuracy", "rows", "merit")
"""Figures of a trial, of which each point has the spread."""
AXES = {
    "mecad.num_experts": "number of experts",
    "mecad.similarity_threshold": "similarity above which classes share an expert",
    "mecad.rows_per_expert": "bank rows of an expert, at most",
    "mecad.rows_per_class": "bank rows of a class, at most",
}
"""Setting -> what the axis of a picture says of it."""
PAPER_EXPERTS = 5
"""The configuration that the paper looks into (MECAD, figures 4 and 5)."""
Row = Mapping[str, Any]


def sweep_points(points: Sequence[Row], trials: Sequence[Row]) -> list[dict[str, Any]]:
    """The "points" of a sweep's results: figures of each point over its complete trials.

    Args:
        points: the changed settings of each, as in "sweep".
        trials: as in the results, whether complete or stopped.

    The standard deviation is that of a sample (divided by one less than the trials); one trial has none.
    """
    found = []
    for number, changes in enumerate(points):
        mine = [trial for trial in trials if trial["point"] == number and trial["ended"] == "complete"]
        spreads = {key: _spread(trial[key] for trial in mine) for key in FIGURES}
        found.append({"changes": dict(changes), "trials": len(mine)} | spreads)
    return found


def _spread(values: Iterable[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if not known:
        return dict.fromkeys(("mean", "std", "lowest", "highest"))
    std = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "std": std, "lowest": min(known), "highest": max(known)}


def is_space(results: Row) -> bool:
    """Whether several settings were drawn at once, so that no single axis orders the points."""
    return bool(results["sweep"]["kind"] == "space")


def complete(results: Row) -> list[dict[str, Any]]:
    """The trials that learned every class; only these can be compared."""
    return [trial for trial in results["trials"] if trial["ended"] == "complete"]


def point_order(results: Row) -> list[int]:
    """Numbers of the points along their axis; those of a space from the highest mean merit to the lowest."""
    numbers = range(len(results["points"]))
    if is_space(results):
        return sorted(numbers, key=lambda n: -_or_lowest(results["points"][n]["merit"]["mean"]))
    values = axis_values(results)
    return list(numbers) if values is None else sorted(numbers, key=values.__getitem__)


def _or_lowest(value: float | None) -> float:
    return -np.inf if value is None else value


def axis_values(results: Row) -> list[float] | None:
    """Value of the first setting at each point; None where these are not different numbers."""
    values = [point["changes"][results["sweep"]["fields"][0]] for point in results["points"]]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return [float(value) for value in numbers] if len(set(numbers)) == len(values) else None


def is_log(results: Row) -> bool:
    """Whether the axis is that of a budget, on which every doubling is one step."""
    values = axis_values(results)
    return results["sweep"]["kind"] == "budget" and values is not None and min(values) > 0


def setting_name(field: str) -> str:
    """ "num experts" for "mecad.num_experts"."""
    return field.rpartition(".")[2].replace("_", " ")


def axis_name(results: Row) -> str:
    """What the points differ in."""
    if is_space(results) or axis_values(results) is None:
        return "point"
    field = results["sweep"]["fields"][0]
    name = AXES.get(field, setting_name(field))
    return f"{name} (logarithmic)" if is_log(results) else name


def tick_name(results: Row, number: int) -> str:
    """A point on an axis: its value, or its number where it has none of its own."""
    values = axis_values(results)
    return f"#{number}" if is_space(results) or values is None else f"{values[number]:,.6g}"


def point_name(results: Row, number: int) -> str:
    """A point within a sentence, such as "4 experts" or "point 7"."""
    values = axis_values(results)
    if is_space(results) or values is None:
        return f"point {number}"
    value, kind = values[number], results["sweep"]["kind"]
    if kind == "experts":
        return count(int(value), "expert")
    return f"{value:,.6g} rows" if kind == "budget" else f"threshold {value:.6g}"


def changes_words(changes: Row) -> str:
    """ "num experts 4, rows per class 200": settings without the names of their groups."""
    return ", ".join(f"{setting_name(name)} {value_words(value)}" for name, value in changes.items())


def value_words(value: Any) -> str:
    """A setting's value as short as it can be said."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def class_names(results: Row) -> list[str]:
    """The classes, in the first order."""
    return list(results["sweep"]["orders"][0])


def mean_by_class(results: Row) -> AnyArray:
    """Image AUROC (classes, points) over orders and seeds, points as in `point_order`; NaN where none has a figure."""
    names, points = class_names(results), point_order(results)
    auroc_CP = np.full((len(names), len(points)), np.nan)
    for column, point in enumerate(points):
        mine = [trial["classes"] for trial in complete(results) if trial["point"] == point]
        for row, name in enumerate(names):
            known = [c[name]["image_auroc"] for c in mine if name in c and c[name]["image_auroc"] is not None]
            auroc_CP[row, column] = np.mean(known) if known else np.nan
    return auroc_CP


def shown_trial(results: Row) -> dict[str, Any] | None:
    """The trial that the pictures of one configuration are of; None where no trial is complete.

    Five experts as in the paper where there is that point, the chosen point of a space, else the middle one; of its
    trials that with the first order and the first seed.
    """
    trials = complete(results)
    ran = [number for number in point_order(results) if any(trial["point"] == number for trial in trials)]
    if not ran:
        return None
    values = axis_values(results)
    wanted = ran[(len(ran) - 1) // 2]
    if is_space(results):
        wanted = results["chosen"] if results["chosen"] in ran else ran[0]
    elif results["sweep"]["kind"] == "experts" and values is not None and PAPER_EXPERTS in (values[n] for n in ran):
        wanted = values.index(PAPER_EXPERTS)
    mine = [trial for trial in trials if trial["point"] == wanted]
    seeds = results["sweep"]["seeds"]
    return min(mine, key=lambda trial: (trial["order"], seeds.index(trial["seed"])))


def trial_name(results: Row, trial: Row) -> str:
    """A trial within a heading: its point, order and seed."""
    return f"{point_name(results, trial['point'])}, order {trial['order']}, seed {trial['seed']}"


def setting_of(results: Row, trial: Row, name: str) -> Any:
    """A setting that a trial ran with, by dotted name; None where neither its changes nor the configuration has it."""
    if name in trial["changes"]:
        return trial["changes"][name]
    value: Any = results["config"]
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def best_point(results: Row, key: str) -> int | None:
    """Number of the point with the highest mean; None where no point has the figure."""
    known = [n for n in point_order(results) if results["points"][n][key]["mean"] is not None]
    return max(known, key=lambda n: results["points"][n][key]["mean"], default=None)


def merit_agreement(results: Row) -> float | None:
    """Rank correlation (Spearman) of merit and image AUROC over complete trials, in [-1, 1]; None where it has none."""
    pairs = merit_pairs(results)
    if len(pairs) < 3 or any(len(set(values)) < 2 for values in zip(*pairs, strict=True)):
        return None
    return float(spearmanr(pairs).statistic)


def merit_pairs(results: Row) -> list[tuple[float, float]]:
    """(merit, image AUROC) of every complete trial that has both."""
    return [
        (trial["merit"], trial["image_auroc"])
        for trial in complete(results)
        if trial["merit"] is not None and trial["image_auroc"] is not None
    ]
