"""Configuration: frozen dataclasses to plain JSON values and back, and the checks they share.

Each config stands beside the class it configures; this module only knows how to write one down, read one back
(an unknown key is an error), fingerprint it, and check a range.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from typing import Any, TypeVar

from eagleray.errors import ConfigError

T = TypeVar("T")

_PLAIN = (int, float, str, bool)


def to_json(config: Any) -> Any:
    """Turn a dataclass, nested ones included, into values that json.dumps takes."""
    if config is None or type(config) in _PLAIN:
        return config
    if dataclasses.is_dataclass(config):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, list | tuple):
        return [to_json(item) for item in config]
    if isinstance(config, dict):
        return {str(key): to_json(value) for key, value in config.items()}
    return config


def from_json(kind: type[T], values: Any, where: str = "config") -> T:
    """Build the dataclass `kind` from what `to_json` wrote.

    Raises:
        ConfigError: an unknown key, a missing one, or a value its class refuses.
    """
    if not isinstance(values, dict):
        raise ConfigError(where, f"an object with the fields of {kind.__name__}", values)
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}.{key}", f"one of {', '.join(sorted(known))}", key)
    made = {key: _value(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return kind(**made)
    except TypeError as error:
        raise ConfigError(where, f"complete for {kind.__name__} ({error})", sorted(values)) from error


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        inner = [a for a in arguments if a is not type(None)]
        return _value(inner[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(where, "a list", value)
        if arguments[-1] is Ellipsis and arguments[0] in _PLAIN and all(type(item) is arguments[0] for item in value):
            return tuple(value)  # a model's history holds long lists of digests: no path text for each
        hints = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(value) != len(hints):
            raise ConfigError(where, f"a list of {len(hints)}", value)
        return tuple(_value(inner, item, where) for inner, item in zip(hints, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(where, "an object", value)
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in _PLAIN and type(value) is not hint:
        raise ConfigError(where, f"of type {hint.__name__}", value)
    if origin is typing.Literal and value not in arguments:
        raise ConfigError(where, f"one of {', '.join(map(str, arguments))}", value)
    return value


def fingerprint(config: Any) -> str:
    """Sixteen hexadecimal digits that change whenever any field changes."""
    text = json.dumps(to_json(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_at_least(field: str, value: float, low: float) -> None:
    """Raise ConfigError unless low <= value, and value is finite."""
    if not low <= value < math.inf:
        raise ConfigError(field, f"at least {low:.12g}", value)


def check_share(field: str, value: float, *, zero: bool = True) -> None:
    """Raise ConfigError unless value lies in [0, 1], or in (0, 1] where zero is not allowed."""
    if not (0 <= value <= 1 and (zero or value > 0)):
        raise ConfigError(field, "in [0, 1]" if zero else "in (0, 1]", value)


def check_one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless value is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(field, f"one of {', '.join(allowed)}", value)
