"""The stream job: data in, a model and its figures out. What `jobs/mecad_stream.py` runs."""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import pyarrow as pa

from eagleray.banks import BankConfig
from eagleray.config import to_json
from eagleray.continual import (
    CalibrationConfig,
    Control,
    EvaluationConfig,
    Evaluator,
    ExpertPool,
    Learner,
    LearnerConfig,
    LocalPool,
    MecadConfig,
    Progress,
    StreamConfig,
    StreamRun,
    check_settings,
    class_figures,
    control_figures,
    image_figures,
    means,
    open_stream,
    routing_accuracy,
    score_rows,
    silent,
    stream_figures,
    write_examples,
)
from eagleray.data import Category, open_dataset, write_products
from eagleray.data.demo import data_or_demo
from eagleray.distributed.losses import resumed
from eagleray.distributed.memory import peak_rss_mb
from eagleray.distributed.ray_pool import PoolConfig, RayPool
from eagleray.distributed.timeline import Timeline
from eagleray.errors import ConfigError, EagleRayError, EagleRayWarning
from eagleray.experts import ScoringConfig
from eagleray.features import Extractor, FeaturesConfig, build_extractor
from eagleray.provenance import origin
from eagleray.reports import SCHEMA_VERSION, SCORES_SCHEMA, read_results, write_report, write_results, write_scores
from eagleray.storage import ModelStore
from eagleray.uris import Uri

JOB = "mecad_stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamJob:
    """Learn a stream of products; every field is a flag."""

    data: Uri | Path | None = None
    """Folder, or URI such as s3://bucket/images, of images in MVTec AD layout, or of good images only;
    without it, demo products are generated."""
    out: Uri | Path = Path("runs/mecad")
    """Folder or URI for the model, the results and the report."""
    preset: Literal["best", "paper"] = "best"
    """Where the settings start from: best is ours, paper is MECAD to the letter."""
    seed: int = 0
    """Decides every random choice."""
    resume: bool = False
    """Go on with an interrupted run."""
    address: str | None = None
    """Ray cluster to join, such as auto or host:6379; "none" runs in this process, without Ray."""
    remove: tuple[str, ...] = ()
    """Products to forget, before anything is learned."""
    publish: bool = False
    """Have running services answer with every version as soon as it is learned."""
    profile: bool = False
    """Write a timeline of driver and workers, timeline.json among the results, for ui.perfetto.dev or chrome://tracing."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    mecad: MecadConfig = field(default_factory=MecadConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:  # what scikit-learn takes
            raise ConfigError("--seed", f"in 0 to {2**32 - 1}", self.seed)


PRESETS = {
    "best": StreamJob(),
    "paper": StreamJob(
        preset="paper",
        features=FeaturesConfig(
            backbone="wide_resnet50_2", weights="timm", strides=(8, 16), grid_stride=8, unit_taps=False, image_size=224
        ),
        mecad=MecadConfig(num_experts=5, memory="replay", routing="oracle"),
        bank=BankConfig(whitening_directions=0),
        scoring=ScoringConfig(top_share=0.0),
    ),
}
"""The paper is silent on the image size; 224 is PatchCore's (docs/methods.md)."""


@resumed
def run_stream_job(job: StreamJob, *, progress: Progress = silent) -> dict[str, Any]:
    """Learn, judge, and write `results.json`, `scores.parquet`, `model/`, `examples/` and `report.html` to job.out.

    Returns:
        The results, as they were written.
    """
    start, timeline = perf_counter(), Timeline(JOB, wanted=job.profile)
    _check_unfinished(job)
    with timeline.stage("read"):
        categories = _open_data(job)
    with timeline.stage("extractor"):
        extractor = build_extractor(job.features)
    store = ModelStore.create(job.out / "model")
    check_settings(store, _learner_config(job), features=_features(extractor), seed=job.seed)
    with _pool(job, extractor, store, timeline) as pool:
        with timeline.stage("stream"):
            run = _learn(job, categories, extractor, store, pool, timeline.watch(progress))
        with timeline.stage("results"):
            results = _results(job, run, pool)
        results["seconds"] = {**run.seconds, "total": perf_counter() - start}
        results["processes"] = {"driver": peak_rss_mb(), **pool.peak_rss_mb()}
        results["peak_rss_mb"] = max(results["processes"].values())
    with timeline.stage("report"):
        write_results(job.out, results)
        write_report(job.out)
    timeline.write(job.out)
    _warn_of_unreadable(run)
    return results


