"""How far points lie at least, from a few numbers of each: the index that routing among many classes goes through.

A point is kept as its coordinates along a few orthonormal directions and the length of what they leave of it. The
lengths of two rests differ by no more than the rests, so two such codes lie no farther apart than their points: whoever
leaves out the points whose bound is too large leaves out none that matters. That holds for any directions; the
principal ones make the bounds tight (the lower bounding of Faloutsos et al. 1994, GEMINI).
"""

import numpy as np

from eagleray.arrays import AnyArray, Floats

_SAMPLE = 2048
_BLOCK_ROWS = 4096


class DistanceBounds:
    """Codes of many points, for lower bounds of their distances to any other.

    Args:
        points_MD: at least one point.
        num_directions: directions of a code; the more, the tighter the bounds and the slower.
    """

    def __init__(self, points_MD: Floats, *, num_directions: int = 32) -> None:
        sample_SD = points_MD[:: -(-len(points_MD) // _SAMPLE)].astype(np.float64)
        self._centre_D = sample_SD.mean(axis=0)
        sample_SD -= self._centre_D
        self._directions_DJ = np.ascontiguousarray(np.linalg.eigh(sample_SD.T @ sample_SD)[1][:, -num_directions:])
        blocks = range(0, len(points_MD), _BLOCK_ROWS)
        self._codes_MJ = np.concatenate([self._encode(points_MD[i : i + _BLOCK_ROWS]) for i in blocks])
        self._squares_M = np.square(self._codes_MJ).sum(axis=1)
        self._longest = float(np.sqrt(self._squares_M.max()))

    def squares(self, point_D: Floats) -> Floats:
        """Lower bounds (M,) of the squared distances of all points to this one; some may be negative.

        They lie lower by more than rounding can lift them, and lift distances taken in single precision above the
        true ones: a sum of D products for each.
        """
        code_J = self._encode(point_D[None])[0]
        square = float(code_J @ code_J)
        slack = 4 * len(point_D) * np.finfo(np.float32).eps * (self._longest + square**0.5) ** 2
        bounds_M: Floats = self._squares_M - 2 * (self._codes_MJ @ code_J)
        bounds_M += np.float32(square - slack)
        return bounds_M

    def _encode(self, points_ND: AnyArray) -> Floats:
        """Coordinates and length of the rest (N, J); in double precision, because a rest is a difference."""
        centred_ND = points_ND.astype(np.float64) - self._centre_D
        along_NJ = centred_ND @ self._directions_DJ
        rest_N = np.square(centred_ND).sum(axis=1) - np.square(along_NJ).sum(axis=1)
        codes_NJ: Floats = np.column_stack([along_NJ, np.sqrt(rest_N.clip(0))]).astype(np.float32)
        return codes_NJ
