import re
from pathlib import Path

import pytest

from eagleray.data.depth_pairs import is_color, is_depth, pair_depth
from eagleray.errors import DataError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Make empty files; pairs go by names alone."""
    monkeypatch.chdir(tmp_path)

    def files(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()
        return [Path(name) for name in names]

    return files


def pairs(images, depths):
    return [(one.sample.path, one.depth, one.depth_range) for one in pair_depth(images, depths)]


def test_pictures_go_with_the_points_of_their_name_in_the_order_of_pictures(files):
    images = files("rgb/001.png", "rgb/000.jpg")
    points = files("xyz/000.tiff", "xyz/001.TIF", "xyz/002.tiff")
    assert pairs(images, points) == [("rgb/001.png", "xyz/001.TIF", None), ("rgb/000.jpg", "xyz/000.tiff", None)]


def test_lights_go_with_the_depth_of_their_scene(files):
    images = files("00_image_5.png", "01_image_5.png", "01_image_0.png")
    depths = files("01_depth.png", "00_depth.png")
    files("00_info_depth.yaml", "01_info_depth.yaml")
    assert pairs(images, depths) == [
        ("00_image_5.png", "00_depth.png", "00_info_depth.yaml"),
        ("01_image_5.png", "01_depth.png", "01_info_depth.yaml"),
        ("01_image_0.png", "01_depth.png", "01_info_depth.yaml"),
    ]


def test_one_picture_and_one_depth_belong_together_whatever_they_are_called(files):
    (image,), (depth,) = files("shot.png"), files("points.tiff")
    assert pairs([image], [depth]) == [("shot.png", "points.tiff", None)]
    assert pairs([image], [depth, depth.absolute()]) == [("shot.png", "points.tiff", None)]


def test_of_several_of_a_name_the_one_in_a_folder_beside_counts(files):
    images = files("hole/rgb/000.png", "crack/rgb/000.png", "crack/rgb/001.png")
    points = files("crack/xyz/000.tiff", "hole/xyz/000.tiff", "crack/xyz/001.tiff")
    assert [one[1] for one in pairs(images, points)] == [
        "hole/xyz/000.tiff", "crack/xyz/000.tiff", "crack/xyz/001.tiff"
    ]  # fmt: skip


@pytest.mark.parametrize("others", [("a/xyz/000.tiff", "a/more/000.tiff"), ("b/xyz/000.tiff", "c/xyz/000.tiff")])
def test_a_picture_that_goes_with_several_is_named(files, others):
    images, points = files("a/rgb/000.png"), files(*others)
    with pytest.raises(DataError) as caught:
        pair_depth(images, points)
    assert str(caught.value) == (
        f"a/rgb/000.png: goes with both {others[0]} and {others[1]}; give --depth one of them alone"
    )


@pytest.mark.parametrize(("image", "wanted"), [("rgb/001.png", "001.tiff"), ("01_image_5.png", "01_depth.png")])
def test_a_picture_without_depth_is_named(files, image, wanted):
    images, points = files("rgb/000.png", image), files("xyz/000.tiff")
    with pytest.raises(DataError, match=f"^{re.escape(image)}: has no depth; give its file {wanted} with a --depth"):
        pair_depth(images, points)


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        ("00_depth.png", "has no 00_info_depth.yaml beside it"),
        ("grey.png", "has no grey_info_depth.yaml beside it"),
        ("00_depth.npy", "is no depth; give --depth TIFFs of points"),
    ],
)
def test_depth_of_another_kind_is_named(files, depth, told):
    with pytest.raises(DataError, match=f"^{re.escape(depth)}: {told}"):
        pair_depth(files("00_image_5.png"), files(depth))


def test_of_a_scenes_files_one_is_depth_and_one_the_picture(files):
    names = [f"00_{end}.png" for end in ("depth", "image_0", "image_4", "image_5", "mask", "normals")]
    scene = files(*names)
    assert [path.name for path in scene if is_color(path)] == ["00_image_5.png"]
    assert [path.name for path in scene if is_depth(path)] == ["00_depth.png"]


def test_other_pictures_are_pictures_whatever_they_are_called(files):
    assert all(map(is_color, files("000.png", "cut_mask.png", "of_depth.png.jpg", "lamp_image_0.png")))
    assert [is_depth(path) for path in files("000.tiff", "000.TIF", "000.png", "depth.png")] == [
        True, True, False, False
    ]  # fmt: skip
