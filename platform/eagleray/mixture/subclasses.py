"""Subclasses where the data name none: clusters of the pictures' mean patches."""

import numpy as np

from eagleray.arrays import Floats, Ints
from eagleray.threads import limit_threads

_MOST = 8
_LEAST_PICTURES = 8
"""An expert with fewer pictures learns those, not the subclass."""
_DISTINCT = 0.15
"""Silhouette below which clusters are cuts through one cloud: then there is one subclass."""


def find_subclasses(means_ND: Floats, *, num_subclasses: int = 0, seed: int) -> Ints:
    """Number of the subclass of each picture, from 0, by k-means.

    Args:
        means_ND: mean patch of each picture.
        num_subclasses: how many; 0 takes, of 2 to 8 clusters with at least eight pictures each, those with the
            largest mean silhouette, and one where even that is below 0.15.
        seed: of the first centres.
    """
    from sklearn.cluster import KMeans  # takes two seconds to import
    from sklearn.metrics import silhouette_score

    def clusters(number: int) -> Ints:
        with limit_threads(1):  # sums, and so a picture at the border, would depend on the threads
            labels: Ints = KMeans(number, n_init=10, random_state=seed).fit_predict(means_ND).astype(np.int64)
        return labels

    if num_subclasses:
        return clusters(min(num_subclasses, len(means_ND)))
    if len(means_ND) < 2 * _LEAST_PICTURES:
        return np.zeros(len(means_ND), np.int64)
    best, found = _DISTINCT, np.zeros(len(means_ND), np.int64)
    for number in range(2, _MOST + 1):
        labels = clusters(number)
        if np.bincount(labels, minlength=number).min() < _LEAST_PICTURES:  # none, where pictures repeat
            continue
        score = float(silhouette_score(means_ND, labels))
        if score > best:
            best, found = score, labels
    return found
