"""From patch scores to one score for the picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eagleray.arrays import Floats
from eagleray.banks import ClassBank, Whitening
from eagleray.config import check_at_least, check_share

_SCALE_FLOOR = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringConfig:
    """How a picture's score follows from its patches and from its appearance as a whole."""

    top_share: float = 0.02
    """Share of a picture's patches, the most anomalous ones, whose mean is its score; 0 is the plain maximum."""
    global_weight: float = 0.5
    """Weight of the image-level score beside the patches'; both in standard deviations of good pictures."""

    def __post_init__(self) -> None:
        check_share("--scoring.top-share", self.top_share)
        check_at_least("--scoring.global-weight", self.global_weight, 0)


class ImageScorer:
    """One score for a picture that is taken to show one class; needs the class's calibration, not its rows.

    With an appearance the score is z(patches) + weight * z(appearance): each in standard deviations above the mean of
    held-out good pictures, so that neither outweighs the other by its unit. Without one it is the patches' score as it
    is, for the top share of 0 the maximum of MECAD eq. 4.
    """

    def __init__(self, bank: ClassBank, config: ScoringConfig) -> None:
        self._bank, self._config = bank, config

    def score(self, patch_scores_HW: Floats, mean_D: Floats) -> float:
        """Score of one picture from its patch scores and its mean patch embedding; higher is more anomalous."""
        patches = image_score(patch_scores_HW, self._config)
        if self._bank.appearance is None:
            return patches
        return float(self._joined(patches, appearance_score(mean_D, self._bank.appearance)))

    @property
    def good_scores_N(self) -> Floats:
        """Scores of the held-out good pictures that thresholds and p-values come from."""
        patches_N: Floats = self._bank.calibration_LN[-1]
        if self._bank.appearance is None:
            return patches_N
        return self._joined(patches_N, self._bank.appearance_N).astype(np.float32)

    @property
    def patch_limit(self) -> float:
        """Patch score from which on a patch is worth a look: the highest score of a held-out good picture."""
        return float(self._bank.calibration_LN[-1].max())

    def _joined(self, patches: ArrayLike, appearance: ArrayLike) -> NDArray[np.float64]:
        patches_z = _standardised(patches, self._bank.calibration_LN[-1])
        return patches_z + self._config.global_weight * _standardised(appearance, self._bank.appearance_N)


def image_score(patch_scores_HW: Floats, config: ScoringConfig) -> float:
    """Patch-level score of one picture: the mean of its most anomalous patches; higher is more anomalous."""
    scores_P = patch_scores_HW.ravel()
    num_top = max(1, round(config.top_share * len(scores_P)))
    return float(np.partition(scores_P, -num_top)[-num_top:].mean())


def appearance_score(mean_D: Floats, appearance: Whitening) -> float:
    """Image-level score: shrunken Mahalanobis distance of a mean embedding to the class's; higher is more anomalous."""
    return float(np.linalg.norm(appearance.apply(mean_D[None])[0]))


def _standardised(scores: ArrayLike, good_N: Floats) -> NDArray[np.float64]:
    """Standard deviations above the good pictures' mean; the floor is for a handful of pictures that are all alike."""
    mean = float(good_N.mean(dtype=np.float64))
    scale = float(good_N.std(dtype=np.float64)) + _SCALE_FLOOR * mean
    return (np.asarray(scores, np.float64) - mean) / max(scale, np.finfo(np.float64).tiny)
