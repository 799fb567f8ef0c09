"""Sizes of pictures from their headers alone, how they are turned, and the check that a mask has its picture's."""

import contextlib
import struct
import zlib
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from eagleray.errors import DataError
from eagleray.uris import Place, picture_file

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on broken files; not Exception, for a bucket that cannot be used says nothing about a picture."""

_SIDEWAYS = (5, 6, 7, 8)


def orientation_of(image: Image.Image) -> int:
    """How an opened picture is to be turned, 1 to 8 as EXIF numbers it; 1, which is upright, where it does not say.

    Of a PNG that is not loaded yet, only what stands before its pixels counts; a loaded TIFF is upright.
    """
    try:
        # A PNG's own method would decode all of it to look behind its pixels.
        orientation: Any = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except UNREADABLE:  # damage there leaves the pixels whole
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def shown_size(path: str | Place, *, whole: bool = False) -> tuple[int, int]:
    """Width and height in pixels as a viewer shows them; one of `UNREADABLE` is raised for a broken file.

    Args:
        path: the picture.
        whole: also look behind the pixels of a PNG for how it is turned, for which it has to be decoded.
    """
    with Image.open(picture_file(path, header=not whole)) as image:
        if whole and image.format == "PNG":
            image.load()
        width, height = image.size
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # newer Pillows may have turned this size already
            width, height = (image.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        return (height, width) if orientation_of(image) in _SIDEWAYS else (width, height)


def check_mask_size(image: Place, mask: Place) -> None:
    """Compare the sizes of a mask and its picture; an unreadable picture is left to whoever decodes it.

    Raises:
        DataError: the mask is unreadable, or of another size.
        UriError: their bucket cannot be used.
    """
    try:
        mask_size = shown_size(mask)
    except UNREADABLE as error:
        raise DataError(str(mask), "the mask cannot be read as an image; replace or delete it") from error
    try:
        image_size = shown_size(image)
    except UNREADABLE:
        return
    if mask_size != image_size == mask_size[::-1]:  # a PNG may say behind its pixels that it is turned
        with contextlib.suppress(*UNREADABLE):
            mask_size, image_size = shown_size(mask, whole=True), shown_size(image, whole=True)
    if mask_size != image_size:
        wrong, right = ("x".join(map(str, size)) for size in (mask_size, image_size))
        raise DataError(
            str(mask), f"the mask is {wrong} pixels but its image {image} is {right}; resize or replace the mask"
        )
