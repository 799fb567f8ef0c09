"""Whether an image shows any product that was taught: how far from its class it may lie."""

from collections.abc import Mapping

import numpy as np

from eagleray.arrays import Floats


def novelty_limits(routing_distances_N: Mapping[str, Floats], centroids_D: Mapping[str, Floats]) -> dict[str, float]:
    """Distance to its nearest prototype above which an image routed to a class shows no known product.

    The limit is halfway between the class's farthest held-out good image and the typical distance of two products (root
    mean square over all pairs), and never below twice that farthest image. It is generous on purpose: defects shift a
    mean embedding too, by an amount that has nothing to do with how little the good images of their class vary.

    Args:
        routing_distances_N: by class, distances of held-out good images to the nearest of the class's prototypes.
        centroids_D: by class, the mean patch embedding; of every class in the model.

    Returns:
        The limit of each class in `routing_distances_N`; infinity, so that nothing is unknown, for a class without
        such distances and for all where the model knows a single class.
    """
    if len(centroids_D) < 2:
        return dict.fromkeys(routing_distances_N, float("inf"))
    apart = _typical_distance(np.stack([centroids_D[name] for name in sorted(centroids_D)]))
    return {name: _limit(distances_N, apart) for name, distances_N in routing_distances_N.items()}


def _limit(distances_N: Floats, apart: float) -> float:
    if not distances_N.size:
        return float("inf")
    farthest = float(distances_N.max())
    return max(2 * farthest, (farthest + apart) / 2)


def _typical_distance(points_CD: Floats) -> float:
    """Root mean square distance of two of the points; over all pairs the mean square is twice the variance."""
    return float(np.sqrt(2 * np.var(points_CD, axis=0, ddof=1, dtype=np.float64).sum()))
