"""The search job: pictures of colour and depth in, a fused model and its figures out; for `jobs/adnas_search.py`."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from eagleray.adnas import (
    CategoryPictures,
    FusionModel,
    FusionSettings,
    Material,
    Product,
    Study,
    StudyConfig,
    closing,
    common_scale,
    image_scores,
    keep_model,
    load_category,
)
from eagleray.config import check_at_least, to_json
from eagleray.continual import EvaluationConfig, Progress, silent
from eagleray.data import RgbdCategory, image_digest, open_rgbd, write_solids
from eagleray.data.demo import data_or_demo
from eagleray.distributed import peak_rss_mb
from eagleray.distributed.losses import resumed
from eagleray.distributed.timeline import Timeline
from eagleray.errors import ConfigError
from eagleray.experts import ScoringConfig
from eagleray.fusion.anomalies import AnomalyConfig, AnomalyGenerator
from eagleray.fusion.genotype import Genotype
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import FusionNetwork, NetworkConfig
from eagleray.fusion.search import SearchConfig
from eagleray.fusion.sizes import measure, peak_bytes
from eagleray.fusion.space import Space
from eagleray.fusion.training import NetworkTraining, TrainingConfig
from eagleray.provenance import origin
from eagleray.reports import SCHEMA_VERSION, SCORES_SCHEMA, SEARCH_JOB, write_report, write_results, write_scores
from eagleray.storage import ModelStore
from eagleray.sweeps.resume import check_resumable
from eagleray.sweeps.tune_runner import TuneConfig, TuneRunner
from eagleray.trials import LocalRunner, TrialRunner

Baseline = Literal["random", "evolution", "single", "pairs", "color", "depth"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchJob:
    """Search the fusion of colour and depth; every field is a flag."""

    data: Path | None = None
    """Folder in the layout of MVTec 3D-AD or Eyecandies; without it, demo solids are generated."""
    out: Path = Path("runs/adnas")
    """Folder for the model, the results and the report."""
    preset: Literal["laptop", "paper"] = "laptop"
    """Where the settings start from: laptop is small enough for two cores, paper is 3D-ADNAS as docs/methods.md reads
    it, for many; no trial uses a GPU."""
    seed: int = 0
    """Decides every random choice."""
    resume: bool = False
    """Go on with an interrupted run."""
    address: str | None = None
    """Ray cluster to join, such as auto or host:6379; "none" runs in this process, without Ray."""
    profile: bool = False
    """Write a timeline of driver and workers, timeline.json among the results, for ui.perfetto.dev or chrome://tracing."""
    categories: tuple[str, ...] = ()
    """Categories to learn, by name; all by default. One network learns all of them."""
    genotype: Path | None = None
    """Train this architecture, a genotype.json that a run has written, instead of searching for one."""
    shots: int = 0
    """Good pictures to learn from, of each category, drawn by the seed; 0 is all."""
    image_size: int = 128
    """Side of the square that pictures are resized to, in pixels; a multiple of 8."""
    plane_removal: bool = False
    """Take out the plane that the product lies on."""
    repeats: int = 1
    """Searches, each from another seed."""
    alpha_rates: tuple[float, ...] = (1e-2,)
    """Learning rates of the architecture that each of them is tried with; baselines that search by gradient too take
    the first."""
    baselines: tuple[Baseline, ...] = ("random", "single", "color", "depth")
    """What is compared at equal budget: random and evolutionary search, single modules, pairs of them, one modality."""
    finalists: int = 2
    """Architectures that each search hands on (random and evolutionary search as many for each learning rate); all are
    trained from scratch, and held-out pictures with synthetic anomalies choose one."""
    retrainings: int = 2
    """Trainings of the best architecture from scratch, each from another seed."""
    few_shot: tuple[int, ...] = ()
    """Also train the best architecture from scratch, as often, on only so many good pictures of each category, drawn by
    the seed (e.g. 5 10 50)."""
    search_pictures: tuple[int, int] = (240, 400)
    """Pictures with synthetic anomalies that searches learn from, and are judged on."""
    check: bool = False
    """Only build a network of these sizes, train it for one step on noise, and print what it needs."""
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(width=8))
    anomalies: AnomalyConfig = field(default_factory=lambda: AnomalyConfig(heights=(0.1, 1.5)))
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=16, pictures=320, focal_weight=10))
    reconstruction_epochs: int = 8
    """Epochs of the reconstruction networks that searches look through."""
    search: SearchConfig = field(default_factory=SearchConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)

    def __post_init__(self) -> None:
        for name in ("data", "out", "genotype"):
            _check_path(f"--{name}", getattr(self, name))
        lows = dict.fromkeys(("repeats", "retrainings", "reconstruction_epochs", "finalists"), 1)
        for name, low in ({"shots": 0} | lows).items():
            check_at_least(f"--{name.replace('_', '-')}", getattr(self, name), low)
        if self.image_size < 32 or self.image_size % 8:
            raise ConfigError("--image-size", "a multiple of 8, at least 32", self.image_size)
        if not self.alpha_rates or not all(0 < rate < math.inf for rate in self.alpha_rates):
            raise ConfigError("--alpha-rates", "one or more rates above 0", self.alpha_rates)
        if min(self.search_pictures) < 2 * self.search.batch_size:
            raise ConfigError("--search-pictures", f"at least {2 * self.search.batch_size} each", self.search_pictures)
        if self.few_shot and (min(self.few_shot) < 1 or len(set(self.few_shot)) < len(self.few_shot)):
            raise ConfigError("--few-shot", "different numbers of pictures, each at least 1", self.few_shot)
        if not 0 <= self.seed < 2**31:
            raise ConfigError("--seed", f"in 0 to {2**31 - 1}", self.seed)


