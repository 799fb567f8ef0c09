"""Manifests are strict JSON: equal models give equal bytes, anything foreign is refused with a cure."""

import dataclasses
import json

import pytest

from eagleray.config import to_json
from eagleray.errors import ConfigError, StoreCorrupt, StoreVersion
from eagleray.storage import ClassEntry, Event, Manifest, Skipped
from eagleray.storage.manifest import Pointer, from_bytes, to_bytes

FULL = Manifest(
    kind="mecad",
    features={"weights": "packaged", "taps": [2, 3]},
    config={"mecad": {"threshold": 0.9}},
    seed=7,
    classes={
        "nut": ClassEntry(expert=1, blob="b" * 64, rows=400, num_images=20),
        "bolt": ClassEntry(expert=0, blob="a" * 64, rows=300, num_images=10),
    },
    blobs={"router": "c" * 64},
    history=(
        Event(step=1, op="learn", class_name="nut", expert=1, images="d" * 64, num_images=2, similarities={"0": 0.5}),
        Event(step=2, op="update", class_name="nut", expert=1, skipped=(Skipped(path="x.png", reason="truncated"),)),
    ),
    provenance={"git": None},
    version=3,
    parent=2,
)


def test_a_manifest_survives_the_way_through_bytes():
    assert from_bytes(Manifest, to_bytes(FULL), "m.json") == FULL


def test_equal_models_give_equal_bytes_whatever_the_order_they_were_filled_in():
    turned = dataclasses.replace(FULL, classes=dict(reversed(FULL.classes.items())))
    assert list(turned.classes) != list(FULL.classes)
    assert to_bytes(turned) == to_bytes(FULL)
    assert to_bytes(FULL).endswith(b"}\n")


def test_digests_are_those_of_the_classes_of_the_named_blobs_and_of_the_image_lists():
    assert FULL.digests() == {"a" * 64, "b" * 64, "c" * 64, "d" * 64}


def test_since_a_version_it_grew_from_only_what_was_added_is_named():
    learned = Event(step=3, op="learn", class_name="disc", expert=0, images="e" * 64)
    entry = ClassEntry(expert=0, blob="f" * 64, rows=9, num_images=9)
    grown = FULL.successor(
        classes={**FULL.classes, "disc": entry},
        history=(*FULL.history, learned),
        blobs={**FULL.blobs, "limits": "1" * 64},
    )
    assert FULL.digests(since=FULL) == set()
    assert grown.digests(since=FULL) == {"e" * 64, "f" * 64, "1" * 64}
    changed = grown.successor(classes={**grown.classes, "nut": dataclasses.replace(FULL.classes["nut"], blob="2" * 64)})
    assert changed.digests(since=grown) == {"2" * 64}


def test_since_a_version_of_another_past_nothing_of_the_history_is_left_out():
    other = dataclasses.replace(FULL, history=(*FULL.history[1:], FULL.history[0]), classes={}, blobs={})
    assert FULL.digests(since=other) == FULL.digests()


def test_a_successor_grows_from_its_version_and_waits_for_a_number():
    next_one = FULL.successor(seed=8)
    assert (next_one.parent, next_one.version, next_one.seed) == (3, 0, 8)
    assert next_one.history == FULL.history


@pytest.mark.parametrize("length", [0, 1, 100, -2])
def test_a_truncated_manifest_is_corrupt(length):
    with pytest.raises(StoreCorrupt, match=r"^m\.json: .*JSON.*backup"):
        from_bytes(Manifest, to_bytes(FULL)[:length], "m.json")


def test_bytes_that_are_not_text_are_corrupt():
    with pytest.raises(StoreCorrupt, match=r"^m\.json"):
        from_bytes(Manifest, b"\xff\xfe\x00", "m.json")


def test_another_schema_version_is_named_beside_ours():
    other = to_bytes(FULL).replace(b"eagleray.model/1", b"eagleray.model/2")
    with pytest.raises(StoreVersion, match=r"m\.json.*eagleray\.model/2.*reads eagleray\.model/1.*learn again"):
        from_bytes(Manifest, other, "m.json")


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"seed": "7"},
        {"schema": None},
        {"blobs": {"router": "../../etc/passwd"}},
        {"classes": {"nut": {"expert": 0, "blob": "B" * 64, "rows": 1, "num_images": 1}}},
        {"classes": {"nut": {"expert": 0}}},
        {"history": [{"step": 1, "op": "forget", "class_name": "nut", "expert": 0}]},
        {"history": [{"step": 1, "op": "learn", "class_name": "nut", "expert": 0, "images": "../../etc/passwd"}]},
    ],
)
def test_fields_that_are_not_the_schemas_are_corrupt(change):
    values = {**json.loads(to_bytes(FULL)), **change}
    with pytest.raises(StoreCorrupt) as caught:
        from_bytes(Manifest, json.dumps(values).encode(), "m.json")
    assert "\n" not in str(caught.value)


def test_a_manifest_without_a_field_is_corrupt():
    values = json.loads(to_bytes(FULL))
    del values["kind"]
    with pytest.raises(StoreCorrupt, match="kind"):
        from_bytes(Manifest, json.dumps(values).encode(), "m.json")


def test_json_that_is_not_an_object_is_corrupt():
    with pytest.raises(StoreCorrupt):
        from_bytes(Manifest, b"[1, 2]\n", "m.json")


def test_a_manifest_grown_from_another_has_the_bytes_of_its_own_json():
    to_bytes(FULL)  # what it keeps of this is to be right for the next version, too
    event = Event(step=3, op="update", class_name='"nut"', expert=1, skipped=(Skipped(path="ü.png", reason="cut"),))
    entry = ClassEntry(expert=1, blob="e" * 64, rows=5, num_images=6)
    grown = FULL.successor(classes={**FULL.classes, '"nut"': entry}, history=(*FULL.history, event))
    for manifest in (FULL, grown, grown.successor(classes={}, history=())):
        plain = json.dumps(to_json(manifest), sort_keys=True, allow_nan=False) + "\n"
        assert to_bytes(manifest) == plain.encode()


def test_a_value_that_json_does_not_have_is_refused_when_written():
    event = Event(step=1, op="learn", class_name="nut", expert=0, similarities={"bolt": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        to_bytes(dataclasses.replace(FULL, history=(event,)))


def test_a_digest_that_could_leave_the_folder_is_refused_when_made():
    with pytest.raises(ConfigError):
        ClassEntry(expert=0, blob="../x", rows=1, num_images=1)


def test_a_pointer_above_its_latest_version_is_corrupt():
    with pytest.raises(StoreCorrupt, match="highest number under versions/"):
        from_bytes(Pointer, b'{"latest": 1, "schema": "eagleray.store/1", "version": 2}', "CURRENT")
