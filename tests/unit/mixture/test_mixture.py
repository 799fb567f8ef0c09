import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from eagleray.errors import StoreCorrupt, StoreVersion
from eagleray.mixture import Design, Mixture, MixtureHead, aggregate, top_weights
from eagleray.routing import RoutingNetwork

DIM = 6


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network(*, experts=3, stride=2):
    centres_EC = np.abs(normal(experts, 4, seed=2))
    return RoutingNetwork(
        kernel=normal(3, 3, DIM, 4, seed=1),
        bias_C=normal(4, seed=3),
        centres_EC=centres_EC / np.linalg.norm(centres_EC, axis=1, keepdims=True),
        classifier_EC=normal(experts, 4, seed=4),
        stride=stride,
    )


def mixture(*, routed=True, top_k=2):
    design = Design(expert="bank", moe=routed, adaptions=("none", "subspace"), norm=True)
    subclasses = ("Köper", "satin", "twill") if routed else ("cloth",)
    head = MixtureHead(
        name="cloth",
        design=design,
        top_k=top_k,
        subclasses=subclasses,
        experts=tuple((f"{number}a", f"{number}b") for number in range(len(subclasses))),
        num_images=30,
        rows=1200,
    )
    return Mixture(
        head=head,
        network=network() if routed else None,
        prototypes_KD=normal(4, DIM, seed=5),
        calibration_N=normal(7, seed=6),
    )


def assert_equal(ours, theirs):
    assert ours.head == theirs.head
    for name in ("prototypes_KD", "calibration_N"):
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    if theirs.network is None:
        assert ours.network is None
    else:
        assert ours.network.to_bytes() == theirs.network.to_bytes()


@pytest.mark.parametrize("routed", [False, True])
def test_a_mixture_comes_back_from_its_bytes_as_it_was(routed):
    ours = mixture(routed=routed)
    again = Mixture.from_bytes(ours.to_bytes(), "here")
    assert_equal(again, ours)
    assert again.to_bytes() == ours.to_bytes()
    assert again.route(normal(4, 5, DIM, seed=8)) == ours.route(normal(4, 5, DIM, seed=8))


def test_a_mixture_without_calibration_scores_comes_back():
    ours = dataclasses.replace(mixture(), calibration_N=np.empty(0, np.float32))
    assert_equal(Mixture.from_bytes(ours.to_bytes(), "here"), ours)


def test_equal_mixtures_give_equal_bytes_however_their_arrays_lie_in_memory():
    ours = mixture()
    turned = dataclasses.replace(ours, prototypes_KD=np.asfortranarray(ours.prototypes_KD))
    assert turned.to_bytes() == ours.to_bytes()


def test_any_difference_is_a_difference_in_bytes():
    ours = mixture()
    several = [
        ours,
        mixture(routed=False),
        mixture(top_k=1),
        dataclasses.replace(ours, head=dataclasses.replace(ours.head, experts=(("x",), ("y",), ("z",)))),
        dataclasses.replace(ours, prototypes_KD=ours.prototypes_KD + 1),
        dataclasses.replace(ours, calibration_N=ours.calibration_N[1:]),
        dataclasses.replace(ours, network=network(stride=1)),
    ]
    assert len({one.to_bytes() for one in several}) == len(several)


def foreign():
    data = mixture().to_bytes()
    arrays = load(data)
    plain = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["eagleray"])

    def changed(without=(), **values):
        kept = {name: array for name, array in arrays.items() if name not in without}
        return save(kept, {"eagleray": json.dumps(plain | values)})

    yield "empty", b""
    yield "no safetensors", b"x" * 100
    for share in (0.01, 0.3, 0.9):
        yield f"cut off at {share}", data[: int(share * len(data))]
    yield "one byte missing", data[:-1]
    yield "no metadata", save(arrays)
    yield "no json", save(arrays, {"eagleray": "{"})
    yield "no object", save(arrays, {"eagleray": "[]"})
    yield "no fields", save(arrays, {"eagleray": "{}"})
    yield "no head", changed(head=None)
    yield "half a head", changed(head={"name": "cloth"})
    yield "another design", changed(head=plain["head"] | {"design": {"expert": "oracle", "moe": True}})
    yield "experts that are no names", changed(head=plain["head"] | {"experts": [[1], [2], [3]]})
    yield "no prototypes", changed(without=["prototypes_KD"])
    yield "no calibration", changed(without=["calibration_N"])
    yield "half a network", changed(without=["network.kernel"])


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in foreign()])
def test_foreign_bytes_are_corrupt(data):
    with pytest.raises(StoreCorrupt, match=r"^blobs/ab: not a mixture .*; learn it again") as caught:
        Mixture.from_bytes(data, "blobs/ab")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("routed", [False, True])
