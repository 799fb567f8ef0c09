import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from eagleray.errors import BadImage
from eagleray.features import decode_image, image_size, load_image, load_mask, resize
from tests.unit.odd_pictures import (
    SHORT_PROFILE,
    SIDEWAYS_CHUNK,
    add_chunk,
    chunk,
    sideways_exif,
)

LEFT, RIGHT = 40, 200  # grey values of the two halves of most pictures here
ORIENTATION = 0x0112


def halves(kind=np.uint8, scale=1):
    """A 6 x 8 picture, dark on the left, light on the right."""
    return np.repeat(np.repeat([[LEFT, RIGHT]], 6, 0), 4, 1).astype(kind) * kind(scale)


def rgb_of(grey_YX):
    return np.repeat(grey_YX[..., None], 3, 2).astype(np.uint8)


def colours():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def with_alpha(picture):
    """The right half is transparent, which lies on black."""
    alpha = Image.fromarray(np.repeat(np.repeat(np.array([[255, 0]], np.uint8), 6, 0), 4, 1))
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture


def palette_with_transparency():
    picture = Image.fromarray((halves() == RIGHT).astype(np.uint8), "P")
    picture.putpalette([LEFT] * 3 + [RIGHT] * 3)
    return picture


LEFT_ONLY = rgb_of(np.where(halves() == LEFT, LEFT, 0))
COLOUR_LEFT_ONLY = np.where((halves() == LEFT)[..., None], colours(), 0).astype(np.uint8)

# what is saved, with which options, under which ending -> the pixels that come back
EXACT = {
    "grey": (lambda: Image.fromarray(halves()), {}, "png", rgb_of(halves())),
    "grey and alpha": (lambda: with_alpha(Image.fromarray(halves())), {}, "png", LEFT_ONLY),
    "RGB": (lambda: Image.fromarray(colours()), {}, "png", colours()),
    "RGBA": (lambda: with_alpha(Image.fromarray(colours())), {}, "png", COLOUR_LEFT_ONLY),
    "RGBA in TIFF": (lambda: with_alpha(Image.fromarray(colours())), {}, "tif", COLOUR_LEFT_ONLY),
    "RGBA in WebP": (lambda: with_alpha(Image.fromarray(colours())), {"lossless": True}, "webp", COLOUR_LEFT_ONLY),
    "palette": (palette_with_transparency, {}, "png", rgb_of(halves())),
    "palette with transparency": (palette_with_transparency, {"transparency": 1}, "png", LEFT_ONLY),
    "palette in BMP": (palette_with_transparency, {}, "bmp", rgb_of(halves())),
    "RGB with a transparent colour": (
        lambda: Image.fromarray(rgb_of(halves())),
        {"transparency": (RIGHT, RIGHT, RIGHT)},
        "png",
        LEFT_ONLY,
    ),
    "two colours": (lambda: Image.fromarray(halves() == RIGHT), {}, "png", rgb_of(255 * (halves() == RIGHT))),
    "16 bits in PNG": (lambda: Image.fromarray(halves(np.uint16, 257)), {}, "png", rgb_of(halves())),
    "16 bits in TIFF": (lambda: Image.fromarray(halves(np.uint16, 257)), {}, "tif", rgb_of(halves())),
    "32 bits, whole numbers": (lambda: Image.fromarray(halves(np.int32, 257)), {}, "tif", rgb_of(halves())),
    "32 bits, floating point": (lambda: Image.fromarray(halves(np.float32)), {}, "tif", rgb_of(halves())),
    "CMYK in TIFF": (lambda: Image.fromarray(colours()).convert("CMYK"), {}, "tif", colours()),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_kind_of_picture_becomes_the_same_rgb(name, tmp_path):
    make, options, ending, expected = EXACT[name]
    path = tmp_path / f"a.{ending}"
    make().save(path, **options)
    loaded = load_image(path)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, expected)
    assert image_size(path) == expected.shape[:2]


def test_big_endian_16_bits_are_read_as_they_are_meant(tmp_path):
    path = tmp_path / "a.tif"
    values_YX = halves(np.uint16, 257)
    Image.frombytes("I;16B", (8, 6), values_YX.astype(">u2").tobytes()).save(path)
    np.testing.assert_array_equal(load_image(path), rgb_of(halves()))


