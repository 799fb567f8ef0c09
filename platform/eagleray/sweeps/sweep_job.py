"""The sweep job: the continual stream job under many settings, orders and seeds; for `jobs/sweep.py`."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Literal

import numpy as np
import ray
from PIL import Image

from eagleray.arrays import AnyArray, Pixels
from eagleray.banks import BankConfig
from eagleray.config import check_at_least, to_json
from eagleray.continual import (
    CalibrationConfig,
    EvaluationConfig,
    ExpertPool,
    LocalPool,
    MecadConfig,
    Progress,
    StreamConfig,
    held_out,
    silent,
)
from eagleray.data import Category, image_digest, open_dataset, write_products
from eagleray.data.demo import data_or_demo
from eagleray.distributed import PoolConfig, RayPool, cluster, peak_rss_mb
from eagleray.distributed.stream_job import PRESETS as STREAM_PRESETS
from eagleray.errors import BadImage, ConfigError
from eagleray.experts import ScoringConfig
from eagleray.features import Extractor, FeaturesConfig, build_extractor, load_image
from eagleray.mixture.anomalies import add_anomaly
from eagleray.provenance import command, git_commit, machine, versions
from eagleray.reports import SCHEMA_VERSION, SWEEP_JOB, sweep_points, write_report, write_results, write_trials
from eagleray.reports.files import write_whole
from eagleray.storage import ModelStore
from eagleray.sweeps.points import (
    StreamSettings,
    budget_points,
    class_orders,
    expert_points,
    point_name,
    read_space,
    threshold_points,
)
from eagleray.sweeps.resume import check_resumable
from eagleray.sweeps.stream_trials import StreamMaterial, StreamSpec
from eagleray.sweeps.tune_runner import TuneConfig, TuneRunner
from eagleray.trials import LocalRunner, Outcome, TrialRunner

_ANOMALIES_OF_A_CLASS = 24
"""Pictures with synthetic anomalies for each seed, at most."""
_ANOMALY_SIDE = 1024
"""Longer side of such a picture at most, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepJob:
    """What all sweeps have in common; every field is a flag."""

    kind: ClassVar[str]

    data: Path | None = None
    """Folder of images in MVTec AD layout, or of good images only; without it, demo products are generated."""
    out: Path | None = None
    """Folder for the trials, the results and the report; runs/sweep-KIND by default."""
    preset: Literal["best", "paper"] = "best"
    """Where the settings start from: best is ours, paper is MECAD to the letter."""
    seed: int = 0
    """Decides every random choice."""
    resume: bool = False
    """Go on with an interrupted sweep."""
    address: str | None = None
    """Ray cluster to join, such as auto or ray://host:10001; "none" runs in this process, without Ray."""
    orders: int = 3
    """Orders that the classes arrive in: the one given, and others drawn by the seed."""
    seeds: int = 1
    """Seeds that every point is learned with in every order."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    mecad: MecadConfig = field(default_factory=MecadConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)

    def __post_init__(self) -> None:
        check_at_least("--orders", self.orders, 1)
        check_at_least("--seeds", self.seeds, 1)
        if not 0 <= self.seed < 2**32 - self.seeds:
            raise ConfigError("--seed", f"in 0 to {2**32 - self.seeds - 1}", self.seed)

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.out or Path(f"runs/sweep-{self.kind}")

    @property
    def settings(self) -> StreamSettings:
        """What points change."""
        return StreamSettings(
            features=self.features.resolved(),
            mecad=self.mecad,
            bank=self.bank,
            scoring=self.scoring,
            calibration=self.calibration,
        )

    def points(self, num_classes: int) -> list[dict[str, Any]]:
        """The changes of every point."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, slots=True)
