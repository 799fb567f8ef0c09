import numpy as np
import pytest

from eagleray.routing import PrototypeRouter

PROTOTYPES = {
    "nut": np.array([[0, 0], [10, 0]], np.float32),
    "bolt": np.array([[5, 0]], np.float32),
    "disc": np.array([[0, 8], [3, 8], [6, 8]], np.float32),
}


def many_classes(*, spread, classes=60, dim=48):
    """Prototypes and images of classes that lie apart by `spread`, about as far from the origin as embeddings do."""
    rng = np.random.default_rng(0)
    origin_D = 1.7 * np.ones(dim) / dim**0.5
    centres_CD = origin_D + spread * rng.normal(size=(classes, dim))
    prototypes = {
        f"class{number}": (centre_D + spread * rng.normal(size=(1 + number % 4, dim))).astype(np.float32)
        for number, centre_D in enumerate(centres_CD)
    }
    images_ND = (centres_CD[rng.integers(classes, size=40)] + spread * rng.normal(size=(40, dim))).astype(np.float32)
    return prototypes, images_ND


def by_hand(prototypes, image_D):
    found = {name: float(np.linalg.norm(rows_KD - image_D, axis=1).min()) for name, rows_KD in prototypes.items()}
    return sorted(found.items(), key=lambda item: (item[1], item[0]))


@pytest.mark.parametrize(
    ("image", "expected"),
    [((0.4, 0), "nut"), ((9, 0), "nut"), ((5.5, 1), "bolt"), ((6, 7), "disc"), ((-50, 100), "disc")],
)
def test_an_image_belongs_to_the_class_of_its_nearest_prototype(image, expected):
    assert PrototypeRouter(PROTOTYPES).route(np.array(image, np.float32)) == expected


def test_the_distance_to_a_class_is_that_to_its_nearest_prototype():
    found = PrototypeRouter(PROTOTYPES).nearest(np.array([3, 4], np.float32), 3)
    assert found == [("disc", 4.0), ("bolt", pytest.approx(20**0.5)), ("nut", 5.0)]


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6, 1e-7])
@pytest.mark.parametrize("count", [1, 3, 59, 60, 100])
def test_the_closest_classes_are_those_that_exact_distances_give_however_close_together_all_lie(spread, count):
    prototypes, images_ND = many_classes(spread=spread)
    router = PrototypeRouter(prototypes)
    for image_D in images_ND:
        expected = by_hand(prototypes, image_D)
        assert router.nearest(image_D, count) == expected[:count]
        assert router.route(image_D) == expected[0][0]


def test_of_equally_close_classes_the_first_by_name_is_chosen():
    router = PrototypeRouter({"nut": PROTOTYPES["nut"][:1], "bolt": PROTOTYPES["nut"][:1]})
    assert router.route(np.zeros(2, np.float32)) == "bolt"
    assert [name for name, _ in router.nearest(np.ones(2, np.float32), 2)] == ["bolt", "nut"]


def test_the_order_in_which_classes_were_learned_does_not_matter():
    turned = dict(reversed(PROTOTYPES.items()))
    for image in np.random.default_rng(0).uniform(-2, 12, (50, 2)).astype(np.float32):
        ours, theirs = PrototypeRouter(PROTOTYPES), PrototypeRouter(turned)
        assert ours.route(image) == theirs.route(image)
        assert ours.nearest(image, 3) == theirs.nearest(image, 3)


def test_a_single_class_takes_every_image():
    assert PrototypeRouter({"nut": PROTOTYPES["nut"]}).route(np.array([1e6, 0], np.float32)) == "nut"


class TestManyClasses:
    """From a thousand prototypes on, an index chooses what is looked at closely."""

    @pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6, 1e-7])
    @pytest.mark.parametrize("count", [1, 3, 400, 500])
    def test_the_closest_classes_are_those_that_exact_distances_give(self, spread, count):
        prototypes, images_ND = many_classes(spread=spread, classes=420)
        router = PrototypeRouter(prototypes)
        for image_D in images_ND:
            assert router.nearest(image_D, count) == by_hand(prototypes, image_D)[:count]

    def test_they_are_also_where_classes_come_in_families_and_then_few_are_looked_at(self, monkeypatch):
        prototypes, images_ND = in_families(420)
        router = PrototypeRouter(prototypes)
        monkeypatch.setattr(router, "_near_by_product", pytest.fail)
        looked_at = count_rows(monkeypatch, router)
        for image_D in images_ND:
            assert router.nearest(image_D, 3) == by_hand(prototypes, image_D)[:3]
        assert np.mean(looked_at) < 60, "of 1,260 prototypes; the family has 30"

    def test_where_no_class_is_like_another_one_product_with_all_prototypes_decides(self, monkeypatch):
        prototypes, images_ND = many_classes(spread=1.0, classes=420, dim=300)
        router = PrototypeRouter(prototypes)
        products = []
        by_product = router._near_by_product
        monkeypatch.setattr(router, "_near_by_product", lambda *values: products.append(1) or by_product(*values))
        for image_D in images_ND:
            assert router.nearest(image_D, 3) == by_hand(prototypes, image_D)[:3]
        assert len(products) == len(images_ND)

    def test_of_equally_close_classes_the_first_by_name_is_chosen(self):
        same_KD = np.ones((3, 48), np.float32)
        router = PrototypeRouter({f"class{number:03d}": same_KD for number in range(400)})
        assert [name for name, _ in router.nearest(np.zeros(48, np.float32), 3)] == ["class000", "class001", "class002"]


def in_families(classes, *, dim=48, seed=0):
    """Classes of three prototypes, ten alike in a family, and images of them."""
    rng = np.random.default_rng(seed)
    families_FD = 3 * rng.standard_normal((classes // 10, dim))
    centres_CD = np.repeat(families_FD, 10, axis=0) + 0.3 * rng.standard_normal((classes, dim))
    prototypes_CKD = centres_CD[:, None] + 0.1 * rng.standard_normal((classes, 3, dim))
    prototypes = {f"class{number:03d}": prototypes_CKD[number].astype(np.float32) for number in range(classes)}
    images_ND = centres_CD[rng.integers(classes, size=30)] + 0.1 * rng.standard_normal((30, dim))
    return prototypes, images_ND.astype(np.float32)


def count_rows(monkeypatch, router):
    """Prototypes whose exact distances were taken, a number for each time."""
    counts = []
    distances = router._distances

    def counted(chosen_C, mean_D):
        counts.append(int(chosen_C[router._class_M].sum()))
        return distances(chosen_C, mean_D)

    monkeypatch.setattr(router, "_distances", counted)
    return counts