def test_sixteen_bits_are_never_stretched_so_a_dark_picture_stays_dark(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.linspace(0, 2570, 48).astype(np.uint16).reshape(6, 8)).save(path)
    assert load_image(path).max() == 10


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
def test_a_jpeg_comes_back_in_its_colours_up_to_compression(mode, tmp_path):
    path = tmp_path / "a.jpg"
    wide = Image.fromarray(np.kron(rgb_of(halves()), np.ones((8, 8, 1), np.uint8)))
    wide.convert(mode).save(path, quality=95)
    np.testing.assert_allclose(load_image(path).astype(float), np.asarray(wide), atol=12)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_and_the_header_alone_gives_the_same_size(orientation, ending, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.kron(colours(), np.ones((16, 16, 1), np.uint8)))
    path = tmp_path / f"a.{ending}"
    stored.save(path, exif=exif, **({"quality": 95} if ending in ("jpg", "webp") else {}))
    shown = stored.copy()
    shown.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(shown))
    loaded = load_image(path)
    assert image_size(path) == loaded.shape[:2] == expected.shape[:2]
    assert (loaded.shape[0] > loaded.shape[1]) == (orientation > 4)
    middles = (slice(8, None, 16), slice(8, None, 16))
    tolerance = 0 if ending in ("png", "tif") else 60  # lossy codecs blur colour at the edges of the squares
    np.testing.assert_allclose(loaded[middles].astype(float), expected[middles], atol=tolerance)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_has_the_very_pixels_that_pillow_turns(orientation, ending, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    np.testing.assert_array_equal(load_image(path), expected)
    np.testing.assert_array_equal(decode_image(path.read_bytes(), name="a", max_pixels=48), expected)


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(0x0213, 7, b"\x01"), (0x0128, 2, b"2"), (0x0100, 2, b"8")],
    ids=["YCbCrPositioning as bytes", "ResolutionUnit as text", "ImageWidth as text"],
)
def test_a_picture_is_turned_although_another_tag_beside_its_orientation_is_of_a_wrong_kind(tag, kind, value, tmp_path):
    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    Image.fromarray(colours()).save(plain)
    Image.fromarray(colours()).save(turned, exif=sideways_exif(tag, kind, value))
    expected = np.rot90(load_image(plain), -1)
    np.testing.assert_array_equal(load_image(turned), expected)
    np.testing.assert_array_equal(decode_image(turned.read_bytes(), name="turned", max_pixels=48), expected)
    assert load_mask(turned).shape == image_size(turned) == (8, 6)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_a_picture_whose_exif_is_cut_short_is_upright(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(path, exif=b"II*\0", lossless=True)
    np.testing.assert_array_equal(load_image(path), colours())
    np.testing.assert_array_equal(decode_image(path.read_bytes(), name="a", max_pixels=48), colours())
    assert load_mask(path).shape == image_size(path) == (6, 8)


@pytest.mark.parametrize("behind_pixels", [False, True])
def test_rotation_that_the_xmp_of_a_png_alone_names_is_applied(behind_pixels, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(colours()).save(path)
    add_chunk(path, *SIDEWAYS_CHUNK, behind_pixels=behind_pixels)
    np.testing.assert_array_equal(load_image(path), np.rot90(colours(), -1))
    assert image_size(path) == (8, 6)


def test_exif_rotation_of_a_16_bit_picture_is_applied(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "a.png"
    Image.fromarray(halves(np.uint16, 257)).save(path, exif=exif)
    np.testing.assert_array_equal(load_image(path), np.rot90(rgb_of(halves()), -1))


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_of_an_animation_the_first_frame_counts(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    first, second = (Image.new("RGB", (8, 6), (value,) * 3) for value in (LEFT, RIGHT))
    first.save(path, save_all=True, append_images=[second], **({"lossless": True} if ending == "webp" else {}))
    assert Image.open(path).n_frames == 2
    np.testing.assert_array_equal(load_image(path), np.full((6, 8, 3), LEFT, np.uint8))


def png_header(width, height):
    """A PNG that promises these many pixels and holds next to none."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(kind):
    buffer = io.BytesIO()
    Image.fromarray(np.kron(colours(), np.ones((8, 8, 1), np.uint8))).save(buffer, kind)
    return buffer.getvalue()


BROKEN = {
    "truncated.png": lambda: encoded("PNG")[:-200],
    "truncated.jpg": lambda: encoded("JPEG")[:-200],
    "truncated.tif": lambda: encoded("TIFF")[:-200],
    "truncated.webp": lambda: encoded("WEBP")[:-50],
    "truncated.gif": lambda: encoded("GIF")[:-200],
    "header_only.png": lambda: encoded("PNG")[:30],
    "bomb.png": lambda: png_header(100_000, 100_000),
    "empty.png": lambda: b"",
    "text.png": lambda: b"this is no picture",
    "zeros.jpg": lambda: bytes(1000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_bad_image_named_in_one_line(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(BROKEN[name]())
    with pytest.raises(BadImage) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "replace or delete it" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadImage, match=name):
        load_mask(path)


@pytest.mark.parametrize("read", [load_image, image_size, load_mask])
def test_damage_behind_the_pixels_is_a_bad_image(read, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(colours()).save(path)
    add_chunk(path, *SHORT_PROFILE, behind_pixels=True)
    with pytest.raises(BadImage, match=r"a\.png: cannot be read"):
        read(path)


@pytest.mark.parametrize("name", ["bomb.png", "empty.png", "text.png"])
def test_a_broken_header_has_no_size(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(BROKEN[name]())
    with pytest.raises(BadImage, match=name):
        image_size(path)


@pytest.mark.parametrize("read", [load_image, image_size, load_mask])
def test_a_folder_and_a_missing_file_are_bad_images(read, tmp_path):
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(BadImage, match=path.name):
            read(path)


def test_random_damage_never_raises_anything_but_bad_image(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of many a strange header
        for kind in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"):
            whole = np.frombuffer(encoded(kind), np.uint8)
            for _ in range(60):
                damaged = whole.copy()
                damaged[rng.integers(8, 200, rng.integers(1, 8))] = rng.integers(0, 256)
                path.write_bytes(damaged[: rng.integers(1, len(damaged) + 1)].tobytes())
                for read in (load_image, image_size, load_mask):
                    try:
                        read(path)
                    except BadImage:
                        continue


@pytest.mark.parametrize("kind", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_a_mask_is_true_where_it_is_not_zero(kind, tmp_path):
    path = tmp_path / "a.png"
    marked_YX = np.zeros((6, 8), bool)
    marked_YX[1:3, 2:6] = True
    if kind == "I;16":
        Image.fromarray(marked_YX.astype(np.uint16)).save(path)
    elif kind == "P":
        Image.fromarray(255 * marked_YX.astype(np.uint8)).convert("P").save(path)
    else:
        Image.fromarray(255 * marked_YX.astype(np.uint8)).convert(kind).save(path)
    mask_YX = load_mask(path)
    assert mask_YX.dtype == bool
    np.testing.assert_array_equal(mask_YX, marked_YX)


def test_a_mask_with_the_faintest_mark_is_marked(tmp_path):
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_mask(tmp_path / "a.png"), [[False, True]])


@pytest.mark.parametrize(
    ("mark", "ending"),
    [((1, 0, 0), "png"), ((0, 0, 1), "png"), (np.float32(0.4), "tif"), (np.float32(-3), "tif"), (np.int32(7), "tif")],
)
def test_no_rounding_hides_a_mark(mark, ending, tmp_path):
    values_YX = np.zeros((6, 8, *np.shape(mark)), np.asarray(mark).dtype if ending == "tif" else np.uint8)
    values_YX[2, 3] = mark
    Image.fromarray(values_YX).save(tmp_path / f"a.{ending}")
    assert np.argwhere(load_mask(tmp_path / f"a.{ending}")).tolist() == [[2, 3]]


def test_what_is_transparent_or_no_number_is_no_mark(tmp_path):
    white_YX4 = np.full((6, 8, 4), 255, np.uint8)
    white_YX4[..., 3] = 0
    white_YX4[2, 3, 3] = 255
    Image.fromarray(white_YX4).save(tmp_path / "a.png")
    numbers_YX = np.full((6, 8), np.nan, np.float32)
    numbers_YX[2, 3] = 1
    Image.fromarray(numbers_YX).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        assert np.argwhere(load_mask(tmp_path / name)).tolist() == [[2, 3]]


def test_a_mask_turns_with_its_exif_as_its_picture_does(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for name in ("picture.png", "mask.png"):
        Image.fromarray(halves()).save(tmp_path / name, exif=exif)
    assert load_mask(tmp_path / "mask.png").shape == load_image(tmp_path / "picture.png").shape[:2] == (8, 6)


def test_a_picture_of_the_right_size_passes_resize_untouched():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert resize(picture, 32) is picture


def test_resize_squashes_the_whole_picture_and_averages_what_it_shrinks():
    picture = np.kron(np.random.default_rng(0).integers(0, 2, (4, 8)), np.ones((16, 16))).astype(np.uint8)[..., None]
    small = resize(np.repeat(picture * 255, 3, 2), 32)
    assert small.shape == (32, 32, 3)
    checker = np.indices((64, 64)).sum(0) % 2 * 255  # without antialiasing this would alias to black or white
    middle = resize(np.repeat(checker[..., None].astype(np.uint8), 3, 2), 16)[4:-4, 4:-4]
    np.testing.assert_allclose(middle, 127.5, atol=4)


def test_resize_keeps_a_defect_at_the_very_border():
    picture = np.zeros((100, 60, 3), np.uint8)
    picture[-4:, -4:] = 255
    assert resize(picture, 32)[-1, -1].min() > 100
