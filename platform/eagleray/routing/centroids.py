"""Similarity between a class and the experts (MECAD, section 3.3)."""

from collections.abc import Mapping

import numpy as np

from eagleray.arrays import Floats


def similarities(class_centroid_D: Floats, expert_centroids: Mapping[int, Floats]) -> dict[int, float]:
    """Cosine similarity of a class's centroid with the centroid of each expert's memory, in [-1, 1].

    Source: MECAD eq. 1.
    """
    if not expert_centroids:
        return {}
    class_D = class_centroid_D.astype(np.float64)
    centroids_ED = np.stack([*expert_centroids.values()]).astype(np.float64)
    lengths_E = np.linalg.norm(centroids_ED, axis=1) * np.linalg.norm(class_D)
    # Not a product of matrices, whose sums would depend on BLAS and its threads.
    cosines_E = (centroids_ED * class_D).sum(axis=1) / np.maximum(lengths_E, np.finfo(np.float64).tiny)
    cosines_E = cosines_E.clip(-1, 1)  # rounding may lift one above, and a threshold of 1 means never
    return dict(zip(expert_centroids, cosines_E.tolist(), strict=True))
