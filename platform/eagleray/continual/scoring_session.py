"""Scoring new pictures, one at a time, with a model version as it lies in the store and with nothing else.

This is what `eagleray score` and the HTTP service do with a picture. It needs no Ray and, on CPU, no torch: the model
carries its feature extractor with it. A test holds it to the scores that `Evaluator` gives.
"""

from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import ThreadpoolController

from eagleray.arrays import Floats, Pixels
from eagleray.config import from_json
from eagleray.continual.learner import MODEL_KIND
from eagleray.continual.model import Model
from eagleray.continual.pool import load_bank
from eagleray.errors import StoreCorrupt, StoreError, StoreMissing, UnknownClass
from eagleray.experts import BankExpert, ScoringConfig, image_score, overlay
from eagleray.features import Embedder, Extractor, FeaturesConfig, resize
from eagleray.metrics import Threshold, anomaly_map, p_value, threshold
from eagleray.storage import Manifest, ModelStore

_BLUR = 4.0
"""Gaussian blur of heat maps in pixels of the resized picture, as in PatchCore; it grows with the picture."""


@dataclass(frozen=True, slots=True)
class Route:
    """One class that a picture could be of."""

    category: str
    expert: int
    distance: float
    """To the class's nearest typical picture; lower is closer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a model says of one picture."""

    score: float
    """Higher is more anomalous."""
    p_value: float
    """Against held-out good pictures of the category; lower is more anomalous."""
    anomalous: bool
    """Whether the score is above the threshold."""
    threshold: Threshold
    category: str
    """The class whose bank the picture was compared with."""
    expert: int
    routing: tuple[Route, ...]
    """Every class the model knows, closest first; empty where the category was given."""
    patch_scores_HW: Floats = field(repr=False)
    patch_limit: float
    """Patch score from which on a patch is worth a look; a picture anomalous as a whole may have no such patch."""


