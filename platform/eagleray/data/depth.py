"""Depth of a picture: read from either layout, and resized without mixing in points that are missing."""

from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image
from scipy.sparse import csr_array

from eagleray.arrays import AnyArray, Bools, Floats
from eagleray.data.eyecandies import read_depth_range
from eagleray.data.rgbd import RgbdSample
from eagleray.data.sizes import UNREADABLE, shown_size
from eagleray.errors import BadImage

_SIXTEEN_BITS = 65_535
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")  # older Pillows open a 16-bit PNG as "I"
_VALID_AREA = 0.5 - 1e-9  # half a pixel's area, less what adding up in double precision may lose


@dataclass(frozen=True, slots=True)
class DepthMap:
    """What a depth camera saw, both arrays (Y, X)."""

    depth_YX: Floats
    """Distance from the camera in the file's unit; 0 where there is no point."""
    valid_YX: Bools
    """Whether there is a point."""


def load_depth(sample: RgbdSample) -> DepthMap:
    """Read the depth of one picture, of the size of its colour picture.

    Of a TIFF, depth is the z of each point; there is no point where x, y and z are all 0 or any of them is not finite.
    A PNG is scaled to the distances in its YAML file; there is no point where that is not above 0.

    Raises:
        BadImage: a file cannot be read, is of another kind or size, or has no point at all.
        DataError: wrong distances, see `read_depth_range`.
    """
    path = sample.depth
    depth = _depth_of_points(path) if sample.depth_range is None else _depth_of_png(path, sample.depth_range)
    try:
        width, height = shown_size(sample.sample.path)
    except UNREADABLE as error:
        raise BadImage(sample.sample.path, "cannot be read as an image; replace or delete it") from error
    rows, columns = depth.depth_YX.shape
    if (rows, columns) != (height, width):
        raise BadImage(
            path,
            f"the depth is {columns}x{rows} pixels but its colour picture {sample.sample.path} is {width}x{height}; "
            "replace or delete both",
        )
    if not depth.valid_YX.any():
        raise BadImage(path, "has no valid point; replace it or delete it with its colour picture")
    return depth


def _depth_of_points(path: str) -> DepthMap:
    try:
        points_YX3: AnyArray = tifffile.imread(path)
    except Exception as error:  # broken files make tifffile raise whatever its decoders do
        raise BadImage(path, f"cannot be read as a TIFF ({_reason(error)}); replace or delete it") from error
    if points_YX3.ndim != 3 or points_YX3.shape[2] != 3:
        shape = " x ".join(map(str, points_YX3.shape))
        raise BadImage(path, f"must have rows x columns x 3 values (x, y, z), got {shape}; replace or delete it")
    if points_YX3.dtype.kind != "f":
        raise BadImage(path, f"must have floating-point values, got {points_YX3.dtype}; replace or delete it")
    with np.errstate(over="ignore"):  # too large for single precision is not finite, so not valid
        points_YX3 = points_YX3.astype(np.float32)
    return _depth_map(points_YX3[..., 2], np.isfinite(points_YX3).all(axis=2) & (points_YX3 != 0).any(axis=2))


def _depth_of_png(path: str, depth_range: str) -> DepthMap:
    nearest, farthest = read_depth_range(depth_range)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode, values_YX = image.mode, np.asarray(image)
    except UNREADABLE as error:
        raise BadImage(path, f"cannot be read as a PNG ({_reason(error)}); replace or delete it") from error
    if mode not in _SIXTEEN_BIT_MODES:
        raise BadImage(path, f"must be a 16-bit grey PNG, got {mode}; replace or delete it")
    depth_YX = (values_YX / _SIXTEEN_BITS * (farthest - nearest) + nearest).astype(np.float32)
    return _depth_map(depth_YX, depth_YX > 0)


def _depth_map(depth_YX: Floats, valid_YX: Bools) -> DepthMap:
    return DepthMap(np.where(valid_YX, depth_YX, np.float32(0)), valid_YX)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def resize_depth(depth: DepthMap, size: int) -> DepthMap:
    """Squash a depth map to (size, size).

    A new pixel is the mean of the valid points in its area, weighted by how much of it each covers (normalised
    convolution with a box), and is valid where they cover at least half of it.
    """
    height, width = depth.depth_YX.shape
    rows, columns = _overlaps(height, size), _overlaps(width, size)
    area_YX = _weigh(rows, depth.valid_YX.astype(np.float64), columns)
    sum_YX = _weigh(rows, np.where(depth.valid_YX, depth.depth_YX, 0).astype(np.float64), columns)
    valid_YX = area_YX >= _VALID_AREA
    mean_YX = np.divide(sum_YX, area_YX, out=np.zeros_like(sum_YX), where=valid_YX)
    return DepthMap(mean_YX.astype(np.float32), valid_YX)


def _overlaps(old: int, new: int) -> csr_array:
    """Share of each new pixel that each old one covers along one axis, (new, old)."""
    starts = np.arange(new)[:, None] * old / new
    pixels = np.arange(old)[None, :]
    covered = np.minimum(starts + old / new, pixels + 1) - np.maximum(starts, pixels)
    return csr_array(np.maximum(covered, 0) * new / old)  # sparse: fast, and added up in one order on any machine


def _weigh(rows: csr_array, values_YX: AnyArray, columns: csr_array) -> AnyArray:
    weighed: AnyArray = (columns @ (rows @ values_YX).T).T
    return weighed
