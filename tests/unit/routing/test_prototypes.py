import numpy as np
import pytest

from eagleray.routing import PrototypeRouter

PROTOTYPES = {
    "nut": np.array([[0, 0], [10, 0]], np.float32),
    "bolt": np.array([[5, 0]], np.float32),
    "disc": np.array([[0, 8], [3, 8], [6, 8]], np.float32),
}


@pytest.mark.parametrize(
    ("image", "expected"),
    [((0.4, 0), "nut"), ((9, 0), "nut"), ((5.5, 1), "bolt"), ((6, 7), "disc"), ((-50, 100), "disc")],
)
def test_an_image_belongs_to_the_class_of_its_nearest_prototype(image, expected):
    assert PrototypeRouter(PROTOTYPES).route(np.array(image, np.float32)) == expected


def test_the_distance_to_a_class_is_that_to_its_nearest_prototype():
    found = PrototypeRouter(PROTOTYPES).distances(np.array([3, 4], np.float32))
    assert found == {"bolt": pytest.approx(20**0.5), "disc": 4.0, "nut": 5.0}


def test_of_equally_close_classes_the_first_by_name_is_chosen():
    router = PrototypeRouter({"nut": PROTOTYPES["nut"][:1], "bolt": PROTOTYPES["nut"][:1]})
    assert router.route(np.zeros(2, np.float32)) == "bolt"


def test_the_order_in_which_classes_were_learned_does_not_matter():
    turned = dict(reversed(PROTOTYPES.items()))
    for image in np.random.default_rng(0).uniform(-2, 12, (50, 2)).astype(np.float32):
        ours, theirs = PrototypeRouter(PROTOTYPES), PrototypeRouter(turned)
        assert ours.route(image) == theirs.route(image)
        assert ours.distances(image) == theirs.distances(image)


def test_route_and_distances_agree():
    router = PrototypeRouter(PROTOTYPES)
    for image in np.random.default_rng(0).uniform(-2, 12, (50, 2)).astype(np.float32):
        found = router.distances(image)
        assert router.route(image) == min(sorted(found), key=found.__getitem__)


def test_a_single_class_takes_every_image():
    assert PrototypeRouter({"nut": PROTOTYPES["nut"]}).route(np.array([1e6, 0], np.float32)) == "nut"
