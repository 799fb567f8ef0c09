import numpy as np
import pytest
import tifffile
from PIL import Image

from eagleray.adnas import common_scale, load_category
from eagleray.adnas.pictures import as_images
from eagleray.data import RgbdCategory, RgbdSample, Sample
from eagleray.errors import DataError, TooFewImages
from eagleray.fusion.images import RgbdImages, height_scale, heights
from eagleray.fusion.pictures import load_rgbd
from eagleray.storage import Skipped

PARTS = ("train", "validation", "test")


@pytest.fixture
def write(tmp_path):
    """Write a category whose pictures tell their part and number by their colour."""

    def category(train=3, validation=2, test=2, *, broken=()):
        parts = {}
        for part, count in zip(PARTS, (train, validation, test), strict=True):
            parts[part] = tuple(sample(part, number, (part, number) in broken) for number in range(count))
        return RgbdCategory("bagel", **parts)

    def sample(part, number, broken):
        color, depth = tmp_path / f"{part}{number}.png", tmp_path / f"{part}{number}.tiff"
        Image.new("RGB", (20, 20), (100 * PARTS.index(part), number, 7)).save(color)
        points_YX3 = np.random.default_rng(number).uniform(0.5, 0.9, (20, 20, 3)).astype(np.float32)
        points_YX3[:4] = 0
        if broken:
            depth.write_bytes(b"not a picture")
        else:
            tifffile.imwrite(depth, points_YX3, photometric="rgb")
        return RgbdSample(Sample(str(color), "bagel", part, 0, "good", None), str(depth))

    return category


def load(category, size=16, **options):
    return load_category(category, size, **{"plane_removal": False, "advance": lambda count: None, **options})


def colours(images):
    """Part and number of each picture."""
    return [(PARTS[int(one[0, 0, 0]) // 100], int(one[0, 0, 1])) for one in images.color_NYX3]


def test_pictures_of_each_part_come_in_order_and_are_counted(write):
    category, told = write(), []
    found = load(category, advance=told.append)
    assert (found.name, found.skipped, found.tests) == ("bagel", (), category.test)
    for part, count in zip(PARTS, (3, 2, 2), strict=True):
        assert colours(getattr(found, part)) == [(part, number) for number in range(count)]
    assert told == [1] * 7


def test_a_picture_comes_with_heights_from_its_median_point_in_the_unit_of_its_file(write):
    category = write()
    found = load(category).train.chosen([1])
    color_YX3, depth_YX, valid_YX, product_YX = load_rgbd(category.train[1], 16)
    np.testing.assert_array_equal(found.color_NYX3[0], color_YX3)
    np.testing.assert_array_equal(found.height_NYX[0], heights(depth_YX, valid_YX))
    np.testing.assert_array_equal(found.valid_NYX[0], valid_YX)
    np.testing.assert_array_equal(found.product_NYX[0], product_YX)
    assert not valid_YX[0].any()
    assert np.median(found.height_NYX[found.valid_NYX]) == pytest.approx(0, abs=1e-3)
    alone = as_images(load_rgbd(category.train[1], 16))
    np.testing.assert_array_equal(alone.height_NYX, found.height_NYX)


def test_the_plane_is_taken_out_where_that_is_asked_for(write, monkeypatch):
    asked = []

    def watched(sample, size, *, plane_removal):
        asked.append((size, plane_removal))
        return load_rgbd(sample, size)

    monkeypatch.setattr("eagleray.adnas.pictures.load_rgbd", watched)
    category = write()
    load(category, plane_removal=True)
    load(category, 8)
    assert asked == [(16, True)] * 7 + [(8, False)] * 7


def test_the_pictures_to_learn_from_are_named_without_those_that_cannot_be_read(write):
    category = write(14, 4, 2, broken={("train", 3)})
    found = load(category)
    assert found.trains == (*category.train[:3], *category.train[4:])
    assert len(found.train) == 13


def test_a_twentieth_of_unreadable_pictures_is_left_out_and_told(write):
    category = write(14, 4, 2, broken={("test", 0)})
    found = load(category)
    assert found.tests == category.test[1:]
    assert found.trains == category.train
    assert colours(found.test) == [("test", 1)]
    assert (len(found.train), len(found.validation)) == (14, 4)
    (skipped,) = found.skipped
    assert isinstance(skipped, Skipped)
    assert skipped.path == category.test[0].depth
    assert "cannot be read as a TIFF" in skipped.reason


@pytest.mark.parametrize(
    ("counts", "broken"),
    [
        ((14, 4, 2), [("validation", 1), ("test", 0)]),
        ((13, 4, 2), [("train", 12)]),
        ((20, 15, 3), [("train", 3), ("train", 9)]),
    ],
)
def test_more_than_a_twentieth_is_refused_by_the_name_of_the_first(write, counts, broken):
    category = write(*counts, broken=set(broken))
    part, number = broken[0]
    with pytest.raises(DataError) as error:
        load(category)
    text = str(error.value)
    assert text.startswith(f"{getattr(category, part)[number].depth}: cannot be read as a TIFF")
    assert text.endswith(f"({len(broken)} of {sum(counts)} pictures of 'bagel' are unreadable)")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("counts", "part"), [((1, 4, 2), "train"), ((4, 1, 2), "validation"), ((4, 0, 2), "validation")]
)
def test_two_pictures_are_needed_to_learn_from_and_to_validate_with(write, counts, part):
    with pytest.raises(TooFewImages, match=f"class 'bagel': [01] good images under its {part} folder, at least 2"):
        load(write(*counts))


def test_unreadable_pictures_do_not_count_among_the_fewest(write):
    with pytest.raises(TooFewImages, match="class 'bagel': 1 good images under its validation folder"):
        load(write(25, 2, 2, broken={("validation", 0)}))


def test_a_category_without_test_pictures_has_none_of_the_right_size(write):
    found = load(write(test=0))
    assert found.tests == ()
    assert len(found.test) == 0
    joined = RgbdImages.joined([found.test, found.train])
    assert joined.color_NYX3.shape == (3, 16, 16, 3)
    assert [array.dtype for array in (joined.color_NYX3, joined.height_NYX, joined.valid_NYX, joined.product_NYX)] == [
        np.uint8,
        np.float32,
        np.bool_,
        np.bool_,
    ]


def test_the_common_scale_counts_each_category_once_whatever_its_number_of_pictures(write):
    few, many = load(write(2, 2, 0)), load(write(9, 2, 0))
    deviations = height_scale(few.train), height_scale(many.train)
    expected = np.sqrt((deviations[0] ** 2 + deviations[1] ** 2) / 2)
    assert common_scale([few, many]) == pytest.approx(expected)
    assert common_scale([few]) == pytest.approx(deviations[0])
    assert deviations[0] != pytest.approx(deviations[1], rel=1e-4)
