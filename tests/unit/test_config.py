"""Configs survive the way through JSON, and what does not fit is refused by name."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from eagleray.config import check_at_least, check_one_of, check_share, fingerprint, from_json, to_json
from eagleray.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: float = 0.5

    def __post_init__(self) -> None:
        check_share("share", self.share)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    count: int = 1
    flag: bool = False
    mode: Literal["a", "b"] = "a"
    note: str | None = None
    inner: Inner = field(default_factory=Inner)
    words: tuple[str, ...] = ()
    window: tuple[int, float] = (1, 2.0)
    parts: dict[str, Inner] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)


FULL = Outer(
    name="x",
    count=3,
    flag=True,
    mode="b",
    note="n",
    inner=Inner(share=0.25),
    words=("p", "q"),
    window=(7, 0.5),
    parts={"one": Inner(share=1.0)},
    free={"a": [1, {"b": None}]},
)


@pytest.mark.parametrize("config", [FULL, Outer(name="only the required field")])
def test_a_config_survives_the_way_through_json_text(config):
    assert from_json(Outer, json.loads(json.dumps(to_json(config)))) == config


def test_a_missing_optional_field_takes_its_default():
    assert from_json(Outer, {"name": "x"}) == Outer(name="x")


def test_a_whole_number_is_accepted_where_a_float_is_asked():
    share = from_json(Inner, {"share": 1}).share
    assert share == 1.0 and type(share) is float


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"name": "x", "nmae": 1}, "config.nmae"),
        ({}, "name"),
        ([], "config must be an object"),
        ({"name": 5}, "config.name"),
        ({"name": "x", "count": "3"}, "config.count"),
        ({"name": "x", "count": True}, "config.count"),
        ({"name": "x", "mode": "c"}, "config.mode"),
        ({"name": "x", "inner": {"share": "half"}}, "config.inner.share"),
        ({"name": "x", "inner": {"share": 2.0}}, "share must be in [0, 1]"),
        ({"name": "x", "words": "pq"}, "config.words"),
        ({"name": "x", "words": ["p", 1]}, "config.words"),
        ({"name": "x", "window": [1, 2.0, 3]}, "a list of 2"),
        ({"name": "x", "window": [1.5, 2.0]}, "config.window"),
        ({"name": "x", "parts": {"one": {"shrae": 1}}}, "config.parts.one.shrae"),
        ({"name": "x", "parts": []}, "config.parts"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values, named):
    with pytest.raises(ConfigError) as caught:
        from_json(Outer, values)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_fingerprint_changes_with_any_field_and_only_then():
    assert fingerprint(FULL) == fingerprint(from_json(Outer, to_json(FULL)))
    changed = {**to_json(FULL), "inner": {"share": 0.2500001}}
    assert fingerprint(FULL) != fingerprint(from_json(Outer, changed))


def test_range_checks_accept_their_bounds_and_refuse_beyond():
    check_at_least("n", 1, 1)
    check_share("s", 0.0)
    check_share("s", 1.0, zero=False)
    check_one_of("m", "a", ("a", "b"))
    for refused in (
        lambda: check_at_least("n", 0, 1),
        lambda: check_at_least("n", float("nan"), 1),
        lambda: check_at_least("n", float("inf"), 1),
        lambda: check_share("s", 0.0, zero=False),
        lambda: check_share("s", 1.01),
        lambda: check_one_of("m", "c", ("a", "b")),
    ):
        with pytest.raises(ConfigError):
            refused()
