"""What every expert can do, whatever it learned with: score the patches of a picture."""

from typing import Protocol

from eagleray.arrays import Floats


class Expert(Protocol):
    """Scores pictures of the classes it knows."""

    def patch_scores(self, patches_HWD: Floats) -> Floats:
        """Anomaly score of every patch of one picture, (H, W); higher is more anomalous."""
        ...