def _check_path(flag: str, path: Path | None) -> None:
    """Refuse what was a URI before `Path` made one slash of two."""
    first = path.parts[0] if path and path.parts else ""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", first):
        raise ConfigError(flag, "a path, for this job knows no buckets (docs/operations.md)", f"{first}//...")


PRESETS = {
    "laptop": SearchJob(),
    "paper": SearchJob(
        preset="paper",
        image_size=256,
        network=NetworkConfig(width=128, channels=128),
        anomalies=AnomalyConfig(),
        training=TrainingConfig(epochs=600, pictures=200, batch_size=4, crop=256, learning_rate=1e-4),
        reconstruction_epochs=80,
        search=SearchConfig(epochs=80, patience=80, weight_rate=1e-3),
        alpha_rates=(3e-4,),
        repeats=3,
        baselines=("random", "evolution", "single", "pairs", "color", "depth"),
    ),
}
"""The paper trains one network for each category: give one at a time by --categories."""


def check_step(job: SearchJob) -> dict[str, float]:
    """Build a network of the job's size, an architecture drawn by its seed, and train it for one step on noise.

    Returns:
        ``parameters``, ``weights_mb``, ``peak_mb`` of judging one picture, ``training_peak_mb`` of the step, all of
        them without what operations need inside themselves, ``loss`` and ``step_s``.
    """
    random = np.random.default_rng(job.seed)
    side, count = job.image_size, job.training.batch_size
    shape = (count, side, side)
    images = RgbdImages(
        random.integers(0, 256, (*shape, 3), np.uint8),
        random.standard_normal(shape, np.float32),
        np.ones(shape, np.bool_),
        np.ones(shape, np.bool_),
    )
    generator = AnomalyGenerator(job.anomalies, min(job.training.crop, side))
    config = dataclasses.replace(job.training, pictures=count)
    training = NetworkTraining(Space().sample(random), job.network, config, images, generator, seed=job.seed)
    losses: list[float] = []
    start = perf_counter()
    peak = peak_bytes(lambda: losses.append(training.run_epoch()))
    seconds = perf_counter() - start
    network, inputs = training.network, images.chosen([0]).inputs()
    sizes = measure(network, lambda: network.scores(inputs), repeats=1)
    return {
        "parameters": sizes.parameters,
        "weights_mb": sizes.weights_mb,
        "peak_mb": sizes.peak_mb,
        "training_peak_mb": peak / 2**20,
        "loss": losses[0],
        "step_s": seconds,
    }


