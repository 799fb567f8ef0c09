"""What a model version says of a picture that is embedded: whom to ask, and what the answers mean.

No picture is decoded here and no bank row is touched, so that whoever does that, in this process or on a cluster, gets
the same verdict.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from eagleray.arrays import Floats, Pixels
from eagleray.errors import UnknownClass
from eagleray.experts import ScoringConfig, image_score, overlay
from eagleray.metrics import Threshold, anomaly_map, p_value, threshold

_BLUR = 4.0
"""Gaussian blur of heat maps in pixels of the resized picture, as in PatchCore; it grows with the picture."""
ROUTES_SHOWN = 3

Verdict = Literal["good", "anomalous", "unknown"]


@dataclass(frozen=True, slots=True)
class Route:
    """One class that a picture could be of."""

    category: str
    expert: int
    distance: float
    """To the class's nearest typical picture; lower is closer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one expert is asked of a picture."""

    expert: int
    digests: tuple[str, ...]
    """Blobs to score the patches against; of several scores of a patch the smallest counts."""
    weight: float
    """Share of this expert's patch scores in the picture's; the shares of a plan sum to 1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a picture belongs, and whom to ask about it."""

    category: str
    """The class it is judged as."""
    asks: tuple[Ask, ...]
    routing: tuple[Route, ...]
    """The closest classes, closest first; empty where the category was given."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a model says of one picture."""

    score: float
    """Higher is more anomalous."""
    p_value: float
    """Against held-out good pictures of the category; lower is more anomalous."""
    anomalous: bool | None
    """Whether the score is above the threshold; None where the product is unknown, for then the score means nothing."""
    threshold: Threshold
    category: str
    """The class that the picture was compared with: the closest one, where the product is unknown."""
    expert: int
    routing: tuple[Route, ...]
    """The closest classes, closest first; empty where the category was given."""
    patch_scores_HW: Floats = field(repr=False)
    patch_limit: float
    """Patch score from which on a patch is worth a look; a picture anomalous as a whole may have no such patch."""
    novelty: float | None
    """Distance to the closest class by the distance up to which its products lie; above 1 the product is unknown.

    None where the category was given, or the model cannot tell.
    """

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        if self.anomalous is None:
            return "unknown"
        return "anomalous" if self.anomalous else "good"


@dataclass(frozen=True, slots=True)
class KnownClass:
    """A class that a model knows, and what it rests on."""

    experts: tuple[int, ...]
    """Numbers of the experts that can be asked of it."""
    rows: int
    """Bank rows."""
    num_images: int
    """Good images learned."""
    good_N: Floats = field(repr=False)
    """Scores of held-out good images, where threshold and p-values come from."""


class Judge(abc.ABC):
    """One version of a model without what its experts learned; immutable, so that a verdict is of one version.

    Args:
        version: number in the store.
        classes: what the model knows, by name.
        image_size: pixels of the square that pictures are resized to.
        scoring: how a picture's score follows from its patches.
        false_alarm_rate: share of good pictures that may be flagged, in (0, 1); each finding's threshold tells what is
            attained.

    Raises:
        ConfigError: the rate is not in (0, 1).
    """

    def __init__(
        self,
        version: int,
        classes: Mapping[str, KnownClass],
        *,
        image_size: int,
        scoring: ScoringConfig,
        false_alarm_rate: float,
    ) -> None:
        self.version, self.classes = version, dict(sorted(classes.items()))
        self.image_size, self.false_alarm_rate = image_size, false_alarm_rate
        self._scoring = scoring
        self.thresholds = {name: threshold(known.good_N, false_alarm_rate) for name, known in self.classes.items()}

    @property
    def categories(self) -> tuple[str, ...]:
        """Classes that the model knows, sorted by name."""
        return tuple(self.classes)

    @abc.abstractmethod
    def plan(self, patches_HWD: Floats, category: str | None = None) -> Plan:
        """Find the class of a picture and the experts to ask.

        Args:
            patches_HWD: the picture's patch embeddings.
            category: the class it shows, where that is known; else the picture itself decides.

        Raises:
            UnknownClass: the model does not know the category.
        """

    def finding(self, plan: Plan, grids: Sequence[Floats]) -> Finding:
        """Judge a picture by the patch scores (H, W) that each ask of its plan came back with, in order.

        Several experts' scores are added by their weights, as in Adapted-MoE eq. 4.
        """
        weighted = [np.float32(ask.weight) * grid_HW for ask, grid_HW in zip(plan.asks, grids, strict=True)]
        patch_scores_HW: Floats = weighted[0] if len(weighted) == 1 else np.sum(weighted, axis=0)
        limit, good_N = self.thresholds[plan.category], self.classes[plan.category].good_N
        score = image_score(patch_scores_HW, self._scoring)
        novelty = self._novelty(plan)
        return Finding(
            score=score,
            p_value=float(p_value(score, good_N)),
            anomalous=score > limit.value if novelty is None or novelty <= 1 else None,
            threshold=limit,
            category=plan.category,
            expert=plan.asks[0].expert,
            routing=plan.routing,
            patch_scores_HW=patch_scores_HW,
            patch_limit=float(good_N.max()),
            novelty=novelty,
        )

    def heat_map(self, picture_YX3: Pixels, finding: Finding) -> Pixels:
        """The picture, in its own size, with what was found in it laid over in colour."""
        size = picture_YX3.shape[:2]
        map_YX = anomaly_map(finding.patch_scores_HW, size, sigma=_BLUR * max(size) / self.image_size)
        return overlay(picture_YX3, map_YX, limit=finding.patch_limit)

    def check_category(self, category: str) -> None:
        """Raise UnknownClass unless the model knows a class of this name."""
        if category not in self.classes:
            raise UnknownClass(category, self.categories, f"version {self.version} of the model")

    @abc.abstractmethod
    def _novelty(self, plan: Plan) -> float | None:
        """See `Finding.novelty`."""
