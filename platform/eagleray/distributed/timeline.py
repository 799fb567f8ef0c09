"""The timeline of a job: what its driver did, stage by stage, above what its workers did meanwhile."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter, time
from typing import Any

import ray

from eagleray.continual import Advance, Progress
from eagleray.distributed.cluster import cluster
from eagleray.distributed.trace_events import DRIVER, Event, complete, job_events, titles
from eagleray.reports.files import write_whole
from eagleray.uris import Place

_STAGES = 1
"""The driver's first row."""


class Timeline:
    """Notes the stages of a run, and writes them down if that is wanted.

    Args:
        job: name of the job.
        wanted: whether there shall be a file.
    """

    def __init__(self, job: str, *, wanted: bool) -> None:
        self._job, self._wanted = job, wanted
        self._start = perf_counter()
        self._epoch = time() - self._start
        """Seconds from 1970 to the beginning of the clock that stages are timed by; workers' events count from 1970."""
        self._stages: list[Event] = []
        self._workers: list[Event] = []

    @contextmanager
    def stage(self, name: str, **about: Any) -> Iterator[None]:
        """A stage of the run, or a part of one; `about` is shown beside it."""
        start = perf_counter()
        yield
        self._note(name, start, **about)

    def watch(self, progress: Progress) -> Progress:
        """The same progress display, each of whose bars is a stage."""

        @contextmanager
        def watched(label: str, total: int) -> Iterator[Advance]:
            about = {"pictures": total} if total else {}
            with self.stage(label, **about), progress(label, total) as advance:
                yield advance

        return watched

    @contextmanager
    def cluster(self, address: str | None) -> Iterator[None]:
        """See `eagleray.distributed.cluster`; to connect is a stage."""
        with ExitStack() as stack:
            with self.stage("connect"):
                stack.enter_context(cluster(address))
            yield

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Workers are busy in here; at its end, while they still live, Ray is asked what they did."""
        yield
        if self._wanted:
            with self.stage("collect"):
                self._workers = job_events(ray.timeline(), ray.get_runtime_context().get_job_id())

    def write(self, out: Place) -> None:
        """Write ``timeline.json`` to the job's folder, where it is wanted; Perfetto and Chrome show it.

        Raises:
            ResultsError: it cannot be written.
        """
        if self._wanted:
            self._note(self._job, self._start)
            rows = ["stages", "calls of Ray"] if self._workers else ["stages"]
            events = [*titles(DRIVER, "driver", rows), *self._stages, *self._workers]
            text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, separators=(",", ":"))
            write_whole(out / "timeline.json", lambda stream: stream.write(text.encode()))

    def _note(self, name: str, start: float, **about: Any) -> None:
        lasted = perf_counter() - start
        event = complete(name, "stage", DRIVER, _STAGES, 1e6 * (self._epoch + start), 1e6 * lasted, about)
        self._stages.append(event)
