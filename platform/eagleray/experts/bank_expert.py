"""An expert that remembers good patches and scores by the distance to the nearest one."""

from eagleray.arrays import Floats
from eagleray.banks import NearestRows, Whitening


class BankExpert:
    """Scores pictures against bank rows (MECAD eq. 4 before its maximum)."""

    def __init__(self, rows_MD: Floats, whitening: Whitening | None = None, *, num_threads: int = 1) -> None:
        self._nearest = NearestRows(rows_MD, num_threads=num_threads)
        self._whitening = whitening

    def patch_scores(self, patches_HWD: Floats) -> Floats:
        """Distance of every patch of one picture to its nearest row, (H, W); higher is more anomalous."""
        height, width, dim = patches_HWD.shape
        patches_PD = patches_HWD.reshape(-1, dim)
        distances_PK, _ = self._nearest.search(self._whitening.apply(patches_PD) if self._whitening else patches_PD)
        return distances_PK.reshape(height, width)
