"""Whitening: directions in which a class's good patches vary anyway count less.

A plain distance lets the few directions of largest natural variation (lighting, texture phase) drown a defect that
stands out in a quiet one. Distances after whitening are Mahalanobis distances with a shrunken, low-rank covariance.

Shapes, beside the legend of eagleray.arrays: J directions kept.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eagleray.arrays import AnyArray, Floats
from eagleray.threads import limit_blas

_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Whitening:
    """Mean and variances of embeddings, and the linear map that evens the variances out."""

    mean_D: Floats
    directions_DJ: Floats
    """Orthonormal directions of largest variance."""
    variances_J: Floats
    """Variance along each of them."""
    rest_variance: float
    """Mean variance along all other directions."""
    shrinkage: float
    """Share of the mean variance in each direction's, in (0, 1]; 1 evens out nothing."""

    @property
    def num_directions(self) -> int:
        """Directions with a gain of their own."""
        return int(self.directions_DJ.shape[1])

    def apply(self, patches_ND: AnyArray) -> Floats:
        """Whitened embeddings (N, D)."""
        gains_J, rest_gain = self._gains()
        centred_ND = patches_ND.astype(np.float32) - self.mean_D
        along_NJ = centred_ND @ self.directions_DJ
        along_NJ *= gains_J - rest_gain
        centred_ND *= rest_gain
        centred_ND += along_NJ @ self.directions_DJ.T
        return centred_ND

    def undo(self, whitened_ND: Floats) -> Floats:
        """The embeddings (N, D) that `apply` made these of."""
        gains_J, rest_gain = self._gains()
        along_NJ = whitened_ND @ self.directions_DJ
        along_NJ *= 1 / gains_J - 1 / rest_gain
        along_NJ = along_NJ.astype(np.float32)
        return (self.mean_D + whitened_ND / rest_gain + along_NJ @ self.directions_DJ.T).astype(np.float32)

    def covariance(self) -> NDArray[np.float64]:
        """The covariance (D, D) that this whitening stands for."""
        directions_DJ = self.directions_DJ.astype(np.float64)
        excess_J = self.variances_J.astype(np.float64) - self.rest_variance
        return (directions_DJ * excess_J) @ directions_DJ.T + self.rest_variance * np.eye(len(self.mean_D))

    def _gains(self) -> tuple[Floats, np.float32]:
        """Factors that scale each direction to the shrunken variance, the mean variance staying what it is.

        A variance v counts as (1 - shrinkage) v + shrinkage * mean(v), as in a shrunken Mahalanobis distance.
        """
        dim, kept = self.directions_DJ.shape
        middle = (float(self.variances_J.sum(dtype=np.float64)) + (dim - kept) * self.rest_variance) / dim
        if middle == 0:  # one and the same patch everywhere
            return np.ones(kept, np.float32), np.float32(1)
        gains = np.sqrt(
            middle / ((1 - self.shrinkage) * np.append(self.variances_J, self.rest_variance) + self.shrinkage * middle)
        ).astype(np.float32)
        return gains[:-1], gains[-1]


def fit_whitening(
    shards: Iterable[AnyArray],
    *,
    num_directions: int,
    shrinkage: float,
    known: Whitening | None = None,
    known_count: int = 0,
) -> Whitening:
    """Estimate mean and covariance of embeddings, keeping the directions of largest variance.

    Variances beyond the `num_directions` largest are replaced by their mean, so the map stays small: a few vectors, and
    the same number for all other directions.

    Args:
        shards: embeddings (n, D) each; read once.
        num_directions: at most D, and fewer where there are fewer embeddings.
        shrinkage: see `Whitening`.
        known: an earlier estimate, of `known_count` other embeddings, that these join.
        known_count: weight of `known`.
    """
    moments = _moments(shards)
    if known is not None:
        moments = _joined(moments, (known_count, known.mean_D.astype(np.float64), known.covariance()))
    return _whitening(moments, num_directions, shrinkage)


def pool_whitenings(parts: Sequence[tuple[Whitening, int]]) -> Whitening:
    """The whitening of all embeddings behind several estimates, as if seen together.

    Args:
        parts: at least one estimate, each with the number of embeddings it stands for.
    """
    moments = [(count, part.mean_D.astype(np.float64), part.covariance()) for part, count in parts]
    first, _ = parts[0]
    return _whitening(functools.reduce(_joined, moments), first.num_directions, first.shrinkage)


_Moments: TypeAlias = tuple[int, NDArray[np.float64], NDArray[np.float64]]
"""Count, mean (D,) and covariance (D, D)."""


def _whitening(moments: _Moments, num_directions: int, shrinkage: float) -> Whitening:
    count, mean_D, covariance_DD = moments
    with limit_blas(1):
        variances_D, directions_DD = np.linalg.eigh(covariance_DD)
    variances_D = np.clip(variances_D, 0, None)
    rest = len(variances_D) - max(1, min(num_directions, count - 1, len(variances_D)))
    return Whitening(
        mean_D.astype(np.float32),
        np.ascontiguousarray(directions_DD[:, rest:], dtype=np.float32),
        variances_D[rest:].astype(np.float32),
        float(variances_D[:rest].mean()) if rest else 0.0,
        shrinkage,
    )


def _joined(ours: _Moments, theirs: _Moments) -> _Moments:
    """Moments of two sets together."""
    our_count, our_mean_D, our_covariance_DD = ours
    their_count, their_mean_D, their_covariance_DD = theirs
    weight = their_count / (our_count + their_count)
    shift_D = their_mean_D - our_mean_D
    covariance_DD = (1 - weight) * our_covariance_DD + weight * their_covariance_DD
    covariance_DD += weight * (1 - weight) * np.outer(shift_D, shift_D)
    return our_count + their_count, our_mean_D + weight * shift_D, covariance_DD


def _moments(shards: Iterable[AnyArray]) -> _Moments:
    """Moments, summed in double precision, block by block in the order given."""
    count, total, products = 0, np.zeros(()), np.zeros(())
    with limit_blas(1):
        for shard_ND in shards:
            for first in range(0, len(shard_ND), _BLOCK_ROWS):
                block_BD = shard_ND[first : first + _BLOCK_ROWS].astype(np.float64)
                count += len(block_BD)
                total = total + block_BD.sum(axis=0)
                products = products + block_BD.T @ block_BD
    mean_D = total / count
    return count, mean_D, products / count - np.outer(mean_D, mean_D)
