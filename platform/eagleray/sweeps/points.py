"""What a sweep varies: points, each some changed settings, and the orders that classes arrive in."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eagleray.banks import BankConfig
from eagleray.config import check_at_least, from_json, to_json
from eagleray.continual import CalibrationConfig, LearnerConfig, MecadConfig
from eagleray.errors import ConfigError
from eagleray.experts import ScoringConfig
from eagleray.features import FeaturesConfig

Changes = Mapping[str, Any]
"""Values by the dotted name of their field, such as mecad.num_experts."""

_LONGEST_NAME = 80
_RANGE_KEYS = ("from", "to", "log", "integer")


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSettings:
    """Everything that decides what a stream of products is learned into, and that a sweep may change."""

    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    mecad: MecadConfig = field(default_factory=MecadConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)

    def changed(self, changes: Changes) -> "StreamSettings":
        """With some fields changed.

        Raises:
            ConfigError: an unknown field, or a value that it does not take.
        """
        values = to_json(self)
        for name, value in changes.items():
            *parts, last = name.split(".")
            place = values
            for part in parts:
                place = place.get(part) if isinstance(place, dict) else None
            if not isinstance(place, dict) or isinstance(place.get(last, {}), dict):
                raise ConfigError(name, f"one of {', '.join(_names(to_json(self)))}", value)
            place[last] = value
        return from_json(StreamSettings, values, "settings")

    def learner(self) -> LearnerConfig:
        """The part that learns."""
        return LearnerConfig(mecad=self.mecad, bank=self.bank, scoring=self.scoring, calibration=self.calibration)


def expert_points(values: Sequence[int], base: MecadConfig, num_classes: int) -> list[dict[str, Any]]:
    """Numbers of experts; where few would be full too early, each may hold as many classes as it takes for all."""
    check_at_least("--values", min(values, default=1), 1)
    capacities = [max(base.expert_capacity, math.ceil(num_classes / count)) for count in values]
    if set(capacities) == {base.expert_capacity}:
        return [{"mecad.num_experts": count} for count in values]
    return [
        {"mecad.num_experts": count, "mecad.expert_capacity": capacity}
        for count, capacity in zip(values, capacities, strict=True)
    ]


def threshold_points(values: Sequence[float]) -> list[dict[str, Any]]:
    """Similarities above which a class joins an expert that holds others."""
    return [{"mecad.similarity_threshold": float(value)} for value in values]


def budget_points(values: Sequence[int], base: MecadConfig) -> list[dict[str, Any]]:
    """Rows of a class; those of an expert grow with them."""
    ratio = base.rows_per_expert / base.rows_per_class
    return [{"mecad.rows_per_class": rows, "mecad.rows_per_expert": round(ratio * rows)} for rows in values]


def read_space(path: Path, *, samples: int, seed: int) -> list[dict[str, Any]]:
    """Points of a user's own space: all combinations of its lists, or so many drawn at random.

    The file is YAML, a mapping of dotted names of fields to a list of values, or to a range such as
    ``{from: 0.01, to: 1, log: true}`` or ``{from: 2, to: 8, integer: true}``, its ends included.

    Args:
        path: the file.
        samples: points to draw; 0 is all combinations, which only lists have.
        seed: decides what is drawn.

    Raises:
        ConfigError: the file cannot be read, or is none of this; or `samples` is negative.
    """
    check_at_least("--samples", samples, 0)
    try:
        space = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(str(path), f"a YAML file of fields and their values ({reason})", path.name) from error
    if not isinstance(space, dict) or not space:
        raise ConfigError(str(path), "a mapping of fields to lists or ranges, as mecad.num_experts: [2, 4]", space)
    for name, values in space.items():
        _check_values(path, str(name), values)
    if samples:
        random = np.random.default_rng([seed, *b"space"])
        drawn = [{str(name): _draw(values, random) for name, values in space.items()} for _ in range(samples)]
        return [point for number, point in enumerate(drawn) if point not in drawn[:number]]
    ranges = [name for name, values in space.items() if isinstance(values, dict)]
    if ranges:
        raise ConfigError("--samples", f"above 0, as {ranges[0]} in {path} is a range", samples)
    return [dict(zip(map(str, space), values, strict=True)) for values in itertools.product(*space.values())]


def class_orders(names: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """The order given, and further ones drawn by the seed; all different, as many as there can be."""
    orders = [tuple(names)]
    random = np.random.default_rng([seed, *b"order"])
    while len(orders) < min(count, math.factorial(len(names))):
        order = tuple(random.permutation(names).tolist())
        if order not in orders:
            orders.append(order)
    return orders


def _names(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        found += _names(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return found


def _check_values(path: Path, name: str, values: Any) -> None:
    if isinstance(values, list) and values:
        return
    if not isinstance(values, dict):
        raise ConfigError(f"{name} in {path}", "a list of values, or a range {from: ..., to: ...}", values)
    unknown = [key for key in values if key not in _RANGE_KEYS]
    ends = (values.get("from"), values.get("to"))
    low, high = (float(end) if isinstance(end, int | float) else math.nan for end in ends)
    ordered = -math.inf < low <= high < math.inf  # so both are numbers
    if unknown or not ordered or (values.get("log") and low <= 0):
        expected = "{from: low, to: high} with numbers, log: true only above 0, integer: true for whole ones"
        raise ConfigError(f"{name} in {path}", expected, values)


def _draw(values: Any, random: np.random.Generator) -> Any:
    if isinstance(values, list):
        return values[int(random.integers(len(values)))]
    low, high, whole = values["from"], values["to"], bool(values.get("integer"))
    if values.get("log"):
        drawn = math.exp(random.uniform(math.log(low), math.log(high)))
    else:
        drawn = random.uniform(low - 0.5, high + 0.5) if whole else random.uniform(low, high)
    return min(max(round(drawn), math.ceil(low)), math.floor(high)) if whole else float(min(max(drawn, low), high))


def point_name(changes: Changes) -> str:
    """What tables and folders call a point; long lists of changes are cut."""
    text = ",".join(f"{name.rpartition('.')[2]}={_short(value)}" for name, value in changes.items())
    return re.sub(r"[^\w.=,+-]", "_", text)[:_LONGEST_NAME] or "as-it-is"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
