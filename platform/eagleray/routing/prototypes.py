"""Which class an image shows, from the image alone."""

from collections.abc import Mapping

import numpy as np

from eagleray.arrays import Bools, Floats, Ints


class PrototypeRouter:
    """Nearest prototype: the class with the cluster of images whose centre is closest to this one's mean embedding."""

    def __init__(self, prototypes_KD: Mapping[str, Floats]) -> None:
        self._names: list[str] = sorted(prototypes_KD)
        self._rows_MD = np.concatenate([prototypes_KD[name] for name in self._names])
        sizes_C = np.array([len(prototypes_KD[name]) for name in self._names])
        self._first_C: Ints = np.cumsum(sizes_C) - sizes_C
        self._class_M = np.repeat(np.arange(len(sizes_C)), sizes_C)
        self._half_squares_M = np.square(self._rows_MD).sum(axis=1) / 2
        self._longest = float(np.sqrt(2 * self._half_squares_M.max()))

    def nearest(self, mean_D: Floats, count: int) -> list[tuple[str, float]]:
        """The closest classes with their Euclidean distances, closest first, equally close ones by name.

        Args:
            mean_D: an image's mean embedding.
            count: how many classes, at least one; where there are fewer, all.
        """
        rows_M = np.flatnonzero(self._may_be_near(mean_D, count)[self._class_M])
        distances_M = np.linalg.norm(self._rows_MD[rows_M] - mean_D, axis=1)
        near_C, first_C = np.unique(self._class_M[rows_M], return_index=True)
        distances_C = np.minimum.reduceat(distances_M, first_C)
        order_C = np.argsort(distances_C, kind="stable")[:count]  # classes lie in order of name
        return [(self._names[near_C[i]], float(distances_C[i])) for i in order_C]

    def route(self, mean_D: Floats) -> str:
        """Name of the closest class; of equally close ones the first by name."""
        return self.nearest(mean_D, 1)[0][0]

    def _may_be_near(self, mean_D: Floats, count: int) -> Bools:
        """Classes (C,) that can be among the closest `count`, by one product with all prototypes.

        |r|^2 / 2 - r.x orders prototypes as |r - x| does, but rounds worse. The slack is more than rounding of a sum of
        D products can make of two such values and of two distances, so no class that belongs here is left out.
        """
        values_C = np.minimum.reduceat(self._half_squares_M - self._rows_MD @ mean_D, self._first_C)
        last = min(count, len(values_C)) - 1
        slack = 4 * len(mean_D) * np.finfo(np.float32).eps * (self._longest + float(np.linalg.norm(mean_D))) ** 2
        near_C: Bools = values_C <= np.partition(values_C, last)[last] + slack
        return near_C
