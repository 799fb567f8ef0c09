"""One picture's colour and depth from its files, at the size that networks see."""

from typing import NamedTuple

from eagleray.arrays import Bools, Floats, Pixels
from eagleray.data import DepthMap, RgbdSample, load_depth, remove_plane, resize_depth
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
    """Read one picture and squash it as `fit_rgbd` does.

    Args:
        sample: where its files are.
        size: in pixels.
        plane_removal: whether points on the plane that the product lies on become invalid (`remove_plane`).

    Raises:
        BadImage: as `load_image`, `load_depth` and `fit_rgbd`.
        DataError: as `load_depth`.
    """
    depth = load_depth(sample)
    return fit_rgbd(load_image(sample.sample.path), depth, size, plane_removal=plane_removal, name=sample.depth)


def fit_rgbd(
    color_YX3: Pixels, whole: DepthMap, size: int, *, plane_removal: bool = False, name: str = "the depth"
) -> RgbdPicture:
    """Squash one picture to `size` rows and columns.

    Args:
        color_YX3: of any size.
        whole: its depth, of the same size.
        size: in pixels.
        plane_removal: as `load_rgbd`.
        name: what errors call the depth.

    Raises:
        BadImage: no point is left without the plane, or at this size.
    """
    product = remove_plane(whole)
    depth = product if plane_removal else whole
    if plane_removal and not depth.valid_YX.any():
        raise BadImage(name, "all its points lie on one plane; read it without plane removal")
    depth = resize_depth(depth, size)
    if not depth.valid_YX.any():
        raise BadImage(name, f"has too few valid points for {size}x{size} pixels; lower the size or leave it out")
    product_YX = resize_depth(product, size).valid_YX
    if product_YX.mean() < _LEAST_PRODUCT:
        product_YX = depth.valid_YX
    return RgbdPicture(resize(color_YX3, size), depth.depth_YX, depth.valid_YX, product_YX)


_LEAST_PRODUCT = 0.01
"""Share of the picture; a smaller one is the noise of a picture that shows a plane alone, such as a flat product."""
