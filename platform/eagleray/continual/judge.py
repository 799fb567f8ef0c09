"""What a model version says of a picture that is embedded: whom to ask, and what the answers mean.

No picture is decoded here and no bank row is touched, so that whoever does that, in this process or on a cluster, gets
the same verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from eagleray.arrays import Floats, Pixels
from eagleray.config import from_json
from eagleray.continual.learner import MODEL_KIND
from eagleray.continual.model import Model
from eagleray.errors import StoreCorrupt, StoreError, StoreMissing, UnknownClass
from eagleray.experts import ScoringConfig, image_score, overlay
from eagleray.features import Extractor, FeaturesConfig
from eagleray.metrics import Threshold, anomaly_map, p_value, threshold
from eagleray.routing import novelty_limits
from eagleray.storage import Manifest, ModelStore

_BLUR = 4.0
"""Gaussian blur of heat maps in pixels of the resized picture, as in PatchCore; it grows with the picture."""
_ROUTES_SHOWN = 3

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


class Judge:
    """One version of a model without its bank rows; immutable, so that a verdict is of one version altogether.

    Args:
        model: which banks, and which class a picture is of.
        image_size: pixels of the square that pictures are resized to.
        scoring: how a picture's score follows from its patches.
        false_alarm_rate: share of good pictures that may be flagged, in (0, 1); each finding's threshold tells what is
            attained.

    Raises:
        ConfigError: the rate is not in (0, 1).
    """

    def __init__(self, model: Model, *, image_size: int, scoring: ScoringConfig, false_alarm_rate: float) -> None:
        self.model, self.image_size, self.false_alarm_rate = model, image_size, false_alarm_rate
        self._scoring = scoring
        self._router = model.router()
        self._good_N = {name: stored.bank.calibration_N for name, stored in model.banks.items()}
        self.thresholds = {name: threshold(scores_N, false_alarm_rate) for name, scores_N in self._good_N.items()}
        self._reach = novelty_limits(
            {name: stored.bank.routing_distances_N for name, stored in model.banks.items()},
            {name: stored.bank.centroid_D for name, stored in model.banks.items()},
        )

    @classmethod
    def open(
        cls, store: ModelStore, manifest: Manifest, *, false_alarm_rate: float, previous: "Judge | None" = None
    ) -> "Judge":
        """Load a version from the store; every blob's hash is checked, but those that `previous` knows.

        Raises:
            StoreError: the model cannot be read, knows no class, or is of a kind that has no banks.
            ConfigError: the false-alarm rate is not in (0, 1).
        """
        if not manifest.classes:
            raise StoreMissing(store.uri, "the model knows no class yet; learn one, or choose another version")
        if manifest.kind != MODEL_KIND:
            raise StoreError(store.uri, f"holds a model of kind {manifest.kind!r}, not {MODEL_KIND!r}; use its own job")
        _check_complete(store, manifest)
        known = {stored.digest: stored for stored in previous.model.banks.values()} if previous else {}
        return cls(
            Model.load(store, manifest, known),
            image_size=from_json(FeaturesConfig, _without_hash(manifest)).image_size,
            scoring=from_json(ScoringConfig, manifest.config["scoring"]),
            false_alarm_rate=false_alarm_rate,
        )

    @property
    def version(self) -> int:
        """Number of the version in the store."""
        return self.model.version

    @property
    def categories(self) -> tuple[str, ...]:
        """Classes that the model knows, sorted by name."""
        return tuple(sorted(self.model.banks))

    def plan(self, mean_D: Floats, category: str | None = None) -> Plan:
        """Find the class of a picture and the experts to ask.

        Args:
            mean_D: the picture's mean patch embedding.
            category: the class it shows, where that is known; else the picture itself decides.

        Raises:
            UnknownClass: the model does not know the category.
        """
        if category is not None:
            self.check_category(category)
            return Plan(category, self._asks(category), ())
        nearest = self._router.nearest(mean_D, _ROUTES_SHOWN)
        routing = tuple(Route(name, self.model.experts[name], distance) for name, distance in nearest)
        return Plan(routing[0].category, self._asks(routing[0].category), routing)

    def finding(self, plan: Plan, grids: Sequence[Floats]) -> Finding:
        """Judge a picture by the patch scores (H, W) that each ask of its plan came back with, in order.

        Several experts' scores are added by their weights, as in Adapted-MoE eq. 4.
        """
        weighted = [np.float32(ask.weight) * grid_HW for ask, grid_HW in zip(plan.asks, grids, strict=True)]
        patch_scores_HW: Floats = weighted[0] if len(weighted) == 1 else np.sum(weighted, axis=0)
        limit, good_N = self.thresholds[plan.category], self._good_N[plan.category]
        score = image_score(patch_scores_HW, self._scoring)
        novelty = self._novelty(plan)
        return Finding(
            score=score,
            p_value=float(p_value(score, good_N)),
            anomalous=score > limit.value if novelty is None or novelty <= 1 else None,
            threshold=limit,
            category=plan.category,
            expert=self.model.experts[plan.category],
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
        if category not in self.model.banks:
            raise UnknownClass(category, self.categories, f"version {self.version} of the model")

    def _novelty(self, plan: Plan) -> float | None:
        reach = self._reach[plan.category]
        return plan.routing[0].distance / reach if plan.routing and math.isfinite(reach) else None

    def _asks(self, category: str) -> tuple[Ask, ...]:
        return (Ask(self.model.experts[category], self.model.scored_against(category), 1.0),)


def stored_extractor(store: ModelStore, manifest: Manifest) -> Extractor:
    """The feature extractor that a model version was learned with and carries.

    Raises:
        StoreCorrupt: the version does not name it, or its blob is gone or altered.
    """
    _check_complete(store, manifest)
    model = store.get_blob(manifest.blobs["extractor"]).to_pybytes()
    config = from_json(FeaturesConfig, _without_hash(manifest))
    return Extractor(config=config, weights_sha256=manifest.features["weights_sha256"], onnx=model)


def _without_hash(manifest: Manifest) -> dict[str, object]:
    return {name: value for name, value in manifest.features.items() if name != "weights_sha256"}


def _check_complete(store: ModelStore, manifest: Manifest) -> None:
    """Raise StoreCorrupt unless a version has all that scoring reads: a manifest may have been edited by hand."""
    parts = {"features": (manifest.features, "weights_sha256"), "blobs": (manifest.blobs, "extractor")}
    parts |= {f"config.{name}": (manifest.config, name) for name in ("mecad", "scoring")}
    for part, (values, name) in parts.items():
        if name not in values:
            problem = f"the manifest of version {manifest.version} lacks {name!r} in {part.partition('.')[0]}"
            raise StoreCorrupt(store.uri, f"{problem}; restore it from a backup, or give another --version")
