"""Settings of a mixture that no network has: how many subclasses, rows and held-out pictures, and what is studied."""

from dataclasses import dataclass

from eagleray.config import check_at_least
from eagleray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureConfig:
    """How a category's mixture is built."""

    subclasses: int = 0
    """Subclasses of a category whose data name none, found by k-means; 0 lets the silhouette decide."""
    holdout_share: float = 0.2
    """Share of each subclass's good pictures that only set scales and thresholds."""
    rows: int = 2400
    """Bank rows of a category, over all its experts."""
    directions: int = 16
    """Of adaption by subspace: in how many directions good pictures may differ."""
    evidence_folds: int = 3
    """Subclasses left out in turn to choose a design, the ones farthest from the others."""
    evidence_images: int = 16
    """Good pictures of each, each once as it is and once with a synthetic anomaly."""

    def __post_init__(self) -> None:
        check_at_least("--mixture.subclasses", self.subclasses, 0)
        check_at_least("--mixture.rows", self.rows, 2)
        check_at_least("--mixture.directions", self.directions, 1)
        check_at_least("--mixture.evidence-folds", self.evidence_folds, 1)
        check_at_least("--mixture.evidence-images", self.evidence_images, 2)
        if not 0 < self.holdout_share < 1:
            raise ConfigError("--mixture.holdout-share", "between 0 and 1", self.holdout_share)
