import errno

import numpy as np
import pytest
from PIL import Image

from eagleray.data import read_mvtec_ad, write_products
from eagleray.data.synthetic import PRODUCTS
from eagleray.data.synthetic.products import render
from eagleray.errors import ConfigError, DataError, UnknownClass

DEFECTS = [(name, defect) for name, product in PRODUCTS.items() for defect in product.defects]


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.png"))}


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "data"
    write_products(root, seed=3, num_train=2, num_test_good=1, num_test_defective=5, image_size=64)
    return root


def test_the_layout_is_that_of_mvtec_ad(demo):
    categories = read_mvtec_ad(demo)
    assert [category.name for category in categories] == sorted(PRODUCTS)
    assert len(categories) >= 8
    for category in categories:
        assert (len(category.train), sum(s.label == 0 for s in category.test)) == (2, 1)
        defective = [sample for sample in category.test if sample.label]
        assert len(defective) == 5
        assert {sample.defect for sample in defective} == set(PRODUCTS[category.name].defects)
        assert all(sample.mask for sample in defective)


def test_every_product_has_at_least_three_kinds_of_defect():
    assert min(len(product.defects) for product in PRODUCTS.values()) >= 3


def test_images_are_rgb_and_masks_hold_0_and_255(demo):
    for category in read_mvtec_ad(demo):
        for sample in category.train + category.test:
            assert (pixels(sample.path).shape, pixels(sample.path).dtype) == ((64, 64, 3), np.uint8)
            if sample.mask:
                assert set(np.unique(pixels(sample.mask))) == {0, 255}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_bytes(demo, tmp_path):
    arguments = {"num_train": 2, "num_test_good": 1, "num_test_defective": 5, "image_size": 64}
    write_products(tmp_path / "same", seed=3, **arguments)
    write_products(tmp_path / "other", seed=4, **arguments)
    assert files(tmp_path / "same") == files(demo)
    other = files(tmp_path / "other")
    assert other.keys() == files(demo).keys()
    assert not any(files(demo)[name] == content for name, content in other.items() if "ground_truth" not in name)


def test_fewer_images_of_fewer_classes_are_a_part_of_more(demo, tmp_path):
    write_products(
        tmp_path / "part",
        seed=3,
        num_train=1,
        num_test_good=0,
        num_test_defective=3,
        image_size=64,
        classes=["wood", "denim"],
    )
    part, whole = files(tmp_path / "part"), files(demo)
    assert len(part) == 2 * (1 + 3 + 3)
    assert all(whole[name] == content for name, content in part.items())


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_a_defect_is_small_and_its_mask_is_where_the_picture_changed(name, defect):
    seed = [np.random.SeedSequence([7, 1]) for _ in range(2)]
    good, nothing = render(name, 128, seed[0])
    bad, mask = render(name, 128, seed[1], defect)
    change = np.abs(bad.astype(int) - good.astype(int)).max(axis=2)
    assert not nothing.any()
    assert 0.0004 < mask.mean() < 0.04
    assert change[mask].mean() > 8  # of 255, well above 0 elsewhere
    assert change[~mask].mean() < 0.5


def test_good_images_of_one_product_differ(demo):
    for category in read_mvtec_ad(demo):
        first, second = (pixels(sample.path).astype(float) for sample in category.train)
        assert np.abs(first - second).mean() > 2


def test_products_look_different_from_one_another(demo):
    """The nearest neighbour by a coarse look (4 x 4 colours and contrast) is an image of the same product."""

    def look(path):
        blocks = pixels(path).astype(float).reshape(4, 16, 4, 16, 3)
        return np.concatenate([blocks.mean(axis=(1, 3)).ravel(), blocks.std(axis=(1, 3)).ravel()])

    samples = [sample for category in read_mvtec_ad(demo) for sample in category.train]
    looks = np.stack([look(sample.path) for sample in samples])
    distance = np.linalg.norm(looks[:, None] - looks[None], axis=2) + 1e9 * np.eye(len(looks))
    nearest = distance.argmin(axis=1)
    assert [samples[n].category for n in nearest] == [sample.category for sample in samples]


def test_the_folder_says_that_its_data_are_generated(demo):
    text = (demo / "DEMO_DATA.md").read_text()
    assert "never report" in text and '"seed": 3' in text and '"image_size": 64' in text


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        write_products(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    def full(self, path, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match=r"000\.png: .*No space left on device.*free disk space") as error:
        write_products(tmp_path / "new", num_train=1, image_size=32)
    assert "\n" not in str(error.value)


def test_a_root_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: "):
        write_products(tmp_path / "file")


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UnknownClass, match="'lens'"):
        write_products(tmp_path / "new", classes=["lens"])
    for wrong in ({"num_train": 0}, {"image_size": 8}, {"seed": -1}, {"num_test_good": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            write_products(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