def read_genotype(path: Path) -> Genotype:
    """Read an architecture that can be trained.

    Raises:
        GenotypeError: the file cannot be read, or holds no architecture, or one of another space.
    """
    genotype = Genotype.read(path)
    Space(stages=tuple(genotype.by_stage())).check(genotype, str(path))
    return genotype


@resumed
def run_search_job(job: SearchJob, *, progress: Progress = silent) -> dict[str, Any]:
    """Search, train, judge, and write `results.json`, `genotype.json`, `scores.parquet`, `report.html` and two folders.

    They are `model/`, the store of the trained model, and `examples/`, pictures with what was found in them.

    Returns:
        The results, as they were written.
    """
    start, timeline = perf_counter(), Timeline(SEARCH_JOB, wanted=job.profile)
    run, settings = _Run(job, timeline.watch(progress)), {"config": _resolved(job), "data": str(job.data)}
    with timeline.stage("read"):
        categories = _open_data(job)
        check_resumable(job.out, settings, resume=job.resume)
        run.load(categories)
    with _runner(job, timeline) as runner:
        run.study(runner)
    with timeline.stage("results"):
        results = run.results()
    results["processes"] = {"driver": peak_rss_mb()}
    if isinstance(runner, TuneRunner):
        results["processes"]["trial"] = runner.peak_rss_mb
    results["peak_rss_mb"] = max(results["processes"].values())
    results["seconds"] = {**run.seconds, "total": perf_counter() - start}
    with timeline.stage("report"):
        write_results(job.out, results)
        (job.out / "genotype.json").write_text(json.dumps(results["genotype"], indent=2) + "\n", encoding="utf-8")
        write_report(job.out)
    timeline.write(job.out)
    return results


class _Run:
    """One run of the job: its stages in order."""

    def __init__(self, job: SearchJob, progress: Progress) -> None:
        self._job, self._progress = job, progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def _stage(self, name: str, label: str, total: int = 0) -> Iterator[Callable[[int], None]]:
        start = perf_counter()
        with self._progress(label, total) as advance:
            yield advance
        self.seconds[name] = perf_counter() - start

    def load(self, categories: Sequence[RgbdCategory]) -> None:
        """Every picture, once."""
        job = self._job
        total = sum(len(one.train) + len(one.validation) + len(one.test) for one in categories)
        with self._stage("load", "read pictures", total) as advance:
            found = [
                load_category(one, job.image_size, plane_removal=job.plane_removal, advance=advance)
                for one in categories
            ]
        _check_few_shot(job, {one.name: len(one.train) for one in found})  # some may be unreadable
        self._scale = common_scale(found)
        self._categories = [_scaled(one, self._scale) for one in found]
        self._digests = {one.name: [image_digest(sample.sample.path) for sample in one.trains] for one in found}

    def study(self, runner: TrialRunner) -> None:
        """Search, unless an architecture is given; train and measure."""
        job = self._job
        material = Material(
            train=RgbdImages.joined([one.train for one in self._categories]),
            validation=RgbdImages.joined([one.validation for one in self._categories]),
            test=RgbdImages.joined([one.test for one in self._categories]),
            train_counts=tuple(len(one.train) for one in self._categories),
            validation_counts=tuple(len(one.validation) for one in self._categories),
            network=job.network,
            anomalies=job.anomalies,
            training=job.training,
            reconstruction=dataclasses.replace(job.training, epochs=job.reconstruction_epochs),
            search=job.search,
            search_pictures=job.search_pictures,
        )
        config = StudyConfig(
            seeds=tuple(range(job.seed, job.seed + job.repeats)),
            alpha_rates=job.alpha_rates,
            baselines=job.baselines,
            finalists=job.finalists,
            retrainings=job.retrainings,
            few_shot=job.few_shot,
        )
        self._study = Study(self._categories, material, runner, config, job.scoring)
        if job.genotype:
            self._study.take(read_genotype(job.genotype))
        else:
            with self._stage("reconstruct", "train reconstruction"):
                self._study.look()
            with self._stage("search", "search architectures"):
                self._study.search()
        with self._stage("train", "train networks from scratch"):
            self._study.choose()
            self._study.train()
        with self._stage("judge", "measure"):
            self._study.judge(sigma=job.evaluation.heatmap_sigma)

    def results(self) -> dict[str, Any]:
        """Everything that `results.json` holds but time; keeps the model, the raw scores and the example pictures."""
        job, kept = self._job, self._study.kept
        version = self._keep()
        found = closing(kept.rows, kept.measured, scoring=job.scoring, evaluation=job.evaluation, out=job.out)
        write_scores(job.out, pa.Table.from_pylist(found.pop("scores"), schema=SCORES_SCHEMA))
        return {
            "schema": SCHEMA_VERSION,
            "job": SEARCH_JOB,
            "preset": job.preset,
            "config": _resolved(job),
            "seed": job.seed,
            **origin(job.data),
            "model_version": version,
            **found,
            **self._study.tables(),
            "warnings": [
                f"picture left out: {one.path}: {one.reason}" for data in self._categories for one in data.skipped
            ],
        }

    def _keep(self) -> int:
        job, kept = self._job, self._study.kept
        genotype, weights = self._study.winner.best.genotype, kept.outcome.state["training"]["network"]
        network = FusionNetwork(genotype, job.network)
        network.load_state_dict(weights)
        settings = FusionSettings(
            genotype=genotype,
            network=job.network,
            image_size=job.image_size,
            height_scale=self._scale,
            plane_removal=job.plane_removal,
        )
        model = FusionModel(settings, network, {})
        products = {}
        for row in kept.rows:
            _, summaries_ND = model.look(row.data.validation)
            good_N = np.sort(image_scores(row.validation_NHW, job.scoring))
            products[row.data.name] = Product(good_N, summaries_ND, len(row.data.train))
        model = FusionModel(settings, network, products)
        store = ModelStore.create(job.out / "model")
        manifest = keep_model(
            store, model, weights, self._digests, config=_resolved(job), scoring=job.scoring, seed=job.seed
        )
        return manifest.version


