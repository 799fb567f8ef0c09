import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from eagleray.data import DepthMap, RgbdSample, Sample, load_depth, remove_plane, resize_depth
from eagleray.data.depth import read_depth
from eagleray.data.source import NamedBytes
from eagleray.errors import BadImage, DataError
from tests.unit.odd_pictures import SHORT_PROFILE, add_chunk


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def color_picture(folder, size=(5, 4)):
    path = folder / "rgb.png"
    Image.new("RGB", size).save(path)
    return Sample(str(path), "bagel", "train", 0, "good", None)


def points_sample(folder, points_YX3, photometric="rgb", **save):
    """A sample whose TIFF holds these values; its colour picture has 4 rows and 5 columns."""
    path = folder / "xyz.tiff"
    tifffile.imwrite(path, points_YX3, photometric=photometric, **save)
    return RgbdSample(color_picture(folder), str(path))


def png_sample(folder, values, limits="normalization: {min: 0.5, max: 2.5}\n"):
    path, limits_path = folder / "000_depth.png", folder / "000_info_depth.yaml"
    Image.fromarray(values).save(path)
    limits_path.write_text(limits)
    return RgbdSample(color_picture(folder), str(path), str(limits_path))


@pytest.fixture
def points_YX3():
    return np.random.default_rng(0).uniform(0.2, 1, (4, 5, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])  # how older and newer tifffiles store three channels
def test_depth_is_the_z_of_each_point(tmp_path, points_YX3, dtype, compression, photometric):
    depth = load_depth(points_sample(tmp_path, points_YX3.astype(dtype), photometric, compression=compression))
    np.testing.assert_array_equal(depth.depth_YX, points_YX3[..., 2])
    assert (depth.depth_YX.dtype, depth.valid_YX.dtype) == (np.float32, np.bool_)
    assert depth.valid_YX.all()


def test_a_point_is_missing_where_all_are_zero_or_any_is_not_finite(tmp_path, points_YX3):
    points_YX3[0, 0] = 0
    points_YX3[0, 1, 0] = np.nan
    points_YX3[0, 2, 2] = np.inf
    points_YX3[0, 3] = [0, 0, 0.7]  # straight below the camera
    points_YX3[0, 4] = [0.1, 0.1, 0]
    depth = load_depth(points_sample(tmp_path, points_YX3))
    assert depth.valid_YX[0].tolist() == [False, False, False, True, True]
    assert depth.valid_YX[1:].all()
    np.testing.assert_array_equal(depth.depth_YX[0], np.float32([0, 0, 0, 0.7, 0]))


def test_a_value_too_large_for_single_precision_is_no_point(tmp_path, points_YX3):
    points = points_YX3.astype(np.float64)
    points[1, 1, 2] = 1e300
    assert np.argwhere(~load_depth(points_sample(tmp_path, points)).valid_YX).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("shape", "dtype", "problem"),
    [
        ((4, 5), np.float32, "must have rows x columns x 3 values .* got 4 x 5"),
        ((4, 5, 4), np.float32, "got 4 x 5 x 4"),
        ((4, 5, 3), np.uint16, "must have floating-point values, got uint16"),
        ((5, 4, 3), np.float32, r"the depth is 4x5 pixels but its colour picture .*rgb\.png is 5x4"),
    ],
)
def test_points_of_a_wrong_shape_size_or_type_are_named(tmp_path, shape, dtype, problem):
    sample = points_sample(tmp_path, np.ones(shape, dtype), "minisblack")
    with pytest.raises(BadImage, match=problem) as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth}: ")
    assert "replace or delete" in one_line(error)


def test_a_picture_without_any_point_is_named(tmp_path, points_YX3):
    sample = points_sample(tmp_path, points_YX3 * np.float32(np.nan))
    with pytest.raises(BadImage, match="has no valid point") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth}: ")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_that_is_cut_short_anywhere_is_named(tmp_path, points_YX3, compression):
    sample = points_sample(tmp_path, points_YX3, compression=compression)
    whole = (tmp_path / "xyz.tiff").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "xyz.tiff").write_bytes(whole[:length])
        with pytest.raises(BadImage, match=r"cannot be read as a TIFF|must have floating-point values") as error:
            load_depth(sample)
        assert one_line(error).startswith(f"{sample.depth}: ")


