"""The plane that a product lies on, taken out of a depth map."""

import numpy as np

from eagleray.arrays import AnyArray
from eagleray.data.depth import DepthMap

_BORDER = 0.05  # width of the border at each side, as a share of the side
_TRIALS = 200
_MOST_POINTS = 2_000  # of the border that vote
_LEAST_SHARE = 0.5  # of the voters that a plane must hold


def remove_plane(depth: DepthMap, *, distance: float = 0.005, seed: int = 0) -> DepthMap:
    """Make the points on the plane that shows at the picture's border invalid; no file is written.

    The plane is the one that holds most of the border's points (RANSAC), fitted again to those. In a pinhole camera's
    picture, one over depth is linear in column and row on a plane, so the camera's constants are not needed. Nothing
    changes where no plane holds half of the border's points: there is none, or the product covers it.

    Args:
        depth: any depth map.
        distance: in the file's unit, along the line of sight, up to which a point lies on the plane.
        seed: of the random trials; the same seed gives the same result.
    """
    rng = np.random.default_rng(seed)
    points_P3, depth_P = _border_points(depth, rng)
    plane = _fit(points_P3, depth_P, distance, rng) if len(depth_P) >= 3 else None
    if plane is None:
        return depth
    rows, columns = np.indices(depth.depth_YX.shape)
    is_on_YX = _is_near(plane[0] * columns + plane[1] * rows + plane[2], depth.depth_YX, distance)
    valid_YX = depth.valid_YX & ~is_on_YX
    return DepthMap(np.where(valid_YX, depth.depth_YX, np.float32(0)), valid_YX)


def _border_points(depth: DepthMap, rng: np.random.Generator) -> tuple[AnyArray, AnyArray]:
    """Column, row, 1 of each voter, (P, 3), and its depth, (P,)."""
    height, width = depth.depth_YX.shape
    is_border_YX = np.ones((height, width), dtype=bool)
    down, across = max(1, int(_BORDER * height)), max(1, int(_BORDER * width))
    is_border_YX[down : height - down, across : width - across] = False
    rows_P, columns_P = np.nonzero(is_border_YX & depth.valid_YX & (depth.depth_YX != 0))
    if len(rows_P) > _MOST_POINTS:
        chosen = rng.choice(len(rows_P), _MOST_POINTS, replace=False)
        rows_P, columns_P = rows_P[chosen], columns_P[chosen]
    points_P3 = np.stack([columns_P, rows_P, np.ones_like(rows_P)], axis=1).astype(np.float64)
    return points_P3, depth.depth_YX[rows_P, columns_P].astype(np.float64)


def _fit(points_P3: AnyArray, depth_P: AnyArray, distance: float, rng: np.random.Generator) -> AnyArray | None:
    """Coefficients of the plane for column, row and 1, (3,), or None where none holds enough points."""
    best_P = np.zeros(len(depth_P), dtype=bool)
    for three in rng.integers(len(depth_P), size=(_TRIALS, 3)):
        if abs(np.linalg.det(points_P3[three])) < 1:  # twice the triangle's area in pixels: on one line
            continue
        plane = np.linalg.solve(points_P3[three], 1 / depth_P[three])
        is_on_P = _is_near(points_P3 @ plane, depth_P, distance)
        if is_on_P.sum() > best_P.sum():
            best_P = is_on_P
    if best_P.sum() < _LEAST_SHARE * len(depth_P):
        return None
    fitted: AnyArray = np.linalg.lstsq(points_P3[best_P], 1 / depth_P[best_P])[0]
    return fitted


def _is_near(inverse: AnyArray, depth: AnyArray, distance: float) -> AnyArray:
    with np.errstate(divide="ignore"):
        near: AnyArray = np.abs(1 / inverse - depth) <= distance
    return near
