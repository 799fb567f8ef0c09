"""One picture's colour and depth from its files, at the size that networks see."""

from typing import NamedTuple

from eagleray.arrays import Bools, Floats, Pixels
from eagleray.data import RgbdSample, load_depth, remove_plane, resize_depth
from eagleray.errors import BadImage
from eagleray.features.images import load_image, resize


class RgbdPicture(NamedTuple):
    """Colour and depth, pixel for pixel."""

    color_YX3: Pixels
    depth_YX: Floats
    """In the file's unit, 0 where there is no point."""
    valid_YX: Bools
    """Where there is a point."""
    product_YX: Bools
    """Where the product is: all points but those of a plane that shows at the border, or all where none does."""


def load_rgbd(sample: RgbdSample, size: int, *, plane_removal: bool = False) -> RgbdPicture:
    """Read one picture and squash it to `size` rows and columns.

    Args:
        sample: where its files are.
        size: in pixels.
        plane_removal: whether points on the plane that the product lies on become invalid (`remove_plane`).

    Raises:
        BadImage: as `load_image` and `load_depth`; or no point is left without the plane, or at this size.
        DataError: as `load_depth`.
    """
    whole = load_depth(sample)
    product = remove_plane(whole)
    depth = product if plane_removal else whole
    if plane_removal and not depth.valid_YX.any():
        raise BadImage(sample.depth, "all its points lie on one plane; read it without plane removal")
    depth = resize_depth(depth, size)
    if not depth.valid_YX.any():
        raise BadImage(sample.depth, f"has too few valid points for {size}x{size} pixels; lower the size or delete it")
    product_YX = resize_depth(product, size).valid_YX
    if product_YX.mean() < _LEAST_PRODUCT:
        product_YX = depth.valid_YX
    return RgbdPicture(resize(load_image(sample.sample.path), size), depth.depth_YX, depth.valid_YX, product_YX)


_LEAST_PRODUCT = 0.01
"""Share of the picture; a smaller one is the noise of a picture that shows a plane alone, such as a flat product."""