def _warn_of_unreadable(run: StreamRun) -> None:
    """Tell of test images that no figure counts."""
    if run.unreadable:
        first = run.unreadable[0]
        text = (
            f"{len(run.unreadable)} test images are unreadable and left out, the first is {first.path}: {first.reason}"
        )
        warnings.warn(text, EagleRayWarning, stacklevel=2)


def _check_unfinished(job: StreamJob) -> None:
    """An interrupted run goes on only when it is told to."""
    if job.resume or not (job.out / "model" / "CURRENT").exists():
        return
    current = ModelStore.open(job.out / "model").current()
    try:
        finished = current is None or read_results(job.out)["model_version"] == current.version
    except EagleRayError:
        finished = False
    if not finished:
        raise ConfigError("--out", "a new folder, or --resume to finish the interrupted run in it", str(job.out))


def _open_data(job: StreamJob) -> tuple[Category, ...]:
    root = data_or_demo(job.data, job.out, partial(write_products, seed=job.seed))
    categories = open_dataset(root, job.stream.classes)
    return tuple(category for category in categories if category.name not in job.remove)


@contextmanager
def _pool(job: StreamJob, extractor: Extractor, store: ModelStore, timeline: Timeline) -> Iterator[ExpertPool]:
    if job.address == "none":
        with LocalPool(extractor, store) as local:
            yield local
        return
    with timeline.cluster(job.address), RayPool(extractor, store, job.pool) as pool, timeline.workers():
        yield pool


def _learn(
    job: StreamJob,
    categories: tuple[Category, ...],
    extractor: Extractor,
    store: ModelStore,
    pool: ExpertPool,
    progress: Progress,
) -> StreamRun:
    blob, features = store.put_blob(extractor.onnx), _features(extractor)
    learner = Learner(
        _learner_config(job), job.stream, pool, store, features=features, extractor_blob=blob, seed=job.seed
    )
    evaluator = Evaluator(pool, job.scoring, job.evaluation)
    run = StreamRun(learner, evaluator, store, job.out, progress=progress, publish=job.publish)
    run.take(open_stream(categories, remove=job.remove))
    return run


def _learner_config(job: StreamJob) -> LearnerConfig:
    return LearnerConfig(mecad=job.mecad, bank=job.bank, scoring=job.scoring, calibration=job.calibration)


def _features(extractor: Extractor) -> dict[str, Any]:
    """What a model remembers of its extractor, beside the extractor itself."""
    return {**to_json(extractor.config), "weights_sha256": extractor.weights_sha256}


def _results(job: StreamJob, run: StreamRun, pool: ExpertPool) -> dict[str, Any]:
    """Everything that `results.json` holds but time and memory; writes the raw scores and the example pictures."""
    model = run.model
    judged = run.verdicts(oracle=job.mecad.routing == "oracle")
    routed = run.verdicts(oracle=False)
    stream = stream_figures(run.steps())
    with run.timed("figures"):
        classes = class_figures(model, judged, stream.pop("forgetting"), routed, pool, job.evaluation)
        examples = write_examples(job.out, judged, sigma=job.evaluation.heatmap_sigma)
    routed_aurocs = {name: image_figures(verdicts)["image_auroc"] for name, verdicts in routed.items()}
    controls = {"routed": Control(routed_aurocs, sum(model.rows_held().values())), **run.controls(seed=job.seed)}
    write_scores(job.out, pa.Table.from_pylist(score_rows(model, judged), schema=SCORES_SCHEMA))
    return {
        "schema": SCHEMA_VERSION,
        "job": JOB,
        "preset": job.preset,
        "config": _resolved(job),
        "seed": job.seed,
        **origin(job.data),
        "model_version": model.version,
        **stream,
        "classes": classes,
        "mean": means(classes),
        "routing_accuracy": routing_accuracy(routed),
        "controls": control_figures(controls),
        "examples": examples,
        "budgets": {"rows_per_class": job.mecad.rows_per_class, "rows_per_expert": job.mecad.rows_per_expert},
        "warnings": [f"test image left out: {bad.path}: {bad.reason}" for bad in run.unreadable],
    }


def _resolved(job: StreamJob) -> dict[str, Any]:
    """The settings that decide the figures; not where or how often the job ran."""
    config: dict[str, Any] = to_json(dataclasses.replace(job, features=job.features.resolved(), data=None, out=Path()))
    elsewhere = ("data", "out", "resume", "address", "publish", "profile", "pool")
    return {key: value for key, value in config.items() if key not in elsewhere}
