"""Scoring new pictures of colour and depth, one at a time, with a model version as it lies in the store.

Scores are those of the job that learned the model, to the bit.
"""

import numpy as np

from eagleray.adnas.model import FusionModel, load_model
from eagleray.adnas.pictures import as_images
from eagleray.arrays import Floats, Pixels
from eagleray.config import from_json
from eagleray.continual import Ask, Finding, Judge, Plan, Route
from eagleray.continual.judge import ROUTES_SHOWN, KnownClass
from eagleray.data import DepthMap, RgbdSample, load_depth
from eagleray.errors import BadImage, ConfigError, StoreCorrupt, StoreMissing
from eagleray.experts import ScoringConfig
from eagleray.features import load_image, resize
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.pictures import fit_rgbd
from eagleray.storage import Manifest, ModelStore


class FusionJudge(Judge):
    """Of a model that looks at colour and depth: one network is asked, and it is asked of every product.

    It never calls a product unknown.
    """

    def __init__(self, version: int, model: FusionModel, *, scoring: ScoringConfig, false_alarm_rate: float) -> None:
        classes = {
            name: KnownClass((_EXPERT,), 0, product.num_images, product.calibration_N)
            for name, product in model.products.items()
        }
        super().__init__(
            version,
            classes,
            image_size=model.settings.image_size,
            scoring=scoring,
            false_alarm_rate=false_alarm_rate,
        )
        self._model = model

    def plan(self, patches_HWD: Floats, category: str | None = None) -> Plan:
        """See `Judge`; a picture's only patch is its summary, as `FusionModel.look` gives it."""
        asks = (Ask(_EXPERT, (), 1.0),)
        if category is not None:
            self.check_category(category)
            return Plan(category, asks, ())
        nearest = self._model.nearest(patches_HWD[0, 0])[:ROUTES_SHOWN]
        routing = tuple(Route(name, _EXPERT, distance) for name, distance in nearest)
        return Plan(routing[0].category, asks, routing)

    def _novelty(self, plan: Plan) -> float | None:
        return None


class FusionSession:
    """One version of a model that looks at colour and depth, ready to score; any number of threads may use it at once.

    Computing on one thread is a matter of each thread for torch, and of the process for other linear algebra: whoever
    scores on several threads limits that once, before.
    """

    def __init__(self, judge: FusionJudge, model: FusionModel) -> None:
        self.judge, self._model = judge, model

    @classmethod
    def open(cls, store: ModelStore, *, version: int | None = None, false_alarm_rate: float = 0.01) -> "FusionSession":
        """Open a version of the model in a store, the current one by default; every blob's hash is checked.

        Raises:
            StoreMissing: there is no such version, or no class in it.
            StoreError: the model cannot be read, or is of another kind.
            ConfigError: the false-alarm rate is not in (0, 1).
        """
        manifest = store.current() if version is None else store.read(version)
        if manifest is None:
            raise StoreMissing(store.uri, _NO_CLASS)
        return cls.load(store, manifest, false_alarm_rate=false_alarm_rate)

    @classmethod
    def load(cls, store: ModelStore, manifest: Manifest, *, false_alarm_rate: float) -> "FusionSession":
        """Open the version that a manifest is of; errors as `open`."""
        if not manifest.classes:
            raise StoreMissing(store.uri, _NO_CLASS)
        model = load_model(store, manifest)
        try:
            scoring = from_json(ScoringConfig, manifest.config.get("scoring"), "config.scoring")
        except ConfigError as error:
            place = f"{store.uri} version {manifest.version}"
            raise StoreCorrupt(place, f"{error}; restore it from a backup, or give another --version") from error
        return cls(FusionJudge(manifest.version, model, scoring=scoring, false_alarm_rate=false_alarm_rate), model)

    @property
    def needs_depth(self) -> bool:
        """Whether the architecture looks at depth; else pictures do without."""
        return "depth" in self._model.modalities

    def warm_up(self) -> None:
        """Compute once, on nothing: the first time is slow."""
        size = self._model.settings.image_size
        self._model.look(_without_depth(np.zeros((size, size, 3), np.uint8)))

    def score(self, picture: RgbdSample | Pixels, *, category: str | None = None) -> Finding:
        """Score one picture of any size.

        Args:
            picture: where its files are; or colours alone (Y, X, 3), where the model does not need depth.
            category: the class it shows, where that is known; else the picture itself decides.

        Raises:
            UnknownClass: the model does not know the category.
            BadImage: as `load_rgbd` and `finding`.
            DataError: as `load_rgbd`.
        """
        if category is not None:
            self.judge.check_category(category)
        if not isinstance(picture, RgbdSample):
            return self.finding(self.fit(picture), category=category)
        depth = load_depth(picture)
        images = self.fit(load_image(picture.sample.path), depth, name=picture.depth)
        return self.finding(images, category=category, name=picture.depth)

    def fit(self, color_YX3: Pixels, depth: DepthMap | None = None, *, name: str = "the depth") -> RgbdImages:
        """One picture as a set, in the size and the scale of the model.

        Args:
            color_YX3: of any size.
            depth: of the same size; None where the model does not need it.
            name: what errors call the depth.

        Raises:
            BadImage: as `fit_rgbd`.
        """
        settings = self._model.settings
        if depth is None:
            assert not self.needs_depth, "the model looks at depth"
            return _without_depth(resize(color_YX3, settings.image_size))
        picture = fit_rgbd(color_YX3, depth, settings.image_size, plane_removal=settings.plane_removal, name=name)
        with np.errstate(over="ignore", invalid="ignore"):  # `finding` refuses what comes of it
            return as_images(picture).scaled(settings.height_scale)

    def finding(self, images: RgbdImages, *, category: str | None = None, name: str = "the depth") -> Finding:
        """Judge one picture, as `fit` gives it.

        Args:
            images: a set of one.
            category: as `score`; one that the model knows.
            name: what errors call the depth.

        Raises:
            BadImage: its heights are too large for the network to compute with.
        """
        patch_scores_NHW, summary_ND = self._model.look(images)
        if not (np.isfinite(patch_scores_NHW).all() and np.isfinite(summary_ND).all()):
            raise BadImage(name, "its heights are too far apart to compute with; give depth in the unit of training")
        plan = self.judge.plan(summary_ND[None], category)
        return self.judge.finding(plan, [patch_scores_NHW[0]])

    def heat_map(self, picture_YX3: Pixels, finding: Finding) -> Pixels:
        """The picture, in its own size, with what was found in it laid over in colour."""
        return self.judge.heat_map(picture_YX3, finding)


def _without_depth(color_YX3: Pixels) -> RgbdImages:
    """One picture as a set, without any point."""
    none_NYX = np.zeros((1, *color_YX3.shape[:2]), np.bool_)
    return RgbdImages(color_YX3[None], none_NYX.astype(np.float32), none_NYX, none_NYX)


_NO_CLASS = "the model knows no class yet; learn one, or choose another version"
_EXPERT = 0
"""The number that reports give to the only network there is."""
