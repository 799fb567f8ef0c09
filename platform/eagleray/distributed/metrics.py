"""What Prometheus is told of jobs; docs/operations.md lists all of it.

Workers tell, never the driver: it may be a Ray client, which has no metrics. Ray keeps counts of workers that are gone.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from ray.util import metrics

_SHORT_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LONG_S = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)


class Seconds:
    """A histogram of how long a kind of work takes; its count says how often that was done."""

    def __init__(self, name: str, description: str, bounds_s: Sequence[float], tags: tuple[str, ...] = ()) -> None:
        self._histogram = metrics.Histogram(name, description, list(bounds_s), tags)

    @contextmanager
    def of(self, **tags: str) -> Iterator[None]:
        """The work; what fails does not count."""
        start = perf_counter()
        yield
        self._histogram.observe(perf_counter() - start, tags)


class EmbedMetrics:
    """Of an embed worker, by ``work``: embed, which is for learning and for trials, or score."""

    def __init__(self) -> None:
        self._images = metrics.Counter("eagleray_images_embedded", "Pictures embedded.", ("work",))
        self._unreadable = metrics.Counter("eagleray_images_unreadable", "Pictures that cannot be read.", ("work",))
        self.seconds = Seconds("eagleray_shard_seconds", "Time of a shard of pictures.", _SHORT_S, ("work",))

    def images(self, work: str, *, embedded: int, unreadable: int) -> None:
        """So many pictures of a shard could be read, and so many not."""
        for counter, count in ((self._images, embedded), (self._unreadable, unreadable)):
            if count:
                counter.inc(count, {"work": work})


def learn_seconds() -> Seconds:
    """Of an expert's worker: learning a class."""
    return Seconds("eagleray_learn_seconds", "Time in which an expert learns a class.", _LONG_S)


def training_seconds() -> Seconds:
    """Of a worker that trains networks, by ``network``: expert or router."""
    return Seconds("eagleray_training_seconds", "Time in which a network is trained.", _LONG_S, ("network",))


class TrialMetrics:
    """Of a trial's worker, by ``trials``: the set that its trials belong to."""

    def __init__(self, trials: str) -> None:
        self._tags = {"trials": trials}
        self._seconds = Seconds("eagleray_trial_step_seconds", "Time of a trial's step.", _SHORT_S, ("trials",))
        self._done = metrics.Counter("eagleray_trials_done", "Trials that took all their steps.", ("trials",))
        self._merit = metrics.Gauge("eagleray_trial_merit", "Merit of a trial after its last step.", ("trials",))

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step is taken in here."""
        with self._seconds.of(**self._tags):
            yield

    def found(self, merit: float, *, done: bool) -> None:
        """What came of it; a merit that does not exist is not a number."""
        if not math.isnan(merit):
            self._merit.set(merit, self._tags)
        if done:
            self._done.inc(1, self._tags)
