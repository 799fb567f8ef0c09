import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from eagleray.errors import StoreCorrupt, StoreVersion
from eagleray.routing import RoutingNetwork


def network(*, dim=5, channels=4, experts=3, stride=1, seed=0):
    random = np.random.default_rng(seed)
    centres_EC = random.random((experts, channels), np.float32)
    return RoutingNetwork(
        kernel=random.normal(size=(3, 3, dim, channels)).astype(np.float32),
        bias_C=random.normal(size=channels).astype(np.float32),
        centres_EC=centres_EC / np.linalg.norm(centres_EC, axis=1, keepdims=True),
        classifier_EC=random.normal(size=(experts, channels)).astype(np.float32),
        stride=stride,
    )


def picture(height, width, dim=5, seed=1):
    return np.random.default_rng(seed).normal(size=(height, width, dim)).astype(np.float32)


def embedding_by_torch(net, patches_HWD):
    kernel = torch.from_numpy(net.kernel).permute(3, 2, 0, 1)
    patches = torch.from_numpy(patches_HWD.astype(np.float32)).permute(2, 0, 1)[None]
    pooled = torch.relu(torch.conv2d(patches, kernel, torch.from_numpy(net.bias_C), net.stride, 1)).mean((0, 2, 3))
    return (pooled / pooled.norm()).numpy()


def fixed(*, centres, classifier):
    """A network whose embedding of a one-patch picture is that patch, normalised; where it is not negative."""
    dim = len(centres[0])
    kernel = np.zeros((3, 3, dim, dim), np.float32)
    kernel[1, 1] = np.eye(dim)
    arrays = (np.array(rows, np.float32) for rows in (centres, classifier))
    return RoutingNetwork(kernel, np.zeros(dim, np.float32), *arrays, stride=1)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))
def test_an_embedding_is_torchs_convolution_relu_mean_and_norm(height, width, stride):
    net, patches_HWD = network(stride=stride), picture(height, width)
    np.testing.assert_allclose(net.embed(patches_HWD), embedding_by_torch(net, patches_HWD), rtol=1e-4, atol=1e-5)


def test_half_precision_patches_are_summed_in_single_precision():
    net, halves_HWD = network(), picture(6, 4).astype(np.float16)
    assert net.embed(halves_HWD).dtype == np.float32
    np.testing.assert_array_equal(net.embed(halves_HWD), net.embed(halves_HWD.astype(np.float32)))


def test_equation_1_worked_by_hand():
    # One patch: W x + b = (3 - 1, -4 + 1, 5 - 1), relu (2, 0, 4), length sqrt(20).
    net = fixed(centres=np.eye(3), classifier=np.eye(3))
    net = RoutingNetwork(net.kernel, np.array([-1, 1, -1], np.float32), net.centres_EC, net.classifier_EC, 1)
    found = net.embed(np.array([[[3, -4, 5]]], np.float32))
    np.testing.assert_allclose(found, np.array([2, 0, 4]) / 20**0.5, rtol=1e-6)


def test_experts_come_by_cosine_with_the_centre_and_weights_from_the_classifier_worked_by_hand():
    # The embedding is (.6, .8): cosines .6, .8, .96; logits .6 ln 2 / .6, 0, .8 ln 3 / .8.
    net = fixed(
        centres=[[1, 0], [0, 1], [0.8, 0.6]],
        classifier=[[np.log(2) / 0.6, 0], [0, 0], [0, np.log(3) / 0.8]],
    )
    found = net.route(np.array([[[3, 4]]], np.float32), 3)
    assert [expert for expert, _ in found] == [2, 1, 0]
    assert [weight for _, weight in found] == pytest.approx([3 / 6, 1 / 6, 2 / 6])
    assert [weight for _, weight in net.route(np.array([[[3, 4]]], np.float32), 2)] == pytest.approx([3 / 4, 1 / 4])


@given(st.integers(1, 3), st.integers(0, 9))
def test_weights_sum_to_1_and_fewer_experts_are_the_first_of_more(top_k, seed):
    net, patches_HWD = network(seed=seed), picture(3, 3, seed=seed)
    found = net.route(patches_HWD, top_k)
    assert len(found) == top_k
    assert sum(weight for _, weight in found) == pytest.approx(1)
    assert [expert for expert, _ in found] == [expert for expert, _ in net.route(patches_HWD, 3)][:top_k]


def test_large_logits_do_not_overflow():
    net = fixed(centres=[[1, 0], [0, 1]], classifier=[[1e4, 0], [0, -1e4]])
    assert net.route(np.ones((1, 1, 2), np.float32), 2) == ((0, 1.0), (1, 0.0))


def test_a_picture_that_excites_nothing_still_goes_somewhere():
    net = fixed(centres=[[1, 0], [0, 1]], classifier=np.eye(2))
    assert net.route(-np.ones((2, 2, 2), np.float32), 2) == ((0, 0.5), (1, 0.5))


@pytest.mark.parametrize("top_k", [0, 4])
def test_a_number_of_experts_that_there_is_not_is_refused(top_k):
    with pytest.raises(ValueError, match="from 1 to 3"):
        network().route(picture(2, 2), top_k)


def test_bytes_come_back_as_the_same_network():
    net = network(stride=2)
    back = RoutingNetwork.from_bytes(net.to_bytes(), "here")
    for name in ("kernel", "bias_C", "centres_EC", "classifier_EC"):
        np.testing.assert_array_equal(getattr(back, name), getattr(net, name))
    assert back.stride == 2
    assert back.to_bytes() == net.to_bytes()
    assert back.route(picture(4, 4), 3) == net.route(picture(4, 4), 3)


def foreign():
    ours = network()
    arrays = {name: getattr(ours, name) for name in ("kernel", "bias_C", "centres_EC", "classifier_EC")}
    plain = {"eagleray": '{"schema": "eagleray.routing-network/1", "stride": 1}'}
    yield "empty", b""
    yield "no safetensors", b"x" * 100
    yield "cut off", ours.to_bytes()[:-1]
    yield "no metadata", save(arrays)
    yield "an array missing", save({name: arrays[name] for name in list(arrays)[1:]}, plain)
    yield "an array more", save({**arrays, "more": arrays["bias_C"]}, plain)
    yield "other shapes", save({**arrays, "centres_EC": arrays["centres_EC"][:, 1:]}, plain)
    yield "other numbers", save({**arrays, "bias_C": arrays["bias_C"].astype(np.int64)}, plain)
    yield "no stride", save(arrays, {"eagleray": '{"schema": "eagleray.routing-network/1", "stride": 0}'})


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in foreign()])
def test_foreign_bytes_are_corrupt(data):
    with pytest.raises(StoreCorrupt, match=r"blobs/ab: not a routing network .*; train it again"):
        RoutingNetwork.from_bytes(data, "blobs/ab")


def test_another_schema_is_named():
    data = network().to_bytes().replace(b"routing-network/1", b"routing-network/2")
    with pytest.raises(StoreVersion, match="routing-network/1"):
        RoutingNetwork.from_bytes(data, "blobs/ab")
