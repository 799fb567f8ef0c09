"""Perlin noise, and the regions cut from it that made-up anomalies fill.

Source: Perlin 2002; its use for anomalies is DRAEM's (Zavrtanik et al. 2021), which EasyNet (Chen et al. 2023) and so
3D-ADNAS follow: noise with 2^0 to 2^5 cells a side, drawn for each axis on its own, turned by up to 90 degrees and cut
at 0.5. Here the lattice is turned, not the finished noise, so the corners are not empty.

Shapes, beside the legend of eagleray.arrays: P points of a region, V valid points of a picture.
"""

from dataclasses import dataclass

import numpy as np

from eagleray.arrays import AnyArray, Bools, Floats, Ints

_THRESHOLD = 0.5
_SMALLEST_CELL = 4  # pixels: in a finer one the noise has no shape left, only single pixels
_LARGEST_SHARE = 0.5  # of the valid points: beyond it the good part would be the exception
_LONGEST = 6.0  # length over width of a blob
_RAGGEDNESS = 0.6  # height of the noise on a blob, over the height of the blob itself
_CHUNK = 8192  # points at once: what is computed on the way stays in the cache
_FOOT = 0.1  # profile at the border: what rises from nothing would claim points where nothing can be seen


@dataclass(frozen=True, slots=True)
class Region:
    """Part of a picture, never empty."""

    points_P: Ints
    """Positions in the flat picture, ascending."""
    profile_P: Floats
    """Above 0.1 at the border, 1 at the highest point: the noise above the cut, so slopes are as smooth as it is."""


def perlin_noise(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    """Gradient noise about 0, within [-1, 1], at points given in cells of the lattice; at least one point."""
    top, left = np.floor(y_P.min()), np.floor(x_P.min())
    rows, columns = int(y_P.max() - top) + 2, int(x_P.max() - left) + 2
    angle = rng.random(rows * columns, dtype=np.float32) * np.float32(2 * np.pi)
    slope_y, slope_x = np.sin(angle), np.cos(angle)
    noise_P = np.empty_like(y_P)
    for start in range(0, len(y_P), _CHUNK):
        part = slice(start, start + _CHUNK)
        noise_P[part] = _interpolated(slope_y, slope_x, columns, y_P[part] - top, x_P[part] - left)
    return noise_P


def draw_perlin_region(
    rng: np.random.Generator, where_YX: Bools, scales: tuple[int, int], areas: tuple[float, float]
) -> Region:
    """Where Perlin noise is above 0.5: many spots, a few areas or streaks, anywhere in the picture.

    Noise that gives less or more than `areas` allow (coarse noise often stays below 0.5 everywhere) is cut at another
    height, which gives an area drawn log-uniformly.

    Args:
        rng: draws it.
        where_YX: square; the points that may belong to it, at least one.
        scales: exponents of 2, lowest and highest, of the number of cells a side.
        areas: lowest and highest share of the picture. Never more than half of `where_YX`.
    """
    points_V = np.flatnonzero(where_YX)
    y_V, x_V = _turned(points_V, where_YX.shape[0], rng.uniform(-np.pi / 2, np.pi / 2))
    most = max(1, where_YX.shape[0] // _SMALLEST_CELL)
    cells = np.minimum(2 ** rng.integers(scales[0], scales[1] + 1, 2), most)
    (down, right), (offset_y, offset_x) = cells.astype(np.float32), rng.random(2, dtype=np.float32)
    noise_V = perlin_noise(rng, y_V * down + offset_y, x_V * right + offset_x)
    above = int(np.count_nonzero(noise_V > _THRESHOLD))
    fewest, many = (_count(area, where_YX, len(points_V)) for area in areas)
    if fewest <= above <= many:
        return _cut(points_V, noise_V, above)
    return _cut(points_V, noise_V, _draw_count(rng, where_YX, areas, len(points_V)))


def draw_blob(rng: np.random.Generator, where_YX: Bools, areas: tuple[float, float]) -> Region:
    """One ragged spot or streak about a random point; arguments as of `draw_perlin_region`, area log-uniform."""
    points_V = np.flatnonzero(where_YX)
    count = _draw_count(rng, where_YX, areas, len(points_V))
    centre = points_V[rng.integers(len(points_V))]
    y_V, x_V = _turned(points_V, where_YX.shape[0], rng.uniform(0, np.pi), int(centre))
    stretch = np.float32(_LONGEST ** (rng.random() / 2))
    radius = np.float32(np.sqrt(count / np.pi) / where_YX.shape[0])
    y_V, x_V = y_V * (stretch / radius), x_V / (stretch * radius)
    squared_V = y_V * y_V + x_V * x_V
    near_V = squared_V < 4  # twice the radius: about four times as many points as are wanted
    noise = perlin_noise(rng, y_V[near_V], x_V[near_V] + rng.random(dtype=np.float32))
    field = np.float32(_RAGGEDNESS) * noise - squared_V[near_V]
    return _cut(points_V[near_V], field, min(count, len(field)))


def _interpolated(slope_y: Floats, slope_x: Floats, columns: int, y_P: Floats, x_P: Floats) -> Floats:
    """Noise at points of a lattice whose corners have these slopes, row after row."""
    row_P, column_P = np.floor(y_P), np.floor(x_P)
    corner_P = row_P.astype(np.intp) * columns + column_P.astype(np.intp)
    y_P, x_P = y_P - row_P, x_P - column_P

    def pull(down: int, right: int) -> AnyArray:
        at_P = corner_P + (down * columns + right)
        return slope_y[at_P] * (y_P - down) + slope_x[at_P] * (x_P - right)

    across_P, along_P = _fade(x_P), _fade(y_P)
    top_P, bottom_P = pull(0, 0), pull(1, 0)
    top_P += across_P * (pull(0, 1) - top_P)
    bottom_P += across_P * (pull(1, 1) - bottom_P)
    return np.asarray((top_P + along_P * (bottom_P - top_P)) * np.float32(np.sqrt(2)))


def _fade(step: Floats) -> AnyArray:
    return step * step * step * (step * (step * 6 - 15) + 10)


def _turned(points_V: Ints, size: int, angle: float, centre: int = 0) -> tuple[Floats, Floats]:
    """Coordinates of the points in sides of the picture, seen from `centre`, on axes turned by `angle`."""
    row, column = divmod(centre, size)
    y_Y1 = ((np.arange(size) - row) / size).astype(np.float32)[:, None]
    x_X = ((np.arange(size) - column) / size).astype(np.float32)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    y_YX, x_YX = cosine * y_Y1 - sine * x_X, sine * y_Y1 + cosine * x_X
    return y_YX.reshape(-1)[points_V], x_YX.reshape(-1)[points_V]


def _count(area: float, where_YX: Bools, valid: int) -> int:
    """Points of that share of the picture, one at least."""
    return max(1, min(round(area * where_YX.size), int(_LARGEST_SHARE * valid)))


def _draw_count(rng: np.random.Generator, where_YX: Bools, areas: tuple[float, float], valid: int) -> int:
    return _count(areas[0] * (areas[1] / areas[0]) ** rng.random(), where_YX, valid)


def _cut(points_V: AnyArray, field_V: Floats, count: int) -> Region:
    """The `count` points where the field is highest, and others as high as the lowest of them."""
    cut = np.partition(field_V, -count)[-count]
    inside_V = field_V >= cut
    above_P = field_V[inside_V] - cut
    top = above_P.max()
    profile_P = np.float32(_FOOT) + np.float32(1 - _FOOT) * (above_P / top if top > 0 else np.ones_like(above_P))
    return Region(points_V[inside_V], profile_P)