@pytest.mark.parametrize("content", [b"no TIFF at all", None])
def test_a_file_that_is_no_tiff_or_not_there_is_named(tmp_path, points_YX3, content):
    sample = points_sample(tmp_path, points_YX3)
    (tmp_path / "xyz.tiff").unlink()
    if content:
        (tmp_path / "xyz.tiff").write_bytes(content)
    with pytest.raises(BadImage, match="cannot be read as a TIFF") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth}: ")


def test_a_broken_colour_picture_is_named(tmp_path, points_YX3):
    sample = points_sample(tmp_path, points_YX3)
    (tmp_path / "rgb.png").write_bytes(b"no picture")
    with pytest.raises(BadImage, match="cannot be read as an image") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.sample.path}: ")


def test_a_png_is_scaled_to_the_distances_of_its_yaml_file(tmp_path):
    values = np.zeros((4, 5), np.uint16)
    values[0] = [0, 13107, 32768, 52428, 65535]
    depth = load_depth(png_sample(tmp_path, values))
    np.testing.assert_allclose(depth.depth_YX[0], [0.5, 0.9, 0.5 + 2 * 32768 / 65535, 2.1, 2.5], rtol=1e-6)
    assert depth.depth_YX.dtype == np.float32
    assert depth.valid_YX.all()


def test_a_distance_of_zero_or_below_is_no_point(tmp_path):
    values = np.full((4, 5), 65535, np.uint16)
    values[0, :2] = [0, 20000]
    depth = load_depth(png_sample(tmp_path, values, "normalization: {min: -1.0, max: 1.0}\n"))
    assert np.argwhere(~depth.valid_YX).tolist() == [[0, 0], [0, 1]]
    assert depth.depth_YX[0].tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("values", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8)])
def test_a_depth_picture_of_eight_bits_or_with_colours_is_named(tmp_path, values):
    sample = png_sample(tmp_path, values)
    with pytest.raises(BadImage, match=r"must be a 16-bit grey PNG, got (L|RGB)") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth}: ")


def test_a_depth_picture_that_is_cut_short_or_of_another_size_is_named(tmp_path):
    sample = png_sample(tmp_path, np.arange(30, dtype=np.uint16).reshape(6, 5) * 2000)
    with pytest.raises(BadImage, match="the depth is 5x6 pixels"):
        load_depth(sample)
    sample = png_sample(tmp_path, np.arange(20, dtype=np.uint16).reshape(4, 5) * 2000)
    path = tmp_path / "000_depth.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BadImage, match="cannot be read as a PNG") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth}: ")


def test_a_depth_picture_with_damage_behind_its_pixels_is_named(tmp_path):
    sample = png_sample(tmp_path, np.ones((4, 5), np.uint16))
    add_chunk(tmp_path / "000_depth.png", *SHORT_PROFILE, behind_pixels=True)
    with pytest.raises(BadImage, match="cannot be read as a PNG") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth}: ")


def test_a_wrong_depth_range_is_named_when_the_depth_is_loaded(tmp_path):
    sample = png_sample(tmp_path, np.ones((4, 5), np.uint16), "normalization: {min: 3, max: 2}\n")
    with pytest.raises(DataError, match="must be above") as error:
        load_depth(sample)
    assert one_line(error).startswith(f"{sample.depth_range}: ")


def from_bytes(sample, limits=None):
    """As `load_depth`, of a depth that came over a network."""
    names = ("xyz.tiff", None) if sample.depth_range is None else ("000_depth.png", "000_info_depth.yaml")
    depth, depth_range = (
        name and NamedBytes(Path(path).read_bytes(), name)
        for name, path in zip(names, (sample.depth, sample.depth_range), strict=True)
    )
    depth_range = depth_range if limits is None else NamedBytes(limits, "000_info_depth.yaml")
    return read_depth(depth, depth_range, size=(4, 5), picture="rgb.png")


