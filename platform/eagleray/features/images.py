"""Image files to arrays: every format a camera writes becomes 8-bit RGB of one size.

Rules, so that the same picture gives the same pixels everywhere: EXIF rotation is applied, unless it cannot be read;
16-bit grey is divided by 257 (never stretched per image, which would hide a dark part); transparent pixels
lie on black; of an animation the first frame counts; CMYK, palette and grey become RGB.
"""

import io

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from eagleray.arrays import Bools, Pixels
from eagleray.data.sizes import UNREADABLE, orientation_of, shown_size
from eagleray.errors import BadImage, TooManyPixels
from eagleray.uris import Place, picture_file

_SIXTEEN_TO_EIGHT_BITS = 257  # 65535 / 255
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright."""
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""What a stranger's bytes may be: Pillow knows dozens more, some of which start other programs."""
_LONGEST_SIDE = 65_535
"""Of a stranger's picture, in pixels, as JPEG has it: to resize a picture takes memory with the length of its sides."""
_MOST_SCANS = 100
"""Of a stranger's JPEG, as libtiff has it: each is a pass over all pixels, and costs its sender a few bytes."""


def load_image(path: str | Place) -> Pixels:
    """Read one picture as RGB, shape (Y, X, 3).

    Raises:
        BadImage: the file is missing, truncated, no image, or larger than PIL's limit against decompression bombs.
        UriError: its bucket cannot be used.
    """
    try:
        with Image.open(picture_file(path)) as image:
            return np.asarray(_to_rgb(_upright(image)))
    except UNREADABLE as error:
        raise BadImage(str(path), f"cannot be read as an image ({_reason(error)}); replace or delete it") from error


def decode_image(data: bytes, *, name: str, max_pixels: int) -> Pixels:
    """Decode one picture that came over a network as RGB, shape (Y, X, 3).

    Args:
        data: its bytes. What decoding them costs in time and memory is bounded before it begins.
        name: what errors call it.
        max_pixels: rows times columns, at most.

    Raises:
        BadImage: the bytes are truncated, or of no format that a camera writes, or take too long to decode.
        TooManyPixels: a larger picture.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_cost(image, data, name, max_pixels)
            return np.asarray(_to_rgb(_upright(image)))
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(name, f"is no picture; send one of {', '.join(_FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise TooManyPixels(name, f"has far too many pixels; send at most {max_pixels:,}") from error
    except Exception as error:  # whatever a decoder raises over hostile bytes, they are what is wrong
        raise BadImage(name, f"cannot be read as an image ({_reason(error)}); send a whole PNG or JPEG") from error


def _check_cost(image: Image.Image, data: bytes, name: str, max_pixels: int) -> None:
    """Raise BadImage for an opened picture that takes too much memory or time to decode."""
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # a tile is decoded whole, however little of it is shown
        width = max(width, image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0))
        height = max(height, image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0))
    if width * height > max_pixels:
        raise TooManyPixels(name, f"has {width} x {height} pixels; send at most {max_pixels:,} in all")
    if max(width, height) > _LONGEST_SIDE:
        raise TooManyPixels(name, f"has {width} x {height} pixels; send at most {_LONGEST_SIDE:,} a side")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MOST_SCANS:
        raise BadImage(name, f"is a JPEG of more than {_MOST_SCANS} scans; save it again as a usual one, or as PNG")
    if any(codec in Image.DECODERS for codec, *_ in getattr(image, "tile", ())):  # these are written in Python
        raise BadImage(name, "is stored in a way that takes minutes to decode (such as PPM in text); send a PNG")


def image_size(path: str | Place) -> tuple[int, int]:
    """Height and width of a picture as `load_image` gives it; only a PNG is decoded for that.

    Raises:
        BadImage: as `load_image`.
    """
    try:
        width, height = shown_size(path, whole=True)
    except UNREADABLE as error:
        raise BadImage(str(path), f"cannot be read as an image ({_reason(error)}); replace or delete it") from error
    return height, width


def load_mask(path: str | Place) -> Bools:
    """Read one ground-truth mask, shape (Y, X): true where the picture is defective, which is where it is not black.

    Raises:
        BadImage: as `load_image`.
    """
    try:
        with Image.open(picture_file(path)) as image:
            mask = _upright(image)
            # Of more than 8 bits, the faintest marks would be rounded away.
            values_YXC = np.nan_to_num(np.asarray(mask))[..., None] if _is_deep(mask) else np.asarray(_to_rgb(mask))
            marked_YX: Bools = (values_YXC != 0).any(axis=2)
            return marked_YX
    except UNREADABLE as error:
        raise BadImage(str(path), f"cannot be read as a mask ({_reason(error)}); replace or delete it") from error


def resize(image: Pixels, size: int) -> Pixels:
    """Squash a picture to (size, size, 3), bilinear with antialiasing.

    The aspect ratio is given up on purpose: nothing is cropped, so no defect at the border is lost, and a heat map
    goes back to the picture by one resize.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF wants it shown; `ImageOps.exif_transpose` fails where it cannot write that EXIF again."""
    image.load()  # a PNG may say behind its pixels how it is turned, and newer Pillows turn a TIFF while they load it
    turn = _TURNS.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def _is_deep(image: Image.Image) -> bool:
    """Whether its grey values have more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _to_rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        values = np.asarray(image)
        values = np.nan_to_num(values) if image.mode == "F" else values // _SIXTEEN_TO_EIGHT_BITS
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
