"""Sizes of pictures from their headers alone, and the check that a mask has its picture's."""

from PIL import ExifTags, Image

from eagleray.errors import DataError
from eagleray.uris import Place, picture_file

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises on broken files."""


def shown_size(path: str | Place) -> tuple[int, int]:
    """Width and height in pixels as a viewer shows them; one of `UNREADABLE` is raised for a broken file."""
    with Image.open(picture_file(path, header=True)) as image:
        # Pillow turns the size of a TIFF itself, and would decode a whole PNG to look for EXIF behind its pixels.
        may_turn = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if may_turn else 1
        width, height = image.size
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


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
    if mask_size != image_size:
        wrong, right = ("x".join(map(str, size)) for size in (mask_size, image_size))
        raise DataError(
            str(mask), f"the mask is {wrong} pixels but its image {image} is {right}; resize or replace the mask"
        )