def test_depth_from_bytes_is_that_from_files(tmp_path, points_YX3):
    points_YX3[0, 0] = 0
    values_YX = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    for sample in (points_sample(tmp_path, points_YX3), png_sample(tmp_path, values_YX)):
        found, expected = from_bytes(sample), load_depth(sample)
        np.testing.assert_array_equal(found.depth_YX, expected.depth_YX)
        np.testing.assert_array_equal(found.valid_YX, expected.valid_YX)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.ones((4, 5, 3), np.uint16), "must have floating-point values, got uint16; send another"),
        (np.ones((5, 4, 3), np.float32), "the depth is 4x5 pixels but its colour picture rgb.png is 5x4; send the"),
        (np.zeros((4, 5, 3), np.float32), "has no valid point; send another"),
    ],
)
def test_wrong_points_from_bytes_are_named_as_their_sender_calls_them(tmp_path, values, problem):
    with pytest.raises(BadImage) as error:
        from_bytes(points_sample(tmp_path, values))
    assert one_line(error).startswith(f"xyz.tiff: {problem}")


def test_more_pages_than_the_picture_has_rows_are_not_read(tmp_path):
    sample = points_sample(tmp_path, np.ones((5, 4, 3), np.float32), "minisblack")  # a page for each row
    with pytest.raises(BadImage, match="it has more than 4 pages, and its picture has no more rows"):
        from_bytes(sample)


def test_a_large_depth_picture_is_refused_by_its_header(tmp_path):
    stream = io.BytesIO()
    Image.new("I;16", (9000, 9000)).save(stream, "PNG")
    tracemalloc.start()
    try:
        with pytest.raises(BadImage, match=r"000_depth\.png: the depth is 9000x9000 pixels"):
            read_depth(
                NamedBytes(stream.getvalue(), "000_depth.png"),
                NamedBytes(b"normalization: {min: 0, max: 1}", "000_info_depth.yaml"),
                size=(4, 5),
                picture="rgb.png",
            )
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


