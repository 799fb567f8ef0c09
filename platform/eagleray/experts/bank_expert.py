"""An expert that remembers good patches and scores by the distance to the nearest one."""

from eagleray.arrays import Floats
from eagleray.banks import NearestRows


class BankExpert:
    """Scores pictures against bank rows (MECAD eq. 4 before its maximum)."""

    def __init__(self, rows_MD: Floats, *, num_threads: int = 1) -> None:
        self._nearest = NearestRows(rows_MD, num_threads=num_threads)

    def patch_scores(self, patches_HWD: Floats) -> Floats:
        """Distance of every patch of one picture to its nearest row, (H, W); higher is more anomalous."""
        height, width, dim = patches_HWD.shape
        distances_PK, _ = self._nearest.search(patches_HWD.reshape(-1, dim), 1)
        return distances_PK.reshape(height, width)
