"""Whitening: directions in which a class's good patches vary anyway count less.

A plain distance lets the few directions of largest natural variation (lighting, texture phase) drown a defect that
stands out in a quiet one. Whitening with shrinkage is the Mahalanobis distance with a regularised covariance.

Shapes, beside the legend of eagleray.arrays: J directions kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from eagleray.arrays import AnyArray, Floats

_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Whitening:
    """A linear map of embeddings: gain of each kept direction, and one gain for all the rest."""

    mean_D: Floats
    directions_DJ: Floats
    """Orthonormal directions of largest variance."""
    gains_J: Floats
    """Factor along each kept direction."""
    rest_gain: float
    """Factor along all other directions."""

    def apply(self, patches_ND: AnyArray) -> Floats:
        """Whitened embeddings (N, D)."""
        centred_ND = patches_ND.astype(np.float32) - self.mean_D
        along_NJ = centred_ND @ self.directions_DJ
        along_NJ *= self.gains_J - np.float32(self.rest_gain)
        centred_ND *= np.float32(self.rest_gain)
        centred_ND += along_NJ @ self.directions_DJ.T
        return centred_ND

    def undo(self, whitened_ND: Floats) -> Floats:
        """The embeddings (N, D) that `apply` made these of."""
        along_NJ = whitened_ND @ self.directions_DJ
        rest_ND = whitened_ND - along_NJ @ self.directions_DJ.T
        along_ND = (along_NJ / self.gains_J) @ self.directions_DJ.T
        return np.asarray(self.mean_D + rest_ND / np.float32(self.rest_gain) + along_ND, dtype=np.float32)


def fit_whitening(shards: Iterable[AnyArray], *, num_directions: int, shrinkage: float) -> Whitening:
    """Estimate the whitening of one class.

    The covariance's eigenvalues v become (1 - shrinkage) v + shrinkage * mean(v); those beyond `num_directions` are
    replaced by their mean first, so that they share one gain. Gains are scaled so that the mean variance stays what
    it was, which keeps distances of different classes on one scale.

    Args:
        shards: patch embeddings (n, D) each; read once.
        num_directions: directions with a gain of their own; at most D.
        shrinkage: in (0, 1]; 1 leaves embeddings as they are but for the mean.
    """
    mean_D, covariance_DD = _moments(shards)
    with threadpool_limits(1, user_api="blas"):
        variances_D, directions_DD = np.linalg.eigh(covariance_DD)
    variances_D = np.clip(variances_D, 0, None)
    kept = min(num_directions, len(variances_D))
    rest = variances_D[: len(variances_D) - kept]
    middle = float(variances_D.mean())
    gains_J = _gains(variances_D[len(variances_D) - kept :], middle, shrinkage)
    rest_gain = _gains(rest.mean(keepdims=True), middle, shrinkage)[0] if rest.size else 1.0
    directions_DJ = directions_DD[:, len(variances_D) - kept :]
    return Whitening(
        mean_D.astype(np.float32), directions_DJ.astype(np.float32), gains_J.astype(np.float32), float(rest_gain)
    )


def _gains(variances: NDArray[np.float64], middle: float, shrinkage: float) -> NDArray[np.float64]:
    if middle == 0:  # one and the same patch everywhere
        return np.ones_like(variances)
    return np.sqrt(middle / ((1 - shrinkage) * variances + shrinkage * middle))


def _moments(shards: Iterable[AnyArray]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and covariance (D, D), summed in double precision, block by block in the order given."""
    count, total, products = 0, np.zeros(()), np.zeros(())
    with threadpool_limits(1, user_api="blas"):
        for shard_ND in shards:
            for first in range(0, len(shard_ND), _BLOCK_ROWS):
                block_BD = shard_ND[first : first + _BLOCK_ROWS].astype(np.float64)
                count += len(block_BD)
                total = total + block_BD.sum(axis=0)
                products = products + block_BD.T @ block_BD
    mean_D = total / count
    return mean_D, products / count - np.outer(mean_D, mean_D)
