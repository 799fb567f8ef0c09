"""Which class an image shows, from the image alone."""

from collections.abc import Mapping

import numpy as np

from eagleray.arrays import Floats


class PrototypeRouter:
    """Nearest prototype: the class with the cluster of images whose centre is closest to this one's mean embedding."""

    def __init__(self, prototypes_KD: Mapping[str, Floats]) -> None:
        self._names: list[str] = sorted(prototypes_KD)
        self._rows_MD = np.concatenate([prototypes_KD[name] for name in self._names])
        self._class_M = np.repeat(np.arange(len(self._names)), [len(prototypes_KD[name]) for name in self._names])

    def distances(self, mean_D: Floats) -> dict[str, float]:
        """Euclidean distance of an image's mean embedding to the nearest prototype of each class; lower is closer."""
        distances_M = np.linalg.norm(self._rows_MD - mean_D, axis=1)
        return {name: float(distances_M[self._class_M == i].min()) for i, name in enumerate(self._names)}

    def route(self, mean_D: Floats) -> str:
        """Name of the closest class; of equally close ones the first by name."""
        distances_M = np.linalg.norm(self._rows_MD - mean_D, axis=1)
        return self._names[int(self._class_M[distances_M.argmin()])]
