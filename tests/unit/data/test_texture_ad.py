import numpy as np
import pytest
from PIL import Image

from eagleray.data import Sample, is_texture_ad, read_mvtec_ad, read_texture_ad
from eagleray.errors import DataError, EagleRayWarning, UnknownClass


def picture(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), 100, np.uint8)).save(path)
    return path


def mask(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)
    return path


@pytest.fixture
def cloths(tmp_path):
    """One category: a seen subclass with a test part and an unseen one with a mask."""
    root = tmp_path / "data"
    picture(root / "cloth/twill/train/good/000.png")
    picture(root / "cloth/twill/test/good/000.png")
    picture(root / "cloth/knit/test/good/000.png")
    picture(root / "cloth/knit/test/hole/000.png")
    mask(root / "cloth/knit/ground_truth/hole/000_mask.png")
    return root


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_subclasses_are_sorted_and_those_without_train_are_unseen(cloths):
    (category,) = read_texture_ad(cloths)
    assert (category.name, [subclass.name for subclass in category.subclasses]) == ("cloth", ["knit", "twill"])
    assert [subclass.name for subclass in category.seen] == ["twill"]
    assert [subclass.name for subclass in category.unseen] == ["knit"]


def test_a_sample_bears_the_name_of_its_subclass_and_its_mask(cloths):
    knit, twill = read_texture_ad(cloths)[0].subclasses
    folder = cloths / "cloth/knit"
    truth = str(folder / "ground_truth/hole/000_mask.png")
    assert knit.train == ()
    assert knit.test == (
        Sample(str(folder / "test/good/000.png"), "knit", "test", 0, "good", None),
        Sample(str(folder / "test/hole/000.png"), "knit", "test", 1, "hole", truth),
    )
    assert [(sample.category, sample.split) for sample in twill.train + twill.test] == [
        ("twill", "train"),
        ("twill", "test"),
    ]


def test_categories_are_sorted_or_in_the_given_order(cloths):
    picture(cloths / "wafer/bare/train/good/0.png")
    picture(cloths / "metal/steel/train/good/0.png")
    assert [category.name for category in read_texture_ad(cloths)] == ["cloth", "metal", "wafer"]
    assert [category.name for category in read_texture_ad(cloths, ["wafer", "cloth"])] == ["wafer", "cloth"]


def test_a_broken_category_that_is_not_asked_for_does_no_harm(cloths):
    (cloths / "notes").mkdir()
    assert [category.name for category in read_texture_ad(cloths, ["cloth"])] == ["cloth"]


def test_an_unknown_category_is_named_with_the_known_ones(cloths):
    with pytest.raises(UnknownClass, match=r"'wood' in .*data; it has: cloth"):
        read_texture_ad(cloths, ["wood"])


def test_one_subclass_and_an_unseen_one_without_good_test_images_are_fine(cloths):
    picture(cloths / "metal/steel/train/good/0.png")
    (cloths / "cloth/knit/test/good/000.png").unlink()
    cloth, metal = read_texture_ad(cloths)
    assert [sample.label for sample in cloth.unseen[0].test] == [1]
    assert (len(metal.seen), metal.unseen) == (1, ())


def test_a_category_with_nothing_to_learn_from_is_named(cloths):
    picture(cloths / "metal/steel/test/good/0.png")
    with pytest.raises(DataError, match=r"no subclass to learn from.*train/good") as error:
        read_texture_ad(cloths)
    assert one_line(error).startswith(f"{cloths / 'metal'}: ")


def test_a_category_without_a_subclass_is_named(cloths):
    picture(cloths / "metal/0.png")
    with pytest.raises(DataError, match="has no subclass; put good images") as error:
        read_texture_ad(cloths)
    assert one_line(error).startswith(f"{cloths / 'metal'}: ")


def test_a_train_folder_without_a_good_image_is_a_mistake_and_not_an_unseen_subclass(cloths):
    (cloths / "cloth/knit/train/good").mkdir(parents=True)
    with pytest.raises(DataError, match="has no good image") as error:
        read_texture_ad(cloths)
    assert one_line(error).startswith(f"{cloths / 'cloth/knit'}: ")


def test_a_root_without_a_folder_says_where_images_belong(tmp_path):
    picture(tmp_path / "0.png")
    with pytest.raises(DataError, match="<category>/<subclass>/train/good"):
        read_texture_ad(tmp_path)


def test_a_root_that_is_one_category_is_refused(cloths):
    with pytest.raises(DataError, match="is a subclass, not a category") as error:
        read_texture_ad(cloths / "cloth")
    assert one_line(error).startswith(f"{cloths / 'cloth/knit'}: ")


def test_a_folder_beside_the_subclasses_is_skipped_aloud(cloths):
    picture(cloths / "cloth/satin/0.png")
    with pytest.warns(EagleRayWarning, match="satin: skipped"):
        (category,) = read_texture_ad(cloths)
    assert len(category.subclasses) == 2


@pytest.mark.parametrize("subclass", ["knit", "twill"])
def test_masks_of_seen_and_unseen_subclasses_are_checked(cloths, subclass):
    picture(cloths / "cloth" / subclass / "test/hole/000.png")
    path = mask(cloths / "cloth" / subclass / "ground_truth/hole/000_mask.png", size=(6, 8))
    with pytest.raises(DataError, match="resize or replace") as error:
        read_texture_ad(cloths)
    assert one_line(error).startswith(f"{path}: ")


def test_the_layout_is_told_from_that_of_mvtec_ad(cloths, tmp_path):
    picture(tmp_path / "bolts/bolt/train/good/0.png")
    picture(tmp_path / "bolts/bolt/test/train/0.png")  # a defect called train
    picture(tmp_path / "plain/bolt/0.png")
    assert is_texture_ad(cloths)
    assert not any(is_texture_ad(tmp_path / name) for name in ("bolts", "bolts/bolt", "plain", "data/cloth"))


def test_one_unseen_subclass_is_enough_for_the_layout(tmp_path):
    picture(tmp_path / "cloth/knit/test/good/0.png")
    assert is_texture_ad(tmp_path)


def test_each_category_is_a_data_set_in_the_layout_of_mvtec_ad(cloths):
    with pytest.warns(EagleRayWarning, match="knit: skipped"):
        assert tuple(read_mvtec_ad(cloths / "cloth")) == read_texture_ad(cloths)[0].seen
