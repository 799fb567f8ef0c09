"""Scoring new pictures, one at a time, with a model version as it lies in the store and with nothing else.

This is what `eagleray score` does with a picture. It needs no Ray and, on CPU, no torch: the model carries its feature
extractor with it. Tests hold it to the scores that `Evaluator` and the HTTP service give.
"""

from eagleray.arrays import Pixels
from eagleray.continual.expert_cache import ExpertCache
from eagleray.continual.judge import Finding, Judge
from eagleray.continual.open_judge import open_judge, stored_extractor
from eagleray.errors import StoreMissing
from eagleray.features import Embedder, resize
from eagleray.storage import ModelStore
from eagleray.threads import limit_blas


class ScoringSession:
    """One model version, ready to score; class banks are read from the store when they are first needed."""

    def __init__(self, judge: Judge, embedder: Embedder, experts: ExpertCache) -> None:
        self.judge, self._embedder, self._experts = judge, embedder, experts

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
            StoreError: the model cannot be read, or is of a kind that this eagleray does not know.
            ConfigError: the false-alarm rate is not in (0, 1).
        """
        manifest = store.current() if version is None else store.read(version)
        if manifest is None:
            raise StoreMissing(store.uri, "the model knows no class yet; learn one, or choose another version")
        judge = open_judge(store, manifest, false_alarm_rate=false_alarm_rate)
        return cls(judge, stored_extractor(store, manifest).open(device=device), ExpertCache(store))

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
            self.judge.check_category(category)
        patches_HWD = self._embedder.embed(resize(picture_YX3, self.judge.image_size))
        plan = self.judge.plan(patches_HWD, category)
        with limit_blas(1):  # its sums depend on its threads, and scores must not
            grids = [self._experts.patch_scores(ask.digests, patches_HWD) for ask in plan.asks]
        return self.judge.finding(plan, grids)

    def heat_map(self, picture_YX3: Pixels, finding: Finding) -> Pixels:
        """The picture, in its own size, with what was found in it laid over in colour."""
        return self.judge.heat_map(picture_YX3, finding)
