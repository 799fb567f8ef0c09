"""The sweep job: the continual stream job under many settings, orders and seeds; for `jobs/sweep.py`."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import ray

from eagleray.arrays import AnyArray
from eagleray.config import to_json
from eagleray.continual import (
    ExpertPool,
    LocalPool,
    Progress,
    silent,
)
from eagleray.data import Category, open_dataset, write_products
from eagleray.data.demo import data_or_demo
from eagleray.distributed import RayPool, peak_rss_mb
from eagleray.distributed.losses import resumed
from eagleray.distributed.timeline import Timeline
from eagleray.errors import ConfigError
from eagleray.features import Extractor, FeaturesConfig, build_extractor
from eagleray.provenance import origin
from eagleray.reports import SCHEMA_VERSION, SWEEP_JOB, sweep_points, write_report, write_results, write_trials
from eagleray.storage import ModelStore
from eagleray.sweeps.anomalies import write_anomalies
from eagleray.sweeps.kinds import SpaceSearch, SweepJob
from eagleray.sweeps.points import class_orders, point_name
from eagleray.sweeps.resume import check_resumable
from eagleray.sweeps.stream_trials import StreamMaterial, StreamSpec
from eagleray.sweeps.tune_runner import TuneRunner
from eagleray.trials import LocalRunner, Outcome, TrialRunner
from eagleray.uris import absolute


@resumed
def run_sweep_job(job: SweepJob, *, progress: Progress = silent) -> dict[str, Any]:
    """Learn every point in every order with every seed, and write `results.json`, `trials.parquet`, `classes.parquet`,
    `report.html` and the trials' models to the job's folder.

    Returns:
        The results, as they were written.
    """
    start, timeline = perf_counter(), Timeline(SWEEP_JOB, wanted=job.profile)
    with timeline.stage("read"):
        categories = _open_data(job)
    sweep = _Sweep(job, categories, timeline, progress)
    stamp = {"config": _resolved(job), "data": str(job.data), "points": sweep.points}
    with timeline.stage("extractor"):  # what they refuse is told before the folder is marked as of these settings
        extractors = {features: build_extractor(features) for features in sweep.by_features()}
    check_resumable(job.folder, stamp, resume=job.resume)
    with _connected(job, timeline):
        for features, numbers in sweep.by_features().items():
            sweep.run(extractors[features], numbers)
    with timeline.stage("results"):
        results = sweep.results()
    results["seconds"] = {**sweep.seconds, "total": perf_counter() - start}
    with timeline.stage("report"):
        write_results(job.folder, results)
        write_trials(job.folder, results)
        write_report(job.folder)
    timeline.write(job.folder)
    return results


class _Sweep:
    """One run of the job: its stages in order."""

    def __init__(self, job: SweepJob, categories: Sequence[Category], timeline: Timeline, progress: Progress) -> None:
        self._job, self._timeline, self._progress = job, timeline, timeline.watch(progress)
        self._categories = {category.name: category for category in categories}
        self.points = job.points(len(categories))
        if not self.points:
            raise ConfigError("--values", "one or more", ())
        self._settings = [job.settings.changed(changes) for changes in self.points]
        for changes, settings in zip(self.points, self._settings, strict=True):  # before anything is computed
            settings.learner()
            if settings.mecad.num_experts * settings.mecad.expert_capacity < len(categories):
                expected = f"room for {len(categories)} classes: mecad.num_experts times mecad.expert_capacity"
                raise ConfigError(f"point {point_name(changes)}", expected, to_json(settings.mecad))
        self._orders = class_orders(tuple(self._categories), job.orders, job.seed)
        self._outcomes: dict[str, Outcome[StreamSpec]] = {}
        self.seconds = {"embed": 0.0, "trials": 0.0}
        self.processes: dict[str, float] = {}

    def by_features(self) -> dict[FeaturesConfig, list[int]]:
        """Points that look at pictures through the same extractor, which are embedded once for all of them."""
        found: dict[FeaturesConfig, list[int]] = {}
        for number, settings in enumerate(self._settings):
            found.setdefault(settings.features, []).append(number)
        return found

    def run(self, extractor: Extractor, numbers: Sequence[int]) -> None:
        """Embed every picture, and learn these points."""
        store = ModelStore.create(self._job.folder / "extractor")
        with self._timed("embed"), _pool(self._job, extractor, store) as pool:
            material = self._embed(pool, extractor)
            self._note(pool.peak_rss_mb())
        runner, specs = _runner(self._job), [spec for number in numbers for spec in self._specs(number)]
        with self._timed("trials"), self._progress(f"learn {len(specs)} streams", 0):
            outcomes = runner.run("trials", specs, material, stop_early=self._stops)
        if isinstance(runner, TuneRunner):
            self._note({"trial": runner.peak_rss_mb})
        self._outcomes |= {spec.folder: outcome for spec, outcome in zip(specs, outcomes, strict=True)}

    @property
    def _stops(self) -> bool:
        return isinstance(self._job, SpaceSearch) and self._job.stop_early

    def results(self) -> dict[str, Any]:
        """Everything that `results.json` holds but time."""
        job = self._job
        trials = [self._row(spec) for number in range(len(self.points)) for spec in self._specs(number)]
        points = sweep_points(self.points, trials)
        merits = [point["merit"]["mean"] for point in points]
        best = max((merit for merit in merits if merit is not None), default=None)
        self._note({"driver": peak_rss_mb()})
        return {
            "schema": SCHEMA_VERSION,
            "job": SWEEP_JOB,
            "preset": job.preset,
            "config": _resolved(job),
            "seed": job.seed,
            **origin(job.data),
            "sweep": {
                "kind": job.kind,
                "fields": list(self.points[0]),
                "points": self.points,
                "orders": [list(order) for order in self._orders],
                "seeds": self._seeds,
            },
            "trials": trials,
            "points": points,
            "chosen": None if best is None else merits.index(best),
            "warnings": [],
            "processes": self.processes,
            "peak_rss_mb": max(self.processes.values()),
        }

    @property
    def _seeds(self) -> list[int]:
        return list(range(self._job.seed, self._job.seed + self._job.seeds))

    def _specs(self, point: int) -> Iterator[StreamSpec]:
        """The trials of a point."""
        for number, order in enumerate(self._orders):
            for seed in self._seeds:
                name = f"{point_name(self.points[point])}-order{number}"
                yield StreamSpec(
                    name=name, point=point, changes=self.points[point], order=number, classes=order, seed=seed
                )

    def _row(self, spec: StreamSpec) -> dict[str, Any]:
        outcome = self._outcomes[spec.folder]
        return {
            "name": spec.folder,
            "point": spec.point,
            "changes": dict(spec.changes),
            "order": spec.order,
            "seed": spec.seed,
            "ended": outcome.stopped or "complete",
            **outcome.state["row"],
        }

    def _embed(self, pool: ExpertPool, extractor: Extractor) -> StreamMaterial:
        job, categories = self._job, self._categories
        anomalies: dict[str, list[str]] = {}
        if isinstance(job, SpaceSearch):
            folder = absolute(job.folder / "anomalies")
            share = min(settings.calibration.share for settings in self._settings)  # held out by every point
            anomalies = {
                name: write_anomalies(category, folder / name, share=share, seeds=self._seeds)
                for name, category in categories.items()
            }
        good = [sample.path for category in categories.values() for sample in category.train]
        tests = [sample.path for category in categories.values() for sample in category.test]
        tests += [path for paths in anomalies.values() for path in paths]
        with self._progress("embed pictures", len(good) + len(tests)) as advance:
            learned, seen = pool.embed(good, advance), pool.embed(tests, advance, half=False)
        return StreamMaterial(
            settings=job.settings,
            evaluation=job.evaluation,
            stream=job.stream,
            categories=categories,
            features={**to_json(extractor.config), "weights_sha256": extractor.weights_sha256},
            extractor=extractor.onnx,
            learned=learned,
            tests=seen,
            anomalies=anomalies,
            folder=str(absolute(job.folder / "models")),
            fetch=_itself if job.address == "none" else ray.get,
        )

    def _note(self, peaks: Mapping[str, float]) -> None:
        for name, value in peaks.items():
            self.processes[name] = max(value, self.processes.get(name, 0.0))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = perf_counter()
        with self._timeline.stage(stage):
            yield
        self.seconds[stage] += perf_counter() - start


def _itself(patches: AnyArray) -> AnyArray:
    return patches


def _open_data(job: SweepJob) -> tuple[Category, ...]:
    root = data_or_demo(job.data, job.folder, partial(write_products, seed=job.seed))
    return open_dataset(root, job.stream.classes)


@contextmanager
def _connected(job: SweepJob, timeline: Timeline) -> Iterator[None]:
    if job.address == "none":
        yield
        return
    with timeline.cluster(job.address), timeline.workers():
        yield


def _pool(job: SweepJob, extractor: Extractor, store: ModelStore) -> ExpertPool:
    if job.address == "none":
        return LocalPool(extractor, store)
    return RayPool(extractor, store, job.pool)


def _runner(job: SweepJob) -> TrialRunner:
    if job.address == "none":
        return LocalRunner()
    return TuneRunner(str(absolute(job.folder / "trials")), job.tune)


def _resolved(job: SweepJob) -> dict[str, Any]:
    """The settings that decide the figures; not where or how often the job ran."""
    config: dict[str, Any] = to_json(dataclasses.replace(job, features=job.features.resolved(), data=None, out=None))
    elsewhere = ("data", "out", "resume", "address", "profile", "pool", "tune")
    found = {key: value for key, value in config.items() if key not in elsewhere}
    return found | ({"space": str(config["space"])} if config.get("space") else {})
