"""Relations between fields of a sweep's results that a JSON Schema cannot state."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from eagleray.errors import ResultsError


def check_sweep(results: Mapping[str, Any], where: str) -> None:
    """Trials and points belong to the sweep, and each trial's experts hold its classes.

    Raises:
        ResultsError: the first violation, as one line that names `where` and the field.
    """
    for field, fault in _faults(results):
        raise ResultsError(where, f"field {field}: {fault}")


def _faults(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong with it)."""
    sweep, points, chosen = results["sweep"], results["points"], results["chosen"]
    for number, changes in enumerate(sweep["points"]):
        if set(changes) != set(sweep["fields"]):
            yield f"$.sweep.points[{number}]", f"changes {sorted(changes)}, not {sorted(sweep['fields'])}"
    for number, order in enumerate(sweep["orders"]):
        if set(order) != set(sweep["orders"][0]):
            yield f"$.sweep.orders[{number}]", "holds other classes than the first order"
    if [point["changes"] for point in points] != sweep["points"]:
        yield "$.points", "the changes are not those in $.sweep.points, one by one"
    complete = Counter(trial["point"] for trial in results["trials"] if trial["ended"] == "complete")
    for number, trial in enumerate(results["trials"]):
        yield from ((f"$.trials[{number}].{key}", fault) for key, fault in _trial_faults(trial, sweep))
    for number, point in enumerate(points):
        if point["trials"] != complete[number]:
            yield f"$.points[{number}].trials", f"{point['trials']} for {complete[number]} complete trials in $.trials"
    for keys in (("name",), ("point", "order", "seed")):
        ran = Counter(tuple(trial[key] for key in keys) for trial in results["trials"])
        for values, times in ran.items():
            if times > 1:
                what = " and ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
                yield "$.trials", f"{times} trials have {what}"
    if chosen is not None and (sweep["kind"] != "space" or chosen >= len(points)):
        yield "$.chosen", f"{chosen} for {len(points)} points of kind {sweep['kind']}; only kind space chooses"


def _trial_faults(trial: Mapping[str, Any], sweep: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, most in (("point", len(sweep["points"])), ("order", len(sweep["orders"]))):
        if trial[key] >= most:
            yield key, f"{trial[key]} where $.sweep.{key}s has {most}"
            return
    if trial["changes"] != sweep["points"][trial["point"]]:
        yield "changes", f"not those of point {trial['point']}"
    if trial["seed"] not in sweep["seeds"]:
        yield "seed", f"{trial['seed']} is not in $.sweep.seeds"
    for name, figures in trial["classes"].items():
        if name not in sweep["orders"][trial["order"]]:
            yield f"classes.{name}", "not in the trial's order of classes"
        if name not in trial["experts"].get(str(figures["expert"]), {"classes": ()})["classes"]:
            yield f"classes.{name}.expert", f"expert {figures['expert']} does not hold it in experts"
    for expert, figures in trial["experts"].items():
        if len(figures["forgetting"]) != trial["steps"]:
            yield f"experts.{expert}.forgetting", f"{len(figures['forgetting'])} values for {trial['steps']} steps"
