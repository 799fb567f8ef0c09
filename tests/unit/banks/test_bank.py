import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from eagleray.banks import BankConfig, ClassBank, Whitening, fit_whitening
from eagleray.errors import ConfigError, StoreCorrupt, StoreVersion

LEVELS = (25, 50, 100, 200)


def whitening():
    known = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    return fit_whitening([known], num_directions=3, shrinkage=0.2)


def class_bank(*, rows=200, levels=LEVELS, whitened=True, held_out=7):
    rng = np.random.default_rng(0)
    return ClassBank(
        name="Schraube M3 ä",
        rows_MD=rng.normal(size=(rows, 6)).astype(np.float32),
        whitening=whitening() if whitened else None,
        centroid_D=rng.normal(size=6).astype(np.float32),
        prototypes_KD=rng.normal(size=(4, 6)).astype(np.float32),
        level_rows_L=np.array(levels, np.int64),
        calibration_LN=rng.uniform(1, 2, (len(levels), held_out)).astype(np.float32),
        num_images=30,
        coverage_radius=0.1 + 0.2,
        routing_distances_N=rng.uniform(0, 1, held_out).astype(np.float32),
        provenance={"seed": 0, "features": {"strides": [8, 16], "weights": "packaged"}},
    )


def assert_equal(ours, theirs):
    for field in dataclasses.fields(ClassBank):
        mine, other = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
        elif isinstance(mine, Whitening):
            for part in dataclasses.fields(Whitening):
                np.testing.assert_array_equal(getattr(mine, part.name), getattr(other, part.name))
        else:
            assert mine == other


@pytest.mark.parametrize("whitened", [False, True])
def test_a_bank_comes_back_from_its_bytes_as_it_was(whitened):
    bank = class_bank(whitened=whitened)
    again = ClassBank.from_bytes(bank.to_bytes(), "here")
    assert_equal(bank, again)
    assert again.to_bytes() == bank.to_bytes()


@pytest.mark.parametrize("kind", [bytes, memoryview, pa.py_buffer])
def test_bytes_may_come_as_any_buffer(kind):
    assert_equal(class_bank(), ClassBank.from_bytes(kind(class_bank().to_bytes()), "here"))


def test_rows_are_read_without_a_copy():
    data = pa.py_buffer(class_bank().to_bytes())
    rows_MD = ClassBank.from_bytes(data, "here").rows_MD
    assert data.address <= rows_MD.ctypes.data < data.address + data.size


def test_equal_banks_give_equal_bytes_however_their_arrays_lie_in_memory():
    bank = class_bank()
    transposed = dataclasses.replace(
        bank, rows_MD=np.asfortranarray(bank.rows_MD), provenance=dict(reversed(bank.provenance.items()))
    )
    assert transposed.to_bytes() == bank.to_bytes()


def without_routing_distances():
    """Bytes of a bank as they were before banks held these distances."""
    table = pa.ipc.open_file(class_bank().to_bytes()).read_all().drop_columns("routing_distances_N")
    return foreign(table.schema.metadata, table)


def test_banks_of_older_stores_are_read_with_no_routing_distances_and_keep_their_bytes():
    bank = ClassBank.from_bytes(without_routing_distances(), "here")
    assert bank.routing_distances_N.shape == (0,)
    assert bank.routing_distances_N.dtype == np.float32
    np.testing.assert_array_equal(bank.rows_MD, class_bank().rows_MD)
    assert bank.to_bytes() == without_routing_distances()


@pytest.mark.parametrize(
    "field",
    ["name", "num_images", "coverage_radius", "rows_MD", "calibration_LN", "routing_distances_N", "provenance"],
)
def test_any_difference_is_a_difference_in_bytes(field):
    bank = class_bank()
    value = getattr(bank, field)
    other = {"name": "b", "provenance": {}}.get(field)
    changed = dataclasses.replace(bank, **{field: value + 1 if other is None else other})
    assert changed.to_bytes() != bank.to_bytes()


def test_truncated_views_give_the_bytes_of_a_bank_made_so():
    cut = class_bank().truncated(60)
    copied = dataclasses.replace(cut, rows_MD=cut.rows_MD.copy(), calibration_LN=cut.calibration_LN.copy())
    assert cut.to_bytes() == copied.to_bytes()
    assert len(cut.to_bytes()) < len(class_bank().to_bytes())


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 0.3, 0.6, 0.9, 0.999])
def test_truncated_bytes_are_corrupt(keep):
    data = class_bank().to_bytes()
    with pytest.raises(StoreCorrupt, match="/model/blobs/abc: not a class bank"):
        ClassBank.from_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else keep], "/model/blobs/abc")


