"""Depth of a picture: read from either layout, and resized without mixing in points that are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError
from scipy.sparse import csr_array

from eagleray.arrays import AnyArray, Bools, Floats
from eagleray.data.eyecandies import read_depth_range
from eagleray.data.rgbd import RgbdSample
from eagleray.data.sizes import UNREADABLE, shown_size
from eagleray.data.source import NamedBytes, Source, cure_of, name_of, open_source
from eagleray.data.tiff_cost import check_tiff
from eagleray.errors import BadImage

_SIXTEEN_BITS = 65_535
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")  # older Pillows open a 16-bit PNG as "I"
_PLAIN: dict[str, Any] = {f"is_{kind}": False for kind in tifffile.TIFF.FILE_FLAGS - {"shaped", "uniform"}}
"""No instrument's own kind of TIFF: those say more than one page of points, and may name other files to read."""
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

    Raises:
        BadImage: as `read_depth`; or the colour picture cannot be read.
        DataError: as `read_depth`.
    """
    picture = sample.sample.path
    try:
        width, height = shown_size(picture)
    except UNREADABLE as error:
        raise BadImage(picture, "cannot be read as an image; replace or delete it") from error
    return read_depth(sample.depth, sample.depth_range, size=(height, width), picture=picture)


def read_depth(depth: Source, depth_range: Source | None, *, size: tuple[int, int], picture: str) -> DepthMap:
    """Read the depth of a picture whose size is known; nothing of another size is decoded.

    Of a TIFF, depth is the z of each point; there is no point where x, y and z are all 0 or any of them is not finite.
    A PNG is scaled to the distances in its YAML file; there is no point where that is not finite and above 0.

    Args:
        depth: a TIFF, or with `depth_range` a PNG. What bytes cost in time and memory is bounded by `size`.
        depth_range: the YAML file.
        size: rows and columns of the colour picture.
        picture: what errors call that.

    Raises:
        BadImage: a file cannot be read, is of another kind or size, or has no point at all.
        DataError: wrong distances, see `read_depth_range`.
    """
    if depth_range is None:
        found = _depth_of_points(depth, size, picture)
    else:
        found = _depth_of_png(depth, read_depth_range(depth_range), size, picture)
    if not found.valid_YX.any():
        rest = "replace it or delete it with its colour picture" if isinstance(depth, str) else "send another"
        raise BadImage(name_of(depth), f"has no valid point; {rest}")
    return found


def _depth_of_points(depth: Source, size: tuple[int, int], picture: str) -> DepthMap:
    name, cure = name_of(depth), cure_of(depth)
    try:
        if isinstance(depth, NamedBytes):
            check_tiff(depth.data, rows=size[0], columns=size[1])
        with open_source(depth) as stream, tifffile.TiffFile(stream, **_PLAIN) as tiff:
            series = tiff.series[0]
            if len(series.shape) != 3 or series.shape[2] != 3:
                shape = " x ".join(map(str, series.shape))
                raise BadImage(name, f"must have rows x columns x 3 values (x, y, z), got {shape}; {cure}")
            if series.dtype is None or series.dtype.kind != "f":
                raise BadImage(name, f"must have floating-point values, got {series.dtype}; {cure}")
            _check_size(depth, series.shape[:2], size, picture)
            points_YX3: AnyArray = series.asarray(maxworkers=1)
            if points_YX3.shape != series.shape:
                raise ValueError("not all of it is there")
    except BadImage:
        raise
    except Exception as error:  # broken files make tifffile raise whatever its decoders do
        raise BadImage(name, f"cannot be read as a TIFF ({_reason(error)}); {cure}") from error
    with np.errstate(over="ignore"):  # too large for single precision is not finite, so not valid
        points_YX3 = points_YX3.astype(np.float32, copy=False)
    return _depth_map(points_YX3[..., 2], np.isfinite(points_YX3).all(axis=2) & (points_YX3 != 0).any(axis=2))


def _depth_of_png(depth: Source, limits: tuple[float, float], size: tuple[int, int], picture: str) -> DepthMap:
    name, cure, (nearest, farthest) = name_of(depth), cure_of(depth), limits
    try:
        with open_source(depth) as stream, Image.open(stream, formats=["PNG"]) as image:
            if image.mode not in _SIXTEEN_BIT_MODES:
                raise BadImage(name, f"must be a 16-bit grey PNG, got {image.mode}; {cure}")
            _check_size(depth, image.size[::-1], size, picture)
            values_YX = np.asarray(image)
    except UNREADABLE as error:
        raise BadImage(name, f"cannot be read as a PNG ({_reason(error)}); {cure}") from error
    with np.errstate(over="ignore", invalid="ignore"):  # as above
        depth_YX = (values_YX / _SIXTEEN_BITS * (farthest - nearest) + nearest).astype(np.float32)
    return _depth_map(depth_YX, np.isfinite(depth_YX) & (depth_YX > 0))


def _check_size(depth: Source, found: Sequence[int], wanted: tuple[int, int], picture: str) -> None:
    if tuple(found) != wanted:
        theirs, ours = (f"{columns}x{rows}" for rows, columns in (found, wanted))
        rest = "replace or delete both" if isinstance(depth, str) else "send the depth of this picture"
        problem = f"the depth is {theirs} pixels but its colour picture {picture} is {ours}"
        raise BadImage(name_of(depth), f"{problem}; {rest}")


def _depth_map(depth_YX: Floats, valid_YX: Bools) -> DepthMap:
    return DepthMap(np.where(valid_YX, depth_YX, np.float32(0)), valid_YX)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # whose words for bytes are an address in memory
        return "it is none"
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