def test_another_schema_is_told_from_damage(routed):
    data = mixture(routed=routed).to_bytes()
    assert data.count(b"eagleray.mixture/1") == 1
    with pytest.raises(StoreVersion, match=r"^blobs/ab: a mixture of another schema than eagleray.mixture/1"):
        Mixture.from_bytes(data.replace(b"eagleray.mixture/1", b"eagleray.mixture/2"), "blobs/ab")


def test_one_expert_for_all_is_asked_of_everything():
    assert mixture(routed=False).route(normal(3, 3, DIM)) == ((0, 1.0),)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_as_many_experts_are_asked_as_the_head_says(top_k):
    patches_HWD = normal(3, 3, DIM)
    found = mixture(top_k=top_k).route(patches_HWD)
    expected = network().route(patches_HWD.astype(np.float16).astype(np.float32), top_k)  # as a pool keeps them
    assert [number for number, _ in found] == [number for number, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected], rel=1e-6)
    assert len(found) == top_k


def ranking(pictures, experts):
    """Experts in any order for each picture, with the softmax of random logits in that order."""
    random = np.random.default_rng(9)
    order_NE = np.array([random.permutation(experts) for _ in range(pictures)])
    weight_NE = np.exp(random.normal(size=(pictures, experts)))
    return order_NE, (weight_NE / weight_NE.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_scores_are_those_of_a_loop_over_pictures_and_experts(top_k):
    grids_ENHW = normal(4, 5, 2, 3)
    order_NE, weight_NE = ranking(5, 4)
    found_NHW = aggregate(grids_ENHW, *top_weights(order_NE, weight_NE, top_k))
    assert found_NHW.dtype == np.float32
    for picture in range(5):
        total, weights = np.zeros((2, 3)), 0.0
        for rank in range(top_k):
            total += float(weight_NE[picture, rank]) * grids_ENHW[order_NE[picture, rank], picture]
            weights += float(weight_NE[picture, rank])
        np.testing.assert_allclose(found_NHW[picture], total / weights, rtol=1e-4, atol=1e-5)


def test_an_expert_that_is_not_asked_has_no_say():
    grids_ENHW, (order_NE, weight_NE) = normal(4, 5, 2, 3), ranking(5, 4)
    order_NK, weight_NK = top_weights(order_NE, weight_NE, 2)
    expected_NHW = aggregate(grids_ENHW, order_NK, weight_NK)
    for picture in range(5):
        grids_ENHW[order_NE[picture, 2:], picture] = 1e9
    np.testing.assert_array_equal(aggregate(grids_ENHW, order_NK, weight_NK), expected_NHW)


def test_equal_experts_say_together_what_one_says():
    grid_NHW = normal(5, 2, 3)
    found_NHW = aggregate(np.stack([grid_NHW] * 4), *top_weights(*ranking(5, 4), 3))
    np.testing.assert_allclose(found_NHW, grid_NHW, rtol=1e-5)


def test_a_nearest_expert_whose_weight_among_all_is_nothing_is_asked_all_the_same():
    order_NE, weight_NE = np.array([[1, 0]]), np.array([[0, 1]], np.float32)  # near, but the classifier disagrees
    _, weight_NK = top_weights(order_NE, weight_NE, 1)
    np.testing.assert_array_equal(weight_NK, [[1]])
    np.testing.assert_allclose(top_weights(order_NE, weight_NE, 2)[1], weight_NE, atol=1e-30)
