import itertools
import math

import numpy as np
import pytest

from eagleray.routing import novelty_limits

PLACES = {"nut": (0, 0), "bolt": (3, 0), "disc": (1.5, 3 * 0.75**0.5)}  # each 3 from the others


def limits(distances, centroids=PLACES):
    return novelty_limits(
        {name: np.array(values, np.float32) for name, values in distances.items()},
        {name: np.array(values, np.float32) for name, values in centroids.items()},
    )


def test_the_limit_is_halfway_between_the_farthest_good_image_and_the_typical_other_product():
    found = limits({"nut": [0.5, 1, 0.25], "bolt": [0], "disc": [0.5]})
    assert found == pytest.approx({"nut": 2.0, "bolt": 1.5, "disc": 1.75})


def test_the_typical_distance_is_the_root_mean_square_over_all_pairs():
    rng = np.random.default_rng(0)
    centroids = {f"class{number}": rng.normal(size=5) for number in range(7)}
    squares = [np.square(a - b).sum() for a, b in itertools.combinations(centroids.values(), 2)]
    assert limits({"class0": [0]}, centroids)["class0"] == pytest.approx(np.sqrt(np.mean(squares)) / 2)


def test_a_class_as_varied_as_products_are_different_is_given_twice_its_farthest_image():
    assert limits({"nut": [1, 3.5], "bolt": [0.5], "disc": [0.5]})["nut"] == 7


def test_a_lookalike_narrows_the_limits_hardly_at_all():
    apart = {f"class{number}": 10 * np.eye(6)[number] for number in range(6)}
    without, with_twin = (
        limits({"class0": [1]}, known)["class0"] for known in (apart, {**apart, "twin": apart["class0"]})
    )
    assert 0.95 * without < with_twin < without


def test_in_a_model_of_lookalikes_an_image_may_still_lie_twice_as_far_as_the_farthest_good_one():
    centroids = {name: 0.01 * np.array(place) for name, place in PLACES.items()}
    assert limits({name: [1.0] for name in PLACES}, centroids) == dict.fromkeys(PLACES, 2.0)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_limits_grow_with_the_embeddings(scale):
    distances = {"nut": [0.5, 1], "bolt": [0.2], "disc": [3.5]}
    scaled = limits(
        {name: scale * np.array(values) for name, values in distances.items()},
        {name: scale * np.array(place) for name, place in PLACES.items()},
    )
    assert scaled == pytest.approx({name: scale * limit for name, limit in limits(distances).items()})


def test_a_class_without_held_out_distances_calls_nothing_unknown_and_still_counts_as_a_product():
    found = limits({"nut": [1], "bolt": [], "disc": [1]})
    assert found == pytest.approx({"nut": 2.0, "bolt": math.inf, "disc": 2.0})


@pytest.mark.parametrize("known", [0, 1])
def test_with_fewer_than_two_products_nothing_tells_how_far_another_would_lie(known):
    names = ["nut"][:known]
    assert limits({name: [1] for name in names}, dict.fromkeys(names, (0, 0))) == dict.fromkeys(names, math.inf)


def test_the_order_in_which_classes_were_learned_does_not_matter():
    centroids = {f"class{number}": np.random.default_rng(number).normal(size=5) for number in range(20)}
    distances = {name: [1] for name in centroids}
    assert limits(distances, centroids) == limits(distances, dict(reversed(centroids.items())))
