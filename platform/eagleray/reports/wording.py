"""How figures and findings are put into words, the same in the terminal, in Markdown and in HTML."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eagleray.reports.results import MIXTURE_JOB, SEARCH_JOB, SWEEP_JOB

FIGURES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "forgetting": "forgetting",
    "routing_accuracy": "routing",
    "threshold": "threshold",
}
"""Figures a class can have or lack, and their names for a reader, in the order of the table."""

NO_REASON = "no reason was recorded"

CONTROLS = {
    "routed": ("Routed per image", "The figure to judge the run by."),
    "oracle_expert": ("Oracle expert", "The gap to routed is what wrong routing costs."),
    "bank_per_class": ("One bank per class", "The gap to the oracle expert is what sharing an expert costs."),
    "shared_bank": ("One shared bank", "Experts must beat it to be worth having."),
    "random_assignment": (
        "Random assignment",
        "The gap to the oracle expert is what assignment by similarity gains.",
    ),
}
"""Title of each known control and what it tells, in the order they are shown; what was done is the control's note."""


def control_words(results: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Title of a control, and what was compared and what that tells, as sentences."""
    title, tells = CONTROLS.get(name, (name, ""))
    note = results["controls"][name]["note"].strip().rstrip(".")
    return title, " ".join(part for part in (f"{note[:1].upper()}{note[1:]}." if note else "", tells) if part)


def figure(value: float | None, digits: int = 3) -> str:
    """A figure with fixed digits, or "-" where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A change with its sign, without a negative zero; "-" where there is none."""
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if round(value, digits) else f"{0:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage with one digit, or "-" where there is none."""
    return "-" if value is None else f"{100 * value:.1f} %"


def cell(name: str, value: Any) -> str:
    """One table cell, written as its figure is written everywhere: forgetting with a sign, counts with commas."""
    if value is None:
        return "-"
    if name == "forgetting":
        return signed(value)
    if name == "routing_accuracy":
        return percent(value)
    if name == "threshold":
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return figure(value)


def count(number: int, noun: str, plural: str = "") -> str:
    """ "1 class", "9 classes"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names joined by commas, the rest counted."""
    if len(names) <= most:
        return ", ".join(names)
    return ", ".join(names[:most]) + f" and {len(names) - most} more"


def class_names(results: Mapping[str, Any]) -> list[str]:
    """Classes with final figures: in the order learned, then any the order does not know."""
    classes = results["classes"]
    ordered = [name for name in results["order"] if name in classes]
    return ordered + [name for name in classes if name not in ordered]


def controls_in_order(results: Mapping[str, Any]) -> list[str]:
    """Names of the controls measured: the known ones in the order of `CONTROLS`, then others."""
    measured = results["controls"]
    return [name for name in CONTROLS if name in measured] + [name for name in measured if name not in CONTROLS]


def is_mixture(results: Mapping[str, Any]) -> bool:
    """Whether these are results of adapted_moe: categories with subclasses, all learned at once."""
    return bool(results["job"] == MIXTURE_JOB)


def is_search(results: Mapping[str, Any]) -> bool:
    """Whether these are results of adnas_search: a fusion of colour and depth for categories learned at once."""
    return bool(results["job"] == SEARCH_JOB)


def is_sweep(results: Mapping[str, Any]) -> bool:
    """Whether these are results of a sweep: many trials of a stream instead of one run."""
    return bool(results["job"] == SWEEP_JOB)


def at_once(results: Mapping[str, Any]) -> bool:
    """Whether the job learns categories all at once, instead of a stream of classes."""
    return is_mixture(results) or is_search(results)


def noun(results: Mapping[str, Any]) -> str:
    """What a row of the class table is called."""
    return "category" if at_once(results) else "class"


def columns_of(results: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Those of `columns`, by field of a class, that mean something in the results' job."""
    absent = {"experts"}
    if is_mixture(results):
        absent = {"expert", "forgetting"}
        if not any(values["rows"] for values in results["classes"].values()):
            absent.add("rows")
    if is_search(results):
        absent = {"expert", "experts", "forgetting", "rows", "routing_accuracy"}
    return {key: heading for key, heading in columns.items() if key not in absent}


def footnotes(results: Mapping[str, Any]) -> list[str]:
    """Why figures are missing: one line per reason, with the figures and the classes it concerns."""
    classes = results["classes"]
    shown = columns_of(results, FIGURES)
    missing = [
        (classes[name].get("reasons", {}).get(key, NO_REASON), title, name)
        for name in class_names(results)
        for key, title in shown.items()
        if classes[name][key] is None
    ]
    lines = []
    for reason, figures, names in by_reason(missing):
        everyone = "all categories" if at_once(results) else "all classes"
        whom = everyone if len(names) == len(classes) and len(names) > 1 else listed(names)
        lines.append(f"no {', '.join(figures)} for {whom}: {reason}")
    means = results["mean"].get("reasons", {})
    # Where no class has a figure, its own line has said why there is no mean.
    told = {key for key in shown if classes and all(values[key] is None for values in classes.values())}
    told |= FIGURES.keys() - shown.keys()
    lines += [f"no mean {FIGURES.get(key, key)}: {reason}" for key, reason in means.items() if key not in told]
    return lines


def by_reason(missing: Iterable[tuple[str, str, str]]) -> list[tuple[str, list[str], list[str]]]:
    """Group (reason, figure, whose) into one entry per reason, with its figures and whose they are, each once."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}  # dicts keep the order
    for reason, title, name in missing:
        figures, names = found.setdefault(reason, ({}, {}))
        figures[title] = None
        names[name] = None
    return [(reason, list(figures), list(names)) for reason, (figures, names) in found.items()]


def why_missing(results: Mapping[str, Any], name: str) -> str:
    """Why a mean is missing, from its own reason or from those of the classes."""
    own = results["mean"].get("reasons", {})
    given = [own[name]] if name in own else [c.get("reasons", {}).get(name) for c in results["classes"].values()]
    return "; ".join(dict.fromkeys(reason for reason in given if reason)) or "not measured"


def verdict(results: Mapping[str, Any]) -> list[str]:
    """What a stream showed, as plain sentences built from its figures; none is claimed that was not measured."""
    sentences = [detection(results), _experts(results), _memory(results), alarms(results)]
    return [sentence for sentence in sentences if sentence]


def detection(results: Mapping[str, Any]) -> str:
    """Mean image AUROC with its lowest and its highest class."""
    classes, mean = results["classes"], results["mean"]["image_auroc"]
    measured = {name: classes[name]["image_auroc"] for name in class_names(results)}
    measured = {name: value for name, value in measured.items() if value is not None}
    if not measured or mean is None:
        return "Without defective test images, no detection figure can be measured."
    if len(measured) == 1:
        return f"Image AUROC {mean:.3f}."
    low, high = min(measured, key=measured.__getitem__), max(measured, key=measured.__getitem__)
    return f"Mean image AUROC {mean:.3f}, from {measured[low]:.3f} ({low}) to {measured[high]:.3f} ({high})."


def _experts(results: Mapping[str, Any]) -> str:
    controls, accuracy = results["controls"], results["routing_accuracy"]
    parts = []
    if accuracy is not None:
        parts.append(f"{percent(accuracy)} of test images found the expert that knows their class")
    mine, shared = (controls.get(name, {}).get("image_auroc") for name in ("routed", "shared_bank"))
    if mine is not None and shared is not None:
        gap = round(mine - shared, 3)
        if gap > 0:
            parts.append(f"the experts gain {gap:.3f} over one shared bank of the same size")
        else:
            parts.append(f"the experts gain nothing over one shared bank of the same size ({signed(gap)})")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _memory(results: Mapping[str, Any]) -> str:
    mean = results["mean"]["forgetting"]
    if mean is None or len(results["order"]) < 2:
        return ""
    classes = results["classes"]
    lost = {n: c["forgetting"] for n, c in classes.items() if c["forgetting"] is not None}
    worst = min(lost, key=lost.__getitem__, default=None)
    detail = f"; worst {worst}, {signed(lost[worst])}" if worst is not None and round(lost[worst], 3) < 0 else ""
    if round(mean, 3) >= 0:
        return f"Learning later classes cost the earlier ones nothing on average ({signed(mean)}{detail})."
    return f"Learning later classes cost the earlier ones {abs(mean):.3f} image AUROC on average{detail}."


def alarms(results: Mapping[str, Any]) -> str:
    """How many defects the thresholds flag and how many false alarms they raise; "" where nothing was judged."""
    classes = results["classes"].values()
    judged = [c for c in classes if c["missed"] is not None and c["false_alarms"] is not None]
    defective, good = sum(c["num_test_defective"] for c in judged), sum(c["num_test_good"] for c in judged)
    parts = []
    if defective:
        found = defective - sum(c["missed"] for c in judged)
        parts.append(f"flag {found:,} of {count(defective, 'defective image')} ({percent(found / defective)})")
    if good:
        raised = sum(c["false_alarms"] for c in judged)
        parts.append(f"raise {count(raised, 'false alarm')} on {count(good, 'good image')} ({percent(raised / good)})")
    return f"The thresholds, set from held-out good images alone, {' and '.join(parts)}." if parts else ""


def duration(seconds: float) -> str:
    """ "0.42 s", "42 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