def _scaled(data: CategoryPictures, scale: float) -> CategoryPictures:
    parts = {part: getattr(data, part).scaled(scale) for part in ("train", "validation", "test")}
    return dataclasses.replace(data, **parts)


def _open_data(job: SearchJob) -> tuple[RgbdCategory, ...]:
    write = partial(write_solids, seed=job.seed, image_size=job.image_size)
    categories = open_rgbd(data_or_demo(job.data, job.out, write), job.categories)
    if job.shots:
        categories = tuple(category.few_shot(job.shots, job.seed) for category in categories)
    _check_few_shot(job, {one.name: len(one.train) for one in categories})
    return categories


@contextmanager
def _runner(job: SearchJob, timeline: Timeline) -> Iterator[TrialRunner]:
    if job.address == "none":
        yield LocalRunner()
        return
    with timeline.cluster(job.address), timeline.workers():
        yield TuneRunner(str((job.out / "trials").resolve()), job.tune)


def _check_few_shot(job: SearchJob, pictures: Mapping[str, int]) -> None:
    """Every category has as many train pictures as the largest of the few-shot trainings draws."""
    most, fewest = max(job.few_shot, default=0), min(pictures, key=pictures.__getitem__)
    if most > pictures[fewest]:
        expected = f"from 1 to {pictures[fewest]}, the train pictures of {fewest!r}"
        raise ConfigError("--few-shot", expected, most)


def _resolved(job: SearchJob) -> dict[str, Any]:
    """The settings that decide the figures; not where or how often the job ran."""
    config: dict[str, Any] = to_json(dataclasses.replace(job, data=None, out=Path(), genotype=None))
    config["genotype"] = read_genotype(job.genotype).to_json() if job.genotype else None
    elsewhere = ("data", "out", "resume", "address", "check", "profile", "tune")
    return {key: value for key, value in config.items() if key not in elsewhere}
