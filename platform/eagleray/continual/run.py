"""A whole run: every event of the stream learned, judged and written down, then the closing figures.

What a step found is written to ``<out>/progress/<step>.json`` after its model version was committed. A run that is
killed between the two finds the version without its file when it resumes, and judges that version again: figures
come from content alone, so they are the same as in a run that was never disturbed. The file says which version it is
about, because after a rollback another version takes the same step.
"""

import json
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

from eagleray.config import to_json
from eagleray.continual import controls
from eagleray.continual.controls import Control
from eagleray.continual.evaluation import Evaluator, Verdict
from eagleray.continual.figures import image_figures, routing_accuracy
from eagleray.continual.learner import Learner
from eagleray.continual.model import Model
from eagleray.continual.pool import Advance, no_progress
from eagleray.continual.stream import Arrival, StreamEvent
from eagleray.data import Sample
from eagleray.errors import EagleRayWarning
from eagleray.storage import Event, Manifest, ModelStore, Skipped
from eagleray.uris import Place, Uri, overlapped, place

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Opens a progress bar: what is being done, and how many pictures it takes."""


def silent(_: str, __: int) -> AbstractContextManager[Advance]:
    """Show nothing."""
    return nullcontext(no_progress)


class StreamRun:
    """One run into one folder."""

    def __init__(
        self,
        learner: Learner,
        evaluator: Evaluator,
        store: ModelStore,
        out: Place,
        *,
        progress: Progress = silent,
        publish: bool = False,
    ) -> None:
        self._learner, self._evaluator, self._store, self._progress = learner, evaluator, store, progress
        self._publish = publish
        self._folder = out / "progress"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tests = self._remembered_tests()
        self.seconds: dict[str, float] = defaultdict(float)

    def take(self, events: Iterable[StreamEvent]) -> None:
        """Learn and judge what is new in the stream; judge first what an earlier run learned and could not judge."""
        events = list(events)
        self._remember_tests(event for event in events if isinstance(event, Arrival))
        self._publish_current()  # an earlier run may have been killed before it did
        versions = self.versions()
        for taken in self._learner.history:
            manifest = versions[taken.step]
            if not self._is_judged(taken.step, manifest.version):
                self._judge(taken, Model.load(self._store, manifest))
        for event in events:
            what = event.category.name if isinstance(event, Arrival) else event.class_name
            total = len(event.category.train) if isinstance(event, Arrival) else 0
            do = "learn" if isinstance(event, Arrival) else "remove"
            with self.timed("learn"), self._progress(f"{do} {what}", total) as advance:
                new = self._learner.take(event, advance)
            if new:
                self._publish_current()
                self._judge(new, self._learner.model)

    def steps(self) -> list[dict[str, Any]]:
        """What each step found, oldest first."""
        return [json.loads(self._file(event.step).read_text()) for event in self._learner.history]

    @property
    def model(self) -> Model:
        """The final model."""
        return self._learner.model

    def verdicts(self, *, oracle: bool) -> dict[str, list[Verdict]]:
        """Every test image judged by the final model; with `oracle`, told its class."""
        with self.timed("score"):
            return self._evaluator.verdicts(self.model, self._tests, oracle=oracle)

    @property
    def unreadable(self) -> tuple[Skipped, ...]:
        """Test images left out because they cannot be read."""
        return self._evaluator.unreadable

    def controls(self, *, seed: int) -> dict[str, Control]:
        """What each control finds; `routed` is among the verdicts."""
        model, versions = self.model, self.versions()
        banks = {
            "oracle_expert": controls.oracle_expert(model),
            "shared_bank": controls.shared_bank(model, self._store),
            "bank_per_class": controls.bank_per_class(versions),
            "random_assignment": controls.random_assignment(versions, self._store, model.mecad, seed=seed),
        }
        found = {}
        total = sum(len(self._tests.get(name, ())) for name in model.banks)
        for name, groups in banks.items():
            with self.timed("controls"), self._progress(f"control {name}", total) as advance:
                aurocs = self._evaluator.image_aurocs(self._tests, groups, advance)
                found[name] = Control(aurocs, controls.count_rows(groups, self._store))
        return found

    def _publish_current(self) -> None:
        if self._publish and self.model.version:
            self._store.publish(self.model.version)

    def versions(self) -> dict[int, Manifest]:
        """The committed version after each step of the history."""
        found: dict[int, Manifest] = {}
        version = self._learner.model.version
        while version:
            manifest = self._store.read(version)
            found[len(manifest.history)] = manifest
            version = manifest.parent or 0
        return found

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count wall-clock seconds towards a stage."""
        start = perf_counter()
        yield
        self.seconds[stage] += perf_counter() - start

    def _judge(self, event: Event, model: Model) -> None:
        known = sum(len(self._tests[name]) for name in model.banks if name in self._tests)
        with self.timed("score"), self._progress(f"test after {event.class_name}", known) as advance:
            judged = self._evaluator.verdicts(model, self._tests, advance, oracle=model.mecad.routing == "oracle")
            routed = self._evaluator.verdicts(model, self._tests)
        figures = {name: image_figures(verdicts) for name, verdicts in judged.items()}
        classes: dict[str, list[str]] = defaultdict(list)
        for name in sorted(model.experts):
            classes[str(model.experts[name])].append(name)
        write_json(
            self._file(event.step),
            {
                "step": event.step,
                "version": model.version,
                "op": event.op,
                "class": event.class_name,
                "expert": event.expert,
                "num_images": event.num_images,
                "skipped": to_json(event.skipped),
                "similarities": event.similarities,
                "rows_per_expert": {str(expert): rows for expert, rows in model.rows_held().items()},
                "classes_per_expert": dict(sorted(classes.items())),
                "routing_accuracy": routing_accuracy(routed),
                "image_auroc": {name: f["image_auroc"] for name, f in figures.items()},
            },
        )

    def _is_judged(self, step: int, version: int) -> bool:
        """Whether the file of a step is there, whole, and about this version; any other is simply written again."""
        try:
            found = json.loads(self._file(step).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(found, dict) and (found.get("step"), found.get("version")) == (step, version)

    def _file(self, step: int) -> Place:
        return self._folder / f"{step:04d}.json"

    def _remembered_tests(self) -> dict[str, tuple[Sample, ...]]:
        """Test images of classes that an earlier run learned, as far as they are still there."""
        path = self._folder / "tests.json"
        if not path.exists():
            return {}
        try:
            listed: Mapping[str, list[list[Any]]] = json.loads(path.read_text(encoding="utf-8"))
            samples = {name: [Sample(*row) for row in rows] for name, rows in listed.items()}
        except (ValueError, TypeError, AttributeError):
            text = f"{path}: damaged and begun anew; test images are known of the classes under --data only"
            warnings.warn(text, EagleRayWarning, stacklevel=2)
            return {}
        paths = [sample.path for rows in samples.values() for sample in rows]
        there = dict(zip(paths, overlapped(lambda path: place(path).exists(), paths), strict=True))
        return {name: tuple(s for s in rows if there[s.path]) for name, rows in samples.items()}

    def _remember_tests(self, arrivals: Iterable[Arrival]) -> None:
        """Write down where the test images of arriving classes are, for runs that will not get them again."""
        given = {arrival.category.name: arrival.category.test for arrival in arrivals}
        for name, samples in given.items():
            self._tests[name] = samples or self._tests.get(name, ())  # an update may bring good images only
        self._tests = dict(sorted(self._tests.items()))  # the order of a resumed run
        rows = {name: [list(to_json(s).values()) for s in samples] for name, samples in self._tests.items()}
        write_json(self._folder / "tests.json", rows)


def write_json(path: Place, values: Any) -> None:
    """Write or replace a JSON file; a reader sees the old or the new one, never half of either."""
    text = json.dumps(values, indent=1) + "\n"
    if isinstance(path, Uri):
        path.write_text(text)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk does not say which file