class Experts(SweepJob):
    """Numbers of experts (MECAD, Fig. 2 to 5)."""

    kind: ClassVar[str] = "experts"
    values: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    """Numbers of experts."""

    def points(self, num_classes: int) -> list[dict[str, Any]]:
        """See `expert_points`."""
        return expert_points(self.values, self.mecad, num_classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold(SweepJob):
    """Similarities above which a class joins an expert that holds others (MECAD, eq. 2)."""

    kind: ClassVar[str] = "threshold"
    values: tuple[float, ...] = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Cosine similarities."""

    def points(self, num_classes: int) -> list[dict[str, Any]]:
        """See `threshold_points`."""
        return threshold_points(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget(SweepJob):
    """Bank rows of a class; those of an expert grow with them."""

    kind: ClassVar[str] = "budget"
    values: tuple[int, ...] = (100, 200, 400, 800, 1600)
    """Rows of a class, at most."""

    def points(self, num_classes: int) -> list[dict[str, Any]]:
        """See `budget_points`."""
        return budget_points(self.values, self.mecad)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceSearch(SweepJob):
    """A search over any settings, which synthetic anomalies decide: the best point is told, no test picture chooses."""

    kind: ClassVar[str] = "space"
    orders: int = 1
    """Orders that the classes arrive in: the one given, and others drawn by the seed."""
    space: Path | None = None
    """YAML file of fields and their values, see docs/operations.md."""
    samples: int = 0
    """Points drawn at random; 0 is all combinations."""
    stop_early: bool = True
    """Stop trials that fall behind the others (ASHA)."""

    def points(self, num_classes: int) -> list[dict[str, Any]]:
        """See `read_space`."""
        assert self.space is not None, "jobs/sweep.py takes it from the command line"
        return read_space(self.space, samples=self.samples, seed=self.seed)


def presets(kind: type[SweepJob]) -> dict[str, SweepJob]:
    """Where the settings of a sweep start from, by the name of the stream job's preset."""
    names = ("features", "mecad", "bank", "scoring", "calibration")
    return {
        name: kind(preset=job.preset, **{part: getattr(job, part) for part in names})
        for name, job in STREAM_PRESETS.items()
    }


def run_sweep_job(job: SweepJob, *, progress: Progress = silent) -> dict[str, Any]:
    """Learn every point in every order with every seed, and write `results.json`, `trials.parquet`, `classes.parquet`,
    `report.html` and the trials' models to the job's folder.

    Returns:
        The results, as they were written.
    """
    start = perf_counter()
    sweep = _Sweep(job, _open_data(job), progress)
    stamp = {"config": _resolved(job), "data": str(job.data), "points": sweep.points}
    check_resumable(job.folder, stamp, resume=job.resume)
    with _connected(job):
        for features, numbers in sweep.by_features().items():
            sweep.run(features, numbers)
    results = sweep.results()
    results["seconds"] = {**sweep.seconds, "total": perf_counter() - start}
    write_results(job.folder, results)
    write_trials(job.folder, results)
    write_report(job.folder)
    return results


class _Sweep:
    """One run of the job: its stages in order."""

    def __init__(self, job: SweepJob, categories: Sequence[Category], progress: Progress) -> None:
        self._job, self._progress = job, progress
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

    def run(self, features: FeaturesConfig, numbers: Sequence[int]) -> None:
        """Embed every picture, and learn these points."""
        extractor = build_extractor(features)
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
            "command": command(),
            "git_commit": git_commit(),
            "versions": versions(),
            "machine": machine(),
            "data": {"source": str(job.data) if job.data else "demo", "generated": job.data is None},
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
        anomalies = self._anomalies() if job.kind == "space" else {}
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
            folder=str((job.folder / "models").resolve()),
            fetch=_itself if job.address == "none" else ray.get,
        )

    def _anomalies(self) -> dict[str, list[str]]:
        """Synthetic anomalies on pictures that the given settings hold out, in files below the job's folder."""
        found: dict[str, list[str]] = {}
        for name, category in self._categories.items():
            files: dict[str, str] = {}
            for sample in category.train:
                try:
                    files.setdefault(image_digest(sample.path), sample.path)
                except BadImage:
                    continue
            chosen = {
                digest: seed
                for seed in reversed(self._seeds)
                for digest in sorted(held_out(tuple(files), self._job.calibration.share, seed))[:_ANOMALIES_OF_A_CLASS]
            }
            folder = (self._job.folder / "anomalies" / name).resolve()
            found[name] = [_with_anomaly(folder, digest, files) for digest in sorted(chosen)]
        return found

    def _note(self, peaks: Mapping[str, float]) -> None:
        for name, value in peaks.items():
            self.processes[name] = max(value, self.processes.get(name, 0.0))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds[stage] += perf_counter() - start


def _with_anomaly(folder: Path, digest: str, files: Mapping[str, str]) -> str:
    """A copy of a good picture with an anomaly that its content decides; where it is."""
    path = folder / f"{digest}.png"
    if not path.exists():
        random = np.random.default_rng(int(digest, 16))
        others = sorted(files.keys() - {digest})
        donor = files[others[int(random.integers(len(others)))]] if others else files[digest]
        painted, _ = add_anomaly(_small(files[digest]), [_small(donor)], random)
        write_whole(path, lambda stream: Image.fromarray(painted).save(stream, format="PNG", compress_level=1))
    return str(path)


def _small(path: str) -> Pixels:
    picture = Image.fromarray(load_image(path))
    picture.thumbnail((_ANOMALY_SIDE, _ANOMALY_SIDE))
    return np.asarray(picture)


def _itself(patches: AnyArray) -> AnyArray:
    return patches


def _open_data(job: SweepJob) -> tuple[Category, ...]:
    root = data_or_demo(job.data, job.folder, partial(write_products, seed=job.seed))
    return open_dataset(root, job.stream.classes)


@contextmanager
def _connected(job: SweepJob) -> Iterator[None]:
    if job.address == "none":
        yield
        return
    with cluster(job.address):
        yield


def _pool(job: SweepJob, extractor: Extractor, store: ModelStore) -> ExpertPool:
    if job.address == "none":
        return LocalPool(extractor, store)
    return RayPool(extractor, store, job.pool)


def _runner(job: SweepJob) -> TrialRunner:
    if job.address == "none":
        return LocalRunner()
    return TuneRunner(str((job.folder / "trials").resolve()), job.tune)


def _resolved(job: SweepJob) -> dict[str, Any]:
    """The settings that decide the figures; not where or how often the job ran."""
    config: dict[str, Any] = to_json(dataclasses.replace(job, features=job.features.resolved(), data=None, out=None))
    elsewhere = ("data", "out", "resume", "address", "pool", "tune")
    found = {key: value for key, value in config.items() if key not in elsewhere}
    return found | ({"space": str(config["space"])} if config.get("space") else {})