@pytest.mark.parametrize("data", [b"noise" * 100, b"\x00" * 1000, b"ARROW1\x00\x00", b"{}"])
def test_foreign_bytes_are_corrupt(data):
    with pytest.raises(StoreCorrupt, match="learn the class again"):
        ClassBank.from_bytes(data, "here")


def foreign(metadata, columns=None):
    table = pa.table(columns or {"rows_MD": [1.0]}).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"other": "1"},
        {"eagleray": "not json"},
        {"eagleray": "[]"},
        {"eagleray": "{}"},
        {"eagleray": "null"},
        {"eagleray": json.dumps({"schema": "eagleray.bank/1"})},
        {"eagleray": json.dumps({"schema": "eagleray.bank/1", "unknown": 1})},
    ],
)
def test_arrow_files_that_are_no_bank_are_corrupt(metadata):
    with pytest.raises(StoreCorrupt) as caught:
        ClassBank.from_bytes(foreign(metadata), "here")
    assert "\n" not in str(caught.value)


def test_random_damage_is_corrupt_or_goes_unseen_but_never_escapes():
    whole = np.frombuffer(class_bank().to_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), rng.integers(1, 20))] = rng.integers(0, 256)
        try:
            ClassBank.from_bytes(damaged.tobytes(), "here")  # flipped numbers are found by the store's hash
        except (StoreCorrupt, StoreVersion):
            continue


def test_another_schema_is_told_from_damage():
    data = class_bank().to_bytes()
    assert data.count(b"eagleray.bank/1") >= 1
    with pytest.raises(StoreVersion, match=r"here: a class bank of another schema than eagleray.bank/1"):
        ClassBank.from_bytes(data.replace(b"eagleray.bank/1", b"eagleray.bank/9"), "here")


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("wished", [1, 24, 25, 26, 49, 50, 99, 100, 150, 199, 200, 204, 205, 206, 1000])
def test_a_truncated_bank_is_the_longest_calibrated_prefix_that_fits(whitened, wished):
    bank = class_bank(whitened=whitened)
    directions = bank.num_vectors - bank.num_rows
    assert directions == 3 * whitened
    cut = bank.truncated(wished)
    fitting = [level for level in LEVELS if level + directions <= wished]
    assert cut.num_rows == max(fitting, default=LEVELS[0])
    assert cut.num_vectors <= max(wished, LEVELS[0] + directions)
    np.testing.assert_array_equal(cut.rows_MD, bank.rows_MD[: cut.num_rows])
    assert cut.level_rows_L[-1] == cut.num_rows
    level = LEVELS.index(cut.num_rows)
    np.testing.assert_array_equal(cut.calibration_LN, bank.calibration_LN[: level + 1])
    np.testing.assert_array_equal(cut.calibration_N, bank.calibration_LN[level])
    np.testing.assert_array_equal(cut.routing_distances_N, bank.routing_distances_N)
    assert (cut.name, cut.num_images, cut.whitening) == (bank.name, bank.num_images, bank.whitening)


def test_a_bank_that_fits_is_not_copied():
    bank = class_bank()
    assert bank.truncated(bank.num_vectors) is bank


def test_truncating_in_steps_is_truncating_at_once():
    bank = class_bank()
    assert_equal(bank.truncated(150).truncated(60), bank.truncated(60))


def test_without_rows_only_their_mean_is_left_in_plain_embeddings():
    plain = class_bank(whitened=False)
    light = plain.without_rows()
    np.testing.assert_allclose(light.rows_MD, plain.rows_MD.mean(0, keepdims=True), atol=1e-6)
    whitened = class_bank()
    expected = whitened.whitening.undo(whitened.rows_MD).mean(0, keepdims=True)
    light = whitened.without_rows()
    assert light.whitening is None
    np.testing.assert_allclose(light.rows_MD, expected, atol=1e-4)
    np.testing.assert_array_equal(light.calibration_LN, whitened.calibration_LN)
    np.testing.assert_array_equal(light.prototypes_KD, whitened.prototypes_KD)
    np.testing.assert_array_equal(light.routing_distances_N, whitened.routing_distances_N)


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"projection_dim": 0}, "--bank.projection-dim"),
        ({"memory_mb": 0}, "--bank.memory-mb"),
        ({"num_prototypes": 0}, "--bank.num-prototypes"),
        ({"whitening_directions": -1}, "--bank.whitening-directions"),
        ({"whitening_shrinkage": 0}, "--bank.whitening-shrinkage"),
        ({"whitening_shrinkage": 1.1}, "--bank.whitening-shrinkage"),
    ],
)
def test_wrong_settings_name_their_flag(values, flag):
    with pytest.raises(ConfigError, match=flag):
        BankConfig(**values)
