"""Which class an image shows, from the image alone."""

from collections.abc import Mapping

import numpy as np

from eagleray.arrays import Bools, Floats, Ints
from eagleray.routing.bounds import DistanceBounds
from eagleray.threads import limit_blas

_INDEXED = 1000
"""Prototypes from which on there is an index. BLAS would spread a product with as many over threads, and where cores
are busy those wait for each other for milliseconds."""
_FEW = 1 / 8
"""Share of the classes up to which a close look at each costs less than one product with the prototypes of all."""


class PrototypeRouter:
    """Nearest prototype: the class with the cluster of images whose centre is closest to this one's mean embedding.

    Exact, however many classes there are: what is looked at closely is chosen by bounds that leave out no class that
    belongs to the answer.
    """

    def __init__(self, prototypes_KD: Mapping[str, Floats]) -> None:
        self._names: list[str] = sorted(prototypes_KD)
        self._rows_MD = np.concatenate([prototypes_KD[name] for name in self._names])
        sizes_C = np.array([len(prototypes_KD[name]) for name in self._names])
        self._first_C: Ints = np.cumsum(sizes_C) - sizes_C
        self._class_M = np.repeat(np.arange(len(sizes_C)), sizes_C)
        self._half_squares_M = np.square(self._rows_MD).sum(axis=1) / 2
        self._longest = float(np.sqrt(2 * self._half_squares_M.max()))
        self._bounds: DistanceBounds | None = None
        if len(self._rows_MD) >= _INDEXED:
            with limit_blas(1):
                self._bounds = DistanceBounds(self._rows_MD)

    def nearest(self, mean_D: Floats, count: int) -> list[tuple[str, float]]:
        """The closest classes with their Euclidean distances, closest first, equally close ones by name.

        Args:
            mean_D: an image's mean embedding.
            count: how many classes, at least one; where there are fewer, all.
        """
        near_N, distances_N = self._distances(self._may_be_near(mean_D, count), mean_D)
        order_N = np.argsort(distances_N, kind="stable")[:count]  # classes lie in order of name
        return [(self._names[near_N[i]], float(distances_N[i])) for i in order_N]

    def route(self, mean_D: Floats) -> str:
        """Name of the closest class; of equally close ones the first by name."""
        return self.nearest(mean_D, 1)[0][0]

    def _distances(self, chosen_C: Bools, mean_D: Floats) -> tuple[Ints, Floats]:
        """Numbers of the chosen classes, rising, and the distance of each: that to its nearest prototype."""
        rows_M = np.flatnonzero(chosen_C[self._class_M])
        distances_M = np.linalg.norm(self._rows_MD[rows_M] - mean_D, axis=1)
        near_N, first_N = np.unique(self._class_M[rows_M], return_index=True)
        return near_N, np.minimum.reduceat(distances_M, first_N)

    def _may_be_near(self, mean_D: Floats, count: int) -> Bools:
        """Classes (C,) that can be among the closest `count`."""
        last = min(count, len(self._names)) - 1
        if self._bounds is None:
            return self._near_by_product(mean_D, last)
        with limit_blas(1):
            near_C = self._near_by_bounds(self._bounds, mean_D, last)
            return near_C if near_C.mean() <= _FEW else self._near_by_product(mean_D, last)

    def _near_by_bounds(self, bounds: DistanceBounds, mean_D: Floats, last: int) -> Bools:
        """By the index: classes whose bounds are no larger than the distances of those with the smallest bounds."""
        squares_C = np.minimum.reduceat(bounds.squares(mean_D), self._first_C)
        promising_C = np.zeros(len(squares_C), bool)
        promising_C[np.argpartition(squares_C, last)[: last + 1]] = True
        reach = float(self._distances(promising_C, mean_D)[1].max())
        near_C: Bools = squares_C <= reach**2
        return near_C

    def _near_by_product(self, mean_D: Floats, last: int) -> Bools:
        """By one product with all prototypes.

        |r|^2 / 2 - r.x orders prototypes as |r - x| does, but rounds worse. The slack is more than rounding of a sum of
        D products can make of two such values and of two distances, so no class that belongs here is left out.
        """
        values_C = np.minimum.reduceat(self._half_squares_M - self._rows_MD @ mean_D, self._first_C)
        slack = 4 * len(mean_D) * np.finfo(np.float32).eps * (self._longest + float(np.linalg.norm(mean_D))) ** 2
        near_C: Bools = values_C <= np.partition(values_C, last)[last] + slack
        return near_C
