import numpy as np
import pytest
from PIL import Image, ImageOps

from eagleray.data.sizes import check_mask_size, shown_size
from eagleray.errors import DataError
from tests.unit.odd_pictures import SIDEWAYS_CHUNK, SIDEWAYS_XMP, add_chunk


@pytest.fixture
def picture(tmp_path):
    """Stored 8 pixels wide and 6 high."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 6)).save(path)
    return path


def mask(folder, size):
    path = folder / "mask.png"
    Image.new("L", size).save(path)
    return path


def test_a_png_that_xmp_turns_is_shown_turned(picture):
    add_chunk(picture, *SIDEWAYS_CHUNK, behind_pixels=False)
    assert shown_size(picture) == (6, 8)


@pytest.mark.parametrize(
    ("ending", "options"), [("tif", {"tiffinfo": {700: SIDEWAYS_XMP}}), ("webp", {"xmp": SIDEWAYS_XMP})]
)
def test_another_picture_that_xmp_turns_is_shown_as_pillow_turns_it(ending, options, tmp_path):
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (8, 6)).save(path, **options)
    assert shown_size(path) == ImageOps.exif_transpose(Image.open(path)).size


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_a_picture_whose_exif_is_cut_short_is_shown_as_it_is_stored(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (8, 6)).save(path, exif=b"II*\0")
    assert shown_size(path) == (8, 6)


@pytest.mark.parametrize("behind_pixels", [False, True])
def test_the_mask_of_a_picture_that_xmp_turns_has_the_size_that_is_shown(behind_pixels, picture, tmp_path):
    add_chunk(picture, *SIDEWAYS_CHUNK, behind_pixels=behind_pixels)
    check_mask_size(picture, mask(tmp_path, (6, 8)))


def test_a_mask_that_lies_on_its_side_is_refused(picture, tmp_path):
    with pytest.raises(DataError, match=r"the mask is 6x8 pixels but its image .* is 8x6; resize or replace the mask"):
        check_mask_size(picture, mask(tmp_path, (6, 8)))


def test_a_mask_of_the_right_size_is_taken_with_no_pixel_decoded(picture, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).save(picture)
    picture.write_bytes(picture.read_bytes()[:80])
    check_mask_size(picture, mask(tmp_path, (8, 6)))