class ScoringSession:
    """One model version, ready to score; class banks are read from the store when they are first needed.

    Args:
        store: where the class banks lie.
        model: which banks, and which class a picture is of.
        embedder: the extractor that the model was learned with.
        image_size: pixels of the square that pictures are resized to.
        scoring: how a picture's score follows from its patches.
        false_alarm_rate: share of good pictures that may be flagged, in (0, 1); each finding's threshold tells what is
            attained.

    Raises:
        ConfigError: the rate is not in (0, 1).
    """

    def __init__(
        self,
        store: ModelStore,
        model: Model,
        embedder: Embedder,
        *,
        image_size: int,
        scoring: ScoringConfig,
        false_alarm_rate: float = 0.01,
    ) -> None:
        self._store, self._model, self._embedder, self._image_size = store, model, embedder, image_size
        self.false_alarm_rate = false_alarm_rate
        self._router = model.router()
        self._scoring = scoring
        self._good_N = {name: stored.bank.calibration_N for name, stored in model.banks.items()}
        self._thresholds = {name: threshold(scores_N, false_alarm_rate) for name, scores_N in self._good_N.items()}
        self._experts: dict[str, BankExpert] = {}
        self._blas = ThreadpoolController().select(user_api="blas")

    @classmethod
    def open(
        cls,
        store: ModelStore,
        *,
        version: int | None = None,
        false_alarm_rate: float = 0.01,
        device: str = "cpu",
    ) -> "ScoringSession":
        """Open a version of the model in a store, the current one by default; every blob's hash is checked.

        Raises:
            StoreMissing: there is no such version, or no class in it.
            StoreError: the model cannot be read, or is of a kind that has no banks.
            ConfigError: the false-alarm rate is not in (0, 1).
        """
        manifest = store.current() if version is None else store.read(version)
        if manifest is None or not manifest.classes:
            raise StoreMissing(store.uri, "the model knows no class yet; learn one, or choose another --version")
        if manifest.kind != MODEL_KIND:
            raise StoreError(store.uri, f"holds a model of kind {manifest.kind!r}, not {MODEL_KIND!r}; use its own job")
        _check_complete(store, manifest)
        extractor = stored_extractor(store, manifest)
        return cls(
            store,
            Model.load(store, manifest),
            extractor.open(device=device),
            image_size=extractor.config.image_size,
            scoring=from_json(ScoringConfig, manifest.config["scoring"]),
            false_alarm_rate=false_alarm_rate,
        )

    @property
    def model_version(self) -> int:
        """Number of the version in the store."""
        return self._model.version

    @property
    def categories(self) -> tuple[str, ...]:
        """Classes that the model knows, sorted by name."""
        return tuple(sorted(self._model.banks))

    def check_category(self, category: str) -> None:
        """Raise UnknownClass unless the model knows a class of this name."""
        if category not in self._model.banks:
            raise UnknownClass(category, self.categories, f"version {self.model_version} of {self._store.uri}")

    def score(self, picture_YX3: Pixels, *, category: str | None = None) -> Finding:
        """Score one picture of any size, RGB.

        Args:
            picture_YX3: as `eagleray.features.load_image` gives it.
            category: the class it shows, where that is known; else the picture itself decides.

        Raises:
            UnknownClass: the model does not know the category.
            StoreCorrupt: a class bank was altered since the session began.
        """
        if category is not None:
            self.check_category(category)
        patches_HWD = self._embedder.embed(resize(picture_YX3, self._image_size))
        mean_D = patches_HWD.mean(axis=(0, 1))
        routing: tuple[Route, ...] = ()
        if category is None:
            routing = self._routing(mean_D)
            category = self._router.route(mean_D)
        with self._blas.limit(limits=1):  # its sums depend on its threads, and scores must not
            grids = [self._expert(digest).patch_scores(patches_HWD) for digest in self._model.scored_against(category)]
        patch_scores_HW: Floats = np.minimum.reduce(grids)
        limit = self._thresholds[category]
        score = image_score(patch_scores_HW, self._scoring)
        return Finding(
            score=score,
            p_value=float(p_value(score, self._good_N[category])),
            anomalous=score > limit.value,
            threshold=limit,
            category=category,
            expert=self._model.experts[category],
            routing=routing,
            patch_scores_HW=patch_scores_HW,
            patch_limit=float(self._good_N[category].max()),
        )

    def heat_map(self, picture_YX3: Pixels, finding: Finding) -> Pixels:
        """The picture, in its own size, with what was found in it laid over in colour."""
        size = picture_YX3.shape[:2]
        map_YX = anomaly_map(finding.patch_scores_HW, size, sigma=_BLUR * max(size) / self._image_size)
        return overlay(picture_YX3, map_YX, limit=finding.patch_limit)

    def _routing(self, mean_D: Floats) -> tuple[Route, ...]:
        distances = self._router.distances(mean_D)
        ranked = sorted(distances.items(), key=lambda item: (item[1], item[0]))
        return tuple(Route(name, self._model.experts[name], distance) for name, distance in ranked)

    def _expert(self, digest: str) -> BankExpert:
        if digest not in self._experts:
            bank = load_bank(self._store, digest)
            self._experts[digest] = BankExpert(bank.rows_MD, bank.whitening)
        return self._experts[digest]


def _check_complete(store: ModelStore, manifest: Manifest) -> None:
    """Raise StoreCorrupt unless a version has all that scoring reads: a manifest may have been edited by hand."""
    parts = {"features": (manifest.features, "weights_sha256"), "blobs": (manifest.blobs, "extractor")}
    parts |= {f"config.{name}": (manifest.config, name) for name in ("mecad", "scoring")}
    for part, (values, name) in parts.items():
        if name not in values:
            problem = f"the manifest of version {manifest.version} lacks {name!r} in {part.partition('.')[0]}"
            raise StoreCorrupt(store.uri, f"{problem}; restore it from a backup, or give another --version")


def stored_extractor(store: ModelStore, manifest: Manifest) -> Extractor:
    """The feature extractor that a model version was learned with and carries.

    Raises:
        StoreCorrupt: its blob is gone or altered.
    """
    features = dict(manifest.features)
    weights_sha256 = features.pop("weights_sha256")
    model = store.get_blob(manifest.blobs["extractor"]).to_pybytes()
    return Extractor(config=from_json(FeaturesConfig, features), weights_sha256=weights_sha256, onnx=model)
