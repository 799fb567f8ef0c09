import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from eagleray.adaptation import Adaption, PatchStatistics, fit_adaption
from eagleray.banks import fit_whitening
from eagleray.errors import StoreCorrupt, StoreVersion
from eagleray.experts import BankExpert, DiscriminatorExpert
from eagleray.experts.adapted_expert import (
    UNSCALED,
    AdaptedExpert,
    BankWeights,
    Scale,
    expert_from_bytes,
    expert_to_bytes,
)

DIM = 8
SCALE = Scale(0.1 + 0.2, 1.7)
INNER = ("bank", "whitened bank", "discriminator")


def patches(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def adaption(kind="mean", *, unit=False):
    own = PatchStatistics.of([patches(12, 3, 4, DIM, seed=7)])
    return fit_adaption(kind, own, own, unit=unit)


def weights(inner):
    """What is stored, and the expert it stands for."""
    if inner == "discriminator":
        expert = DiscriminatorExpert(
            patches(DIM, DIM, seed=1),
            patches(DIM, seed=2),
            patches(DIM, 5, seed=3),
            patches(5, seed=4),
            patches(5, seed=5),
        )
        return expert, expert
    whitening = None
    if inner == "whitened bank":
        whitening = fit_whitening([patches(50, DIM, seed=6)], num_directions=3, shrinkage=0.3)
    rows_MD = patches(20, DIM, seed=1)
    return BankWeights(rows_MD, whitening), BankExpert(rows_MD, whitening)


def test_a_scale_puts_the_median_at_0_and_the_most_unusual_hundredth_at_1():
    scores_NHW = 40 + patches(10, 10, 10) ** 2
    scaled = Scale.of(scores_NHW).apply(scores_NHW)
    assert np.median(scaled) == pytest.approx(0, abs=1e-4)
    assert (scaled > 1).sum() == 10  # of a thousand
    assert (np.diff(scaled.ravel()[scores_NHW.ravel().argsort()]) >= 0).all()
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("value", [0, 1, -3.5, 1e3])
def test_equal_scores_are_all_typical_and_divide_by_no_zero(value):
    scores_HW = np.full((4, 4), value, np.float32)
    scale = Scale.of(scores_HW)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(scale.apply(scores_HW), 0)
        assert (scale.apply(scores_HW + 1) > 1).all()


def test_an_experts_scores_do_not_depend_on_its_unit():
    scores_HW = patches(20, 20)
    ours, theirs = Scale.of(scores_HW), Scale.of(5 * scores_HW + 100)
    np.testing.assert_allclose(theirs.apply(5 * scores_HW + 100), ours.apply(scores_HW), atol=1e-4)


def test_unscaled_leaves_scores_as_they_are():
    np.testing.assert_array_equal(UNSCALED.apply(patches(3, 4)), patches(3, 4))


def test_patches_are_adapted_then_scored_then_scaled():
    moving, (_, inner) = adaption("channels", unit=True), weights("bank")
    picture_HWD = patches(3, 5, DIM, seed=9).astype(np.float16).astype(np.float32)  # as a pool keeps them
    expected_HW = (inner.patch_scores(moving.apply(picture_HWD)) - 0.3) / 1.4
    np.testing.assert_allclose(AdaptedExpert(moving, inner, SCALE).patch_scores(picture_HWD), expected_HW, rtol=1e-4)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(("kind", "unit"), [("none", False), ("std", True), ("channels", False), ("subspace", True)])
def test_an_expert_that_comes_back_from_its_bytes_gives_the_same_scores_to_the_bit(inner, kind, unit):
    stored, expert = weights(inner)
    picture_HWD = patches(6, 5, DIM, seed=9)
    expected_HW = AdaptedExpert(adaption(kind, unit=unit), expert, SCALE).patch_scores(picture_HWD)
    data = expert_to_bytes(adaption(kind, unit=unit), SCALE, stored)
    again = expert_from_bytes(data, "here")
    np.testing.assert_array_equal(again.patch_scores(picture_HWD), expected_HW)
    assert (again.scale, again.adaption.kind, again.adaption.unit) == (SCALE, kind, unit)
    for name in ("centre_D", "std_D", "directions_DJ"):
        read, written = getattr(again.adaption, name), getattr(adaption(kind, unit=unit), name)
        assert read.dtype == written.dtype == np.float32
        np.testing.assert_array_equal(read, written)


@pytest.mark.parametrize("inner", INNER)
def test_equal_experts_give_equal_bytes_however_their_arrays_lie_in_memory(inner):
    data = expert_to_bytes(adaption("subspace"), SCALE, weights(inner)[0])
    moving, stored = adaption("subspace"), weights(inner)[0]
    moving = dataclasses.replace(moving, directions_DJ=np.asfortranarray(moving.directions_DJ))
    name = "hidden_DJ" if inner == "discriminator" else "rows_MD"
    stored = dataclasses.replace(stored, **{name: np.asfortranarray(getattr(stored, name))})
    assert expert_to_bytes(moving, SCALE, stored) == data


def test_any_difference_is_a_difference_in_bytes():
    moving, bank = adaption("subspace"), weights("whitened bank")[0]
    several = [
        expert_to_bytes(moving, SCALE, bank),
        expert_to_bytes(moving, UNSCALED, bank),
        expert_to_bytes(moving.without_moving(), SCALE, bank),
        expert_to_bytes(dataclasses.replace(moving, unit=True), SCALE, bank),
        expert_to_bytes(dataclasses.replace(moving, centre_D=moving.centre_D + 1), SCALE, bank),
        expert_to_bytes(moving, SCALE, dataclasses.replace(bank, rows_MD=bank.rows_MD[:-1])),
        expert_to_bytes(moving, SCALE, dataclasses.replace(bank, whitening=None)),
        expert_to_bytes(
            moving, SCALE, dataclasses.replace(bank, whitening=dataclasses.replace(bank.whitening, shrinkage=0.5))
        ),
        expert_to_bytes(moving, SCALE, weights("discriminator")[0]),
    ]
    assert len(set(several)) == len(several)


def foreign():
    data = expert_to_bytes(adaption("subspace"), SCALE, weights("whitened bank")[0])
    arrays = load(data)
    plain = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["eagleray"])

    def changed(without=(), **values):
        kept = {name: array for name, array in arrays.items() if name not in without}
        return save(kept, {"eagleray": json.dumps(plain | values)})

    yield "empty", b""
    yield "no safetensors", b"x" * 100
    yield "zeros", b"\x00" * 1000
    for share in (0.01, 0.3, 0.9):
        yield f"cut off at {share}", data[: int(share * len(data))]
    yield "one byte missing", data[:-1]
    yield "one byte more", data + b"x"
    yield "no metadata", save(arrays)
    yield "metadata of others", save(arrays, {"other": "1"})
    yield "no json", save(arrays, {"eagleray": "{"})
    yield "no object", save(arrays, {"eagleray": "null"})
    yield "no fields", save(arrays, {"eagleray": "{}"})
    yield "no adaption", changed(adaption=None)
    yield "another field of the adaption", changed(adaption={"kind": "mean", "unit": False, "more": 1})
    yield "a scale of three", changed(scale=[1, 2, 3])
    yield "no whitening", changed(whitening=None)
    yield "no rows", changed(without=["bank.rows_MD"])
    yield "no mean of the whitening", changed(without=["whitening.mean_D"])
    yield "no centre", changed(without=["adaption.centre_D"])
    tail = {f"discriminator.{name}": array for name, array in weights("discriminator")[0].to_tensors().items()}
    yield "half a discriminator", save(dict(list(tail.items())[1:]) | arrays, {"eagleray": json.dumps(plain)})


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in foreign()])
def test_foreign_bytes_are_corrupt(data):
    with pytest.raises(StoreCorrupt, match=r"^blobs/ab: not an expert .*; train it again") as caught:
        expert_from_bytes(data, "blobs/ab")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inner", INNER)
def test_another_schema_is_told_from_damage(inner):
    data = expert_to_bytes(adaption(), SCALE, weights(inner)[0])
    assert data.count(b"eagleray.expert/1") == 1
    with pytest.raises(StoreVersion, match=r"^blobs/ab: an expert of another schema than eagleray.expert/1"):
        expert_from_bytes(data.replace(b"eagleray.expert/1", b"eagleray.expert/2"), "blobs/ab")


def test_an_adaption_without_directions_is_written_without_them_and_read_with_none():
    data = expert_to_bytes(adaption("mean"), SCALE, weights("bank")[0])
    assert "adaption.directions_DJ" not in load(data)
    read = expert_from_bytes(data, "here").adaption
    assert isinstance(read, Adaption)
    assert read.directions_DJ.shape == (DIM, 0)