MANY = "[" * 2000
RANGES = {
    "binary": (b"\xff\xfe\x00", "is not valid YAML"),
    "open brackets": (MANY.encode(), "is not valid YAML"),
    "a list": (b"- 1", "must map normalization to values, got list"),
    "another key": (b"normalisation: {min: 0, max: 1}", "has no key 'normalization'"),
    "no max": (b"normalization: {min: 0}", "has no key 'max'"),
    "a key of a thousand letters": (b"normalization: {min: 0, max: 1, " + 1000 * b"a" + b": 1}", "unknown key 'aaaa"),
    "NaN": (b"normalization: {min: .nan, max: 1}", "min and max must be finite numbers, got nan"),
    "infinity": (b"normalization: {min: 0, max: .inf}", "min and max must be finite numbers, got inf"),
    "a number of hundreds of digits": (
        b"normalization: {min: 0, max: 1" + 400 * b"0" + b"}",
        "min and max must be finite numbers",
    ),
    "a number of thousands of digits": (
        b"normalization: {min: 0, max: 0x" + 3900 * b"f" + b"}",
        "min and max must be finite numbers, got one of thousands of digits",
    ),
    "an empty number": (b'normalization: {min: !!int "", max: 1}', "is not valid YAML"),
    "text": (b"normalization: {min: near, max: far}", "min and max must be finite numbers, got 'near'"),
    "max below min": (b"normalization: {min: 2, max: 1}", "max (1) must be above min (2)"),
    "aliases": (b"normalization: {min: &a 0, max: *a}", "is not valid YAML"),
    "aliases that stand for gigabytes": (
        "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)).encode(),
        "is not valid YAML",
    ),
    "too many lines": (b"# \n" * 2000, "has 6,000 bytes, and a few lines are expected"),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_wrong_depth_range_from_bytes_is_refused_in_one_line(tmp_path, name):
    limits, problem = RANGES[name]
    with pytest.raises(DataError) as error:
        from_bytes(png_sample(tmp_path, np.ones((4, 5), np.uint16)), limits)
    assert one_line(error).startswith(f"000_info_depth.yaml: {problem}")
    assert len(one_line(error)) < 250


def test_distances_beyond_single_precision_are_no_points(tmp_path):
    sample = png_sample(tmp_path, np.arange(20, dtype=np.uint16).reshape(4, 5))
    with pytest.raises(BadImage, match="has no valid point"):
        from_bytes(sample, b"normalization: {min: -1.0e+308, max: 1.0e+308}")


def slow_resize(depth_YX, valid_YX, size):
    """Each new pixel by itself: how much of it each valid point covers, and the mean by that."""
    height, width = depth_YX.shape
    mean, valid = np.zeros((size, size)), np.zeros((size, size), bool)
    for i in range(size):
        for j in range(size):
            top, bottom = i * height / size, (i + 1) * height / size
            left, right = j * width / size, (j + 1) * width / size
            area = total = 0.0
            for y in range(height):
                for x in range(width):
                    rows = max(0.0, min(bottom, y + 1) - max(top, y))
                    columns = max(0.0, min(right, x + 1) - max(left, x))
                    if valid_YX[y, x]:
                        area += rows * columns
                        total += rows * columns * float(depth_YX[y, x])
            valid[i, j] = area >= 0.5 * (bottom - top) * (right - left) - 1e-9
            mean[i, j] = total / area if valid[i, j] else 0
    return mean, valid


@pytest.mark.parametrize("shape", [(16, 16), (23, 17), (8, 30), (3, 5), (7, 7)])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_a_resized_depth_map_is_as_the_slow_reference(shape, share):
    random = np.random.default_rng([*shape, int(10 * share)])
    valid_YX = random.random(shape) < share
    depth_YX = np.where(valid_YX, random.uniform(0.4, 0.9, shape), np.nan).astype(np.float32)
    resized = resize_depth(DepthMap(depth_YX, valid_YX), 7)
    mean_YX, expected_YX = slow_resize(depth_YX, valid_YX, 7)
    np.testing.assert_array_equal(resized.valid_YX, expected_YX)
    np.testing.assert_allclose(resized.depth_YX, mean_YX, rtol=1e-6)
    assert resized.depth_YX.dtype == np.float32


def test_missing_points_do_not_pull_the_depth_down():
    depth_YX = np.full((8, 8), 0.6, np.float32)
    valid_YX = np.random.default_rng(0).random((8, 8)) < 0.7
    resized = resize_depth(DepthMap(np.where(valid_YX, depth_YX, 0), valid_YX), 4)
    assert 0 < resized.valid_YX.sum() <= 16
    np.testing.assert_allclose(resized.depth_YX[resized.valid_YX], 0.6, rtol=1e-6)


def test_a_pixel_is_valid_with_exactly_half_of_its_area_and_not_with_less():
    valid_YX = np.array([[True, False, True, False], [False, True, False, False]])
    resized = resize_depth(DepthMap(np.ones((2, 4), np.float32), valid_YX), 2)
    assert resized.valid_YX.tolist() == [[True, True], [True, False]]
    thirds = np.zeros((3, 3), bool)
    thirds[:, 0] = True  # of a left half of one and a half columns: two thirds
    assert resize_depth(DepthMap(np.ones((3, 3), np.float32), thirds), 2).valid_YX.tolist() == [[True, False]] * 2


def test_resizing_does_not_shift():
    rows, columns = np.mgrid[:80, :60].astype(np.float32)
    resized = resize_depth(DepthMap(2 + rows + 3 * columns, np.ones((80, 60), bool)), 20)
    across, down = np.meshgrid((np.arange(20) + 0.5) * 3 - 0.5, (np.arange(20) + 0.5) * 4 - 0.5)
    np.testing.assert_allclose(resized.depth_YX, 2 + down + 3 * across, rtol=1e-5)


def test_a_depth_map_of_the_wanted_size_stays_as_it_is():
    random = np.random.default_rng(0)
    valid_YX = random.random((9, 9)) < 0.5
    depth_YX = np.where(valid_YX, random.random((9, 9)), 0).astype(np.float32)
    resized = resize_depth(DepthMap(depth_YX, valid_YX), 9)
    np.testing.assert_array_equal(resized.depth_YX, depth_YX)
    np.testing.assert_array_equal(resized.valid_YX, valid_YX)


@pytest.fixture
def lying():
    """A disc 2 cm high on a tilted plane 40 to 70 cm from a pinhole camera, with noise; and where the disc is."""
    rows, columns = np.mgrid[:120, :160]
    plane_YX = 1 / (1.45 + 0.005 * columns + 0.001 * rows)
    disc_YX = np.hypot(rows - 60, columns - 80) < 30
    noise_YX = np.random.default_rng(0).normal(0, 0.0005, plane_YX.shape)
    depth_YX = (plane_YX - 0.02 * disc_YX + noise_YX).astype(np.float32)
    valid_YX = np.random.default_rng(1).random(plane_YX.shape) < 0.95
    return DepthMap(np.where(valid_YX, depth_YX, 0), valid_YX), disc_YX


def test_a_tilted_plane_goes_and_what_lies_on_it_stays(lying):
    depth, disc_YX = lying
    removed = remove_plane(depth)
    np.testing.assert_array_equal(removed.valid_YX, depth.valid_YX & disc_YX)
    np.testing.assert_array_equal(removed.depth_YX, np.where(removed.valid_YX, depth.depth_YX, 0))


def test_a_plane_goes_though_the_product_reaches_over_the_border(lying):
    depth, disc_YX = lying
    shifted = DepthMap(*(np.roll(values_YX, 60, axis=0) for values_YX in (depth.depth_YX, depth.valid_YX)))
    flat = DepthMap(np.where(shifted.valid_YX, 0.7, 0).astype(np.float32), shifted.valid_YX)
    disc_YX = np.roll(disc_YX, 60, axis=0)
    flat.depth_YX[disc_YX & flat.valid_YX] -= np.float32(0.02)
    np.testing.assert_array_equal(remove_plane(flat).valid_YX, flat.valid_YX & disc_YX)


def test_the_distance_says_how_much_goes(lying):
    depth, _ = lying
    assert not remove_plane(depth, distance=0.03).valid_YX.any()


def test_a_plane_is_removed_the_same_way_twice_and_without_touching_what_it_was_given(lying):
    depth, _ = lying
    before = depth.depth_YX.copy(), depth.valid_YX.copy()
    first, second = (remove_plane(depth, distance=0.0007, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.valid_YX, second.valid_YX)
    np.testing.assert_array_equal(depth.depth_YX, before[0])
    np.testing.assert_array_equal(depth.valid_YX, before[1])


def test_nothing_goes_where_the_border_is_no_plane_or_has_no_points():
    random = np.random.default_rng(0)
    rough = DepthMap(random.uniform(0.4, 0.8, (60, 60)).astype(np.float32), np.ones((60, 60), bool))
    assert remove_plane(rough) is rough
    inner_YX = np.zeros((60, 60), bool)
    inner_YX[20:40, 20:40] = True
    cut_out = DepthMap(np.where(inner_YX, 0.5, 0).astype(np.float32), inner_YX)
    assert remove_plane(cut_out) is cut_out


def test_points_of_the_border_on_one_line_make_no_plane():
    valid_YX = np.zeros((60, 60), bool)
    valid_YX[0] = True
    line = DepthMap(np.where(valid_YX, 0.5, 0).astype(np.float32), valid_YX)
    assert remove_plane(line) is line
