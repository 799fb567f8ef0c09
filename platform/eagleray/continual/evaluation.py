"""Scoring the test images of a model version, each picture against each class bank at most once.

Every figure and every control of a run is a choice of class banks for each image: the routed one, the true one, all
of an expert, all there are. An image's distance to several class banks is the smallest of its distances to each, so
patch scores are kept per picture and class bank, and only what is missing is computed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eagleray.arrays import Floats
from eagleray.config import check_at_least
from eagleray.continual.model import Model
from eagleray.continual.pool import Advance, ExpertPool, no_progress
from eagleray.continual.work import ScoreItem
from eagleray.data import Sample
from eagleray.errors import ConfigError
from eagleray.experts import ScoringConfig, image_score
from eagleray.metrics import auroc, p_value, threshold
from eagleray.storage import Skipped

Tests = Mapping[str, Sequence[Sample]]
"""Test images by class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """How images are judged; nothing here changes what is learned."""

    false_alarm_rate: float = 0.01
    """Share of good images that may be flagged; small sets cannot promise a small rate, the results tell."""
    heatmap_sigma: float = 4.0
    """Gaussian blur of anomaly maps, in pixels of the picture."""

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 1:
            raise ConfigError("--evaluation.false-alarm-rate", "between 0 and 1", self.false_alarm_rate)
        check_at_least("--evaluation.heatmap-sigma", self.heatmap_sigma, 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model says of one test image."""

    sample: Sample
    score: float
    """Higher is more anomalous."""
    p_value: float
    """Against held-out good images of the routed class; lower is more anomalous."""
    flagged: bool
    routed_class: str
    routed_expert: int
    patch_scores_HW: Floats = field(repr=False)
    patch_limit: float
    """Highest score of a held-out good picture: what scales the colours of a heat map."""


class Evaluator:
    """Scores test images against model versions and remembers what it has computed."""

    def __init__(self, pool: ExpertPool, scoring: ScoringConfig, config: EvaluationConfig) -> None:
        self._pool, self._scoring, self._config = pool, scoring, config
        self._means_D: dict[str, Floats] = {}
        self._scores_HW: dict[tuple[str, str], Floats] = {}
        self._unreadable: dict[str, Skipped] = {}

    @property
    def unreadable(self) -> tuple[Skipped, ...]:
        """Test images that could not be read and are left out."""
        return tuple(self._unreadable.values())

    def verdicts(
        self, model: Model, tests: Tests, advance: Advance = no_progress, *, oracle: bool = False
    ) -> dict[str, list[Verdict]]:
        """Judge every test image of the classes that the model knows.

        With `oracle`, an image's true class takes the place of routing, as in MECAD's own evaluation.
        """
        tests = {name: samples for name, samples in tests.items() if name in model.banks}
        if not tests:  # all classes may have been removed, and nothing is left to route to
            return {}
        self._compute(((s.path, model.scored_against(n)) for n, samples in tests.items() for s in samples), advance)
        routes = self._routes(model, tests, oracle=oracle)
        self._compute((path, model.scored_against(routed)) for path, routed in routes.items())
        good = {name: stored.bank.calibration_N for name, stored in model.banks.items()}
        limits = {name: threshold(scores_N, self._config.false_alarm_rate).value for name, scores_N in good.items()}
        judged: dict[str, list[Verdict]] = {name: [] for name in tests}
        for name, samples in tests.items():
            for sample in self._readable(samples):
                routed = routes[sample.path]
                grid_HW = self._patch_scores(sample.path, model.scored_against(routed))
                score = image_score(grid_HW, self._scoring)
                judged[name].append(
                    Verdict(
                        sample=sample,
                        score=score,
                        p_value=float(p_value(score, good[routed])),
                        flagged=score > limits[routed],
                        routed_class=routed,
                        routed_expert=model.experts[routed],
                        patch_scores_HW=grid_HW,
                        patch_limit=float(good[routed].max()),
                    )
                )
        return judged

    def _routes(self, model: Model, tests: Tests, *, oracle: bool) -> dict[str, str]:
        """Class that each readable test image is scored as, by path."""
        router = model.router()
        return {
            sample.path: name if oracle else router.route(self._means_D[sample.path])
            for name, samples in tests.items()
            for sample in self._readable(samples)
        }

    def image_aurocs(
        self, tests: Tests, banks: Mapping[str, tuple[str, ...]], advance: Advance = no_progress
    ) -> dict[str, float | None]:
        """Image AUROC of each class when its images are scored against the class banks given for it."""
        tests = {name: samples for name, samples in tests.items() if name in banks}
        self._compute(((sample.path, banks[name]) for name, samples in tests.items() for sample in samples), advance)
        return {name: self._auroc(samples, banks[name]) for name, samples in tests.items()}

    def _auroc(self, samples: Sequence[Sample], banks: tuple[str, ...]) -> float | None:
        readable = self._readable(samples)
        scores = [image_score(self._patch_scores(sample.path, banks), self._scoring) for sample in readable]
        return auroc(np.array(scores, np.float32), np.array([sample.label for sample in readable]))

    def _readable(self, samples: Iterable[Sample]) -> list[Sample]:
        return [sample for sample in samples if sample.path not in self._unreadable]

    def _patch_scores(self, path: str, banks: tuple[str, ...]) -> Floats:
        grids = [self._scores_HW[path, digest] for digest in banks]
        return grids[0] if len(grids) == 1 else np.minimum.reduce(grids)

    def _compute(self, wanted: Iterable[tuple[str, tuple[str, ...]]], advance: Advance = no_progress) -> None:
        items = []
        for path, banks in wanted:
            missing = tuple(digest for digest in banks if (path, digest) not in self._scores_HW)
            if missing and path not in self._unreadable:
                items.append(ScoreItem(path, missing))
            else:
                advance(1)
        for result in self._pool.score(items, advance):
            if isinstance(result, Skipped):
                self._unreadable[result.path] = result
                continue
            self._means_D[result.path] = result.mean_D
            for digest, grid_HW in result.patch_scores_HW.items():
                self._scores_HW[result.path, digest] = grid_HW
