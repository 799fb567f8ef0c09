"""Image files to arrays: every format a camera writes becomes 8-bit RGB of one size.

Rules, so that the same picture gives the same pixels everywhere: EXIF rotation is applied; 16-bit grey is divided by
257 (never stretched per image, which would hide a dark part); transparent pixels lie on black; of an animation
the first frame counts; CMYK, palette and grey become RGB.
"""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin

from eagleray.arrays import Bools, Pixels
from eagleray.errors import BadImage

_SIXTEEN_TO_EIGHT_BITS = 257  # 65535 / 255
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


def load_image(path: str | Path) -> Pixels:
    """Read one picture as RGB, shape (Y, X, 3).

    Raises:
        BadImage: the file is missing, truncated, no image, or larger than PIL's limit against decompression bombs.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(_to_rgb(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(str(path), f"cannot be read as an image ({_reason(error)}); replace or delete it") from error


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture as `load_image` gives it, from its header alone.

    Raises:
        BadImage: as `load_image`.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # newer Pillows have turned this size already
                width, height = (image.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _SIDEWAYS
            return (width, height) if turned else (height, width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(str(path), f"cannot be read as an image ({_reason(error)}); replace or delete it") from error


def load_mask(path: str | Path) -> Bools:
    """Read one ground-truth mask, shape (Y, X): true where the picture is defective.

    Raises:
        BadImage: as `load_image`.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("L")) > 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(str(path), f"cannot be read as a mask ({_reason(error)}); replace or delete it") from error


def resize(image: Pixels, size: int) -> Pixels:
    """Squash a picture to (size, size, 3), bilinear with antialiasing.

    The aspect ratio is given up on purpose: nothing is cropped, so no defect at the border is lost, and a heat map
    goes back to the picture by one resize.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        if image.mode != "F":
            values = values / _SIXTEEN_TO_EIGHT_BITS
        return Image.fromarray(np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
