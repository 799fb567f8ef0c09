"""From patch scores to one score for the picture."""

from dataclasses import dataclass

import numpy as np

from eagleray.arrays import Floats
from eagleray.config import check_share


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringConfig:
    """How a picture's score follows from its patches."""

    top_share: float = 0.01
    """Share of a picture's patches, the most anomalous ones, whose mean is its score; 0 is the plain maximum."""

    def __post_init__(self) -> None:
        check_share("--scoring.top-share", self.top_share)


def image_score(patch_scores_HW: Floats, config: ScoringConfig) -> float:
    """Score of one picture: the mean of its most anomalous patches; higher is more anomalous.

    With a top share of 0 it is the maximum, MECAD eq. 4.
    """
    scores_P = patch_scores_HW.ravel()
    num_top = max(1, round(config.top_share * len(scores_P)))
    return float(np.partition(scores_P, -num_top)[-num_top:].mean())
