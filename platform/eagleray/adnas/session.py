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
from eagleray.data import RgbdSample
from eagleray.errors import ConfigError, StoreCorrupt, StoreMissing
from eagleray.experts import ScoringConfig
from eagleray.features import resize
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.pictures import load_rgbd
from eagleray.storage import ModelStore


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
    """One version of a model that looks at colour and depth, ready to score."""

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
        if manifest is None or not manifest.classes:
            raise StoreMissing(store.uri, "the model knows no class yet; learn one, or choose another version")
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

    def score(self, picture: RgbdSample | Pixels, *, category: str | None = None) -> Finding:
        """Score one picture of any size.

        Args:
            picture: where its files are; or colours alone (Y, X, 3), where the model does not need depth.
            category: the class it shows, where that is known; else the picture itself decides.

        Raises:
            UnknownClass: the model does not know the category.
            BadImage: as `load_rgbd`.
            DataError: as `load_rgbd`.
        """
        if category is not None:
            self.judge.check_category(category)
        settings = self._model.settings
        if isinstance(picture, RgbdSample):
            read = load_rgbd(picture, settings.image_size, plane_removal=settings.plane_removal)
            images = as_images(read).scaled(settings.height_scale)
        else:
            assert not self.needs_depth, "the model looks at depth"
            images = _without_depth(resize(picture, settings.image_size))
        patch_scores_NHW, summary_ND = self._model.look(images)
        plan = self.judge.plan(summary_ND[None], category)
        return self.judge.finding(plan, [patch_scores_NHW[0]])

    def heat_map(self, picture_YX3: Pixels, finding: Finding) -> Pixels:
        """The picture, in its own size, with what was found in it laid over in colour."""
        return self.judge.heat_map(picture_YX3, finding)


def _without_depth(color_YX3: Pixels) -> RgbdImages:
    """One picture as a set, without any point."""
    none_NYX = np.zeros((1, *color_YX3.shape[:2]), np.bool_)
    return RgbdImages(color_YX3[None], none_NYX.astype(np.float32), none_NYX, none_NYX)


_EXPERT = 0
"""The number that reports give to the only network there is."""
