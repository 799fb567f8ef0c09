import numpy as np
import pytest
import tifffile
from PIL import Image

from eagleray.data import RgbdSample, Sample, remove_plane, resize_depth
from eagleray.data.depth import load_depth
from eagleray.errors import BadImage
from eagleray.features.images import load_image, resize
from eagleray.fusion.pictures import load_rgbd


@pytest.fixture
def write(tmp_path):
    """Write points and a random colour picture of their size."""

    def sample(points_YX3):
        color_YX3 = np.random.default_rng(0).integers(0, 256, points_YX3.shape, np.uint8)
        Image.fromarray(color_YX3).save(tmp_path / "rgb.png")
        tifffile.imwrite(tmp_path / "xyz.tiff", points_YX3.astype(np.float32), photometric="rgb")
        return RgbdSample(
            Sample(str(tmp_path / "rgb.png"), "bagel", "train", 0, "good", None), str(tmp_path / "xyz.tiff")
        )

    return sample


@pytest.fixture
def lying(write):
    """A block on a plane, with missing points."""
    points_YX3 = np.full((60, 90, 3), 0.7)
    points_YX3[20:40, 30:60, 2] = 0.6
    points_YX3[22:26, 30:40] = 0
    return write(points_YX3)


def test_colour_and_depth_come_at_one_size(lying):
    color_YX3, depth_YX, valid_YX, product_YX = load_rgbd(lying, 32)
    depth = resize_depth(load_depth(lying), 32)
    np.testing.assert_array_equal(color_YX3, resize(load_image(lying.sample.path), 32))
    np.testing.assert_array_equal(depth_YX, depth.depth_YX)
    np.testing.assert_array_equal(valid_YX, depth.valid_YX)
    assert (color_YX3.dtype, depth_YX.dtype, valid_YX.dtype) == (np.uint8, np.float32, np.bool_)
    assert color_YX3.shape == (32, 32, 3)
    np.testing.assert_array_equal(product_YX, resize_depth(remove_plane(load_depth(lying)), 32).valid_YX)


def test_the_plane_is_removed_before_resizing_and_no_file_changes(lying, tmp_path):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _, depth_YX, valid_YX, product_YX = load_rgbd(lying, 32, plane_removal=True)
    expected = resize_depth(remove_plane(load_depth(lying)), 32)
    np.testing.assert_array_equal(valid_YX, expected.valid_YX)
    np.testing.assert_array_equal(depth_YX, expected.depth_YX)
    assert valid_YX.any()
    assert np.abs(depth_YX[valid_YX] - 0.6).max() < 1e-6
    np.testing.assert_array_equal(product_YX, expected.valid_YX)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_picture_of_nothing_but_the_plane_is_named(write):
    sample = write(np.full((60, 90, 3), 0.7))
    with pytest.raises(BadImage, match="all its points lie on one plane; read it without plane removal") as error:
        load_rgbd(sample, 32, plane_removal=True)
    assert str(error.value).startswith(f"{sample.depth}: ")


def test_a_picture_of_too_few_points_for_the_size_is_named(write):
    points_YX3 = np.zeros((60, 90, 3))
    points_YX3[::10, ::10] = 0.7
    sample = write(points_YX3)
    with pytest.raises(BadImage, match="too few valid points for 16x16 pixels") as error:
        load_rgbd(sample, 16)
    assert str(error.value).startswith(f"{sample.depth}: ")
