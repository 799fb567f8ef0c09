"""Similarity between a class and the experts (MECAD, section 3.3)."""

from collections.abc import Mapping

import numpy as np

from eagleray.arrays import Floats


def similarities(class_centroid_D: Floats, expert_centroids: Mapping[int, Floats]) -> dict[int, float]:
    """Cosine similarity of a class's centroid with the centroid of each expert's memory, in [-1, 1].

    Source: MECAD eq. 1.
    """
    return {expert: _cosine(class_centroid_D, centroid_D) for expert, centroid_D in expert_centroids.items()}


def _cosine(a_D: Floats, b_D: Floats) -> float:
    a, b = a_D.astype(np.float64), b_D.astype(np.float64)
    cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float64).tiny)
    return float(np.clip(cosine, -1, 1))  # rounding may lift it above, and a threshold of 1 means never
