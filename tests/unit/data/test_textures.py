import numpy as np
import pytest
from PIL import Image

from eagleray.data import is_texture_ad, read_texture_ad, write_textures
from eagleray.data.synthetic import TEXTURES
from eagleray.data.synthetic.products import render_product
from eagleray.errors import ConfigError, DataError, UnknownClass

PRODUCTS = {
    f"{name}/{subclass}": product
    for name, texture in TEXTURES.items()
    for subclass, product in (*texture.seen.items(), *texture.unseen.items())
}
DEFECTS = [(name, defect) for name, product in PRODUCTS.items() for defect in product.defects]
COUNTS = {"num_train": 2, "num_test_good": 3, "num_test_defective": 4, "image_size": 64}


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.png"))}


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "data"
    write_textures(root, seed=3, **COUNTS)
    return root


def test_the_layout_is_that_of_texture_ad(demo):
    assert is_texture_ad(demo)
    categories = read_texture_ad(demo)
    assert [category.name for category in categories] == ["cloth", "metal", "wafer"]
    for category in categories:
        texture = TEXTURES[category.name]
        assert [subclass.name for subclass in category.seen] == sorted(texture.seen)
        assert [subclass.name for subclass in category.unseen] == sorted(texture.unseen)


def test_seen_subclasses_have_images_to_learn_from_and_a_third_of_the_test_images(demo):
    for category in read_texture_ad(demo):
        for group, expected in ((category.seen, (2, 1, 1)), (category.unseen, (0, 3, 4))):
            for subclass in group:
                defective = sum(sample.label for sample in subclass.test)
                assert (len(subclass.train), len(subclass.test) - defective, defective) == expected


def test_every_category_has_enough_subclasses_and_defects():
    for texture in TEXTURES.values():
        assert (len(texture.seen) >= 8, len(texture.unseen) >= 3) == (True, True)
        assert not texture.seen.keys() & texture.unseen.keys()
        assert min(len(product.defects) for product in (*texture.seen.values(), *texture.unseen.values())) >= 3


def test_images_are_rgb_and_masks_hold_0_and_255(demo):
    for category in read_texture_ad(demo):
        for subclass in category.subclasses:
            for sample in subclass.train + subclass.test:
                assert (pixels(sample.path).shape, pixels(sample.path).dtype) == ((64, 64, 3), np.uint8)
                assert (sample.mask is not None) == bool(sample.label)
                if sample.mask:
                    assert set(np.unique(pixels(sample.mask))) == {0, 255}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_bytes(tmp_path):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        write_textures(tmp_path / name, seed=seed, categories=["wafer"], **COUNTS)
    one, other = files(tmp_path / "one"), files(tmp_path / "other")
    assert files(tmp_path / "same") == one
    assert other.keys() == one.keys()
    assert not any(one[name] == content for name, content in other.items() if "ground_truth" not in name)


def test_fewer_images_of_fewer_categories_are_a_part_of_more(demo, tmp_path):
    fewer = {"num_train": 1, "num_test_good": 0, "num_test_defective": 3, "image_size": 64}
    write_textures(tmp_path / "part", seed=3, categories=["metal"], **fewer)
    part, whole = files(tmp_path / "part"), files(demo)
    seen, unseen = len(TEXTURES["metal"].seen), len(TEXTURES["metal"].unseen)
    assert len(part) == seen * (1 + 2) + unseen * (3 + 3)
    assert all(whole[name] == content for name, content in part.items())


def test_no_two_images_are_the_same(demo):
    images = [content for name, content in files(demo).items() if "ground_truth" not in name]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_a_defect_is_small_and_its_mask_is_where_the_picture_changed(name, defect):
    seeds = [np.random.SeedSequence([7, 1]) for _ in range(2)]
    good, nothing = render_product(PRODUCTS[name], 128, seeds[0])
    bad, mask = render_product(PRODUCTS[name], 128, seeds[1], defect)
    change = np.abs(bad.astype(int) - good.astype(int)).max(axis=2)
    assert not nothing.any()
    assert 0.0004 < mask.mean() < 0.03
    assert change[mask].mean() > 5  # of 255, well above 0 elsewhere
    assert change[~mask].mean() < 0.5


def test_an_unseen_subclass_is_further_from_the_seen_ones_than_a_new_image_of_a_seen_one(demo):
    """By mean colour, contrast and how the contrast is spread over scales."""

    def look(path):
        image = pixels(path).astype(float) / 255
        steps = [np.abs(image[step:] - image[:-step]).mean() for step in (1, 2, 4, 8)]
        return np.concatenate([image.mean(axis=(0, 1)), image.std(axis=(0, 1)), steps])

    for category in read_texture_ad(demo):
        learned = np.stack([look(sample.path) for subclass in category.seen for sample in subclass.train])

        def novelty(subclasses, learned=learned):
            looks = [look(sample.path) for subclass in subclasses for sample in subclass.test if not sample.label]
            return np.asarray([np.linalg.norm(learned - one, axis=1).min() for one in looks])

        assert novelty(category.unseen).min() > 1.5 * novelty(category.seen).max()


def test_the_folder_says_that_its_data_are_generated(demo):
    text = (demo / "DEMO_DATA.md").read_text()
    assert "never report" in text and '"seed": 3' in text and "write_textures" in text


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        write_textures(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UnknownClass, match="'wood' in the demo data; it has: cloth, metal, wafer"):
        write_textures(tmp_path / "new", categories=["wood"])
    for wrong in ({"num_train": 0}, {"image_size": 8}, {"seed": -1}, {"num_test_defective": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            write_textures(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
