"""The mixture job: a data set with subclasses in, a model and its figures out. What `jobs/adapted_moe.py` runs."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import pyarrow as pa

from eagleray.adaptation import AdaptionKind
from eagleray.adapted_moe import (
    CategoryPatches,
    Evidence,
    LocalTrainer,
    MixtureConfig,
    Study,
    StudyConfig,
    Trainer,
    Workshop,
    embed_category,
    first_manifest,
    keep,
    outcome,
    paper_design,
    weigh,
    with_subclasses,
)
from eagleray.banks import BankConfig
from eagleray.config import check_at_least, fingerprint, to_json
from eagleray.continual import EvaluationConfig, ExpertPool, LocalPool, Progress, check_same_settings, silent
from eagleray.data import SubclassedCategory, is_texture_ad, open_dataset, read_texture_ad, write_textures
from eagleray.data.demo import data_or_demo
from eagleray.distributed.losses import resumed
from eagleray.distributed.memory import peak_rss_mb
from eagleray.distributed.ray_pool import PoolConfig, RayPool
from eagleray.distributed.ray_trainer import RayTrainer, TrainConfig
from eagleray.distributed.timeline import Timeline
from eagleray.errors import ConfigError
from eagleray.experts import ScoringConfig
from eagleray.experts.discriminator_training import DiscriminatorConfig
from eagleray.features import Extractor, FeaturesConfig, build_extractor
from eagleray.mixture import BANKS, CANDIDATES, MIXTURE_KIND, SIMPLENET, Design, Mixture
from eagleray.provenance import origin
from eagleray.reports import MIXTURE_JOB, SCHEMA_VERSION, SCORES_SCHEMA, write_report, write_results, write_scores
from eagleray.routing import RoutingConfig
from eagleray.storage import Manifest, ModelStore
from eagleray.uris import Uri, absolute

_DEFAULT_K = 4
"""Best of the paper's Fig. 6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureJob:
    """Learn categories with subclasses; every field is a flag."""

    data: Uri | Path | None = None
    """Folder or URI in Texture AD layout (category/subclass), or in MVTec AD layout, whose subclasses k-means then
    finds; without it, demo textures are generated."""
    out: Uri | Path = Path("runs/adapted_moe")
    """Folder or URI for the model, the results and the report."""
    preset: Literal["best", "paper"] = "best"
    """Where the settings start from: best is ours, paper is Adapted-MoE as docs/methods.md reads it."""
    seed: int = 0
    """Decides every random choice."""
    resume: bool = False
    """Go on with an interrupted run."""
    address: str | None = None
    """Ray cluster to join, such as auto or host:6379; "none" runs in this process, without Ray."""
    profile: bool = False
    """Write a timeline of driver and workers, timeline.json among the results, for ui.perfetto.dev or chrome://tracing."""
    categories: tuple[str, ...] = ()
    """Categories to learn, by name; all by default."""
    moe: bool = True
    """One expert a subclass behind a routing network; without it one expert for all."""
    tta: bool = True
    """Test-time adaption, eq. 5."""
    norm: bool = True
    """Patches get length 1, eq. 6; discriminators only."""
    expert: Literal["auto", "bank", "discriminator"] = "auto"
    """What experts are; auto has the design chosen on subclasses left out, with synthetic anomalies."""
    adaption: AdaptionKind = "std"
    """What test-time adaption adapts, where the design is not chosen."""
    adapt_training: bool = True
    """Adapt the pictures that experts learn from too, not only those of the test; where the design is not chosen."""
    loss: Literal["center", "softmax"] = "center"
    """Of the routing network: eq. 2, or its cross entropy alone."""
    top_k: int = 0
    """Experts asked of a picture; 0 is 4, or all where there are fewer."""
    ablation: bool = False
    """Measure the paper's tables beside the model: parts, losses, top-k."""
    top_k_curve: bool = False
    """Of those tables measure only the one over the number of experts asked."""
    repeats: int = 1
    """Trainings from different seeds behind each row of those tables and of the baselines."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    features: FeaturesConfig = field(default_factory=lambda: FeaturesConfig(image_size=256))
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        check_at_least("--top-k", self.top_k, 0)
        if self.routing.loss != "center":
            raise ConfigError("--routing.loss", "left alone: --loss sets it", self.routing.loss)
        check_at_least("--repeats", self.repeats, 1)
        if not 0 <= self.seed < 2**32 - self.repeats:
            raise ConfigError("--seed", f"in 0 to {2**32 - self.repeats - 1}", self.seed)


PRESETS = {
    "best": MixtureJob(),
    "paper": MixtureJob(
        preset="paper",
        expert="discriminator",
        scoring=ScoringConfig(top_share=0.0),
    ),
}
"""The paper's backbone is a wide_resnet50_2, which has to be downloaded: --features.backbone wide_resnet50_2
--features.weights timm (docs/methods.md)."""


@resumed
def run_mixture_job(job: MixtureJob, *, progress: Progress = silent) -> dict[str, Any]:
    """Learn, judge, and write `results.json`, `scores.parquet`, `model/`, `examples/` and `report.html` to job.out.

    Returns:
        The results, as they were written.
    """
    start, timeline = perf_counter(), Timeline(MIXTURE_JOB, wanted=job.profile)
    if not job.resume and _has_learned(job.out / "model"):
        raise ConfigError("--out", "a new folder, or --resume to go on with the run in it", str(job.out))
    with timeline.stage("read"):
        categories = _open_data(job)
    with timeline.stage("extractor"):
        extractor = build_extractor(job.features)
    store = ModelStore.create(job.out / "model")
    features = {**to_json(extractor.config), "weights_sha256": extractor.weights_sha256}
    ours = Manifest(kind=MIXTURE_KIND, features=features, config=_settings(job), seed=job.seed)
    check_same_settings(store, ours)
    with _workers(job, extractor, store, timeline) as (pool, trainer):
        run = _Run(job, pool, trainer, store, fingerprint(features), timeline.watch(progress))
        with timeline.stage("embed"):
            run.embed(categories)
        with timeline.stage("choose"):
            run.choose()
        with timeline.stage("learn"):
            manifest = run.learn(first_manifest(store, ours, extractor_blob=store.put_blob(extractor.onnx)))
        with timeline.stage("results"):
            results = run.results(manifest)
        results["seconds"] = {**run.seconds, "total": perf_counter() - start}
        results["processes"] = {"driver": peak_rss_mb(), **pool.peak_rss_mb()}
        results["peak_rss_mb"] = max(results["processes"].values())
    with timeline.stage("report"):
        write_results(job.out, results)
        write_report(job.out)
    timeline.write(job.out)
    return results


class _Run:
    """One run of the job: its stages in order."""

    def __init__(
        self,
        job: MixtureJob,
        pool: ExpertPool,
        trainer: Trainer,
        store: ModelStore,
        features: str,
        progress: Progress,
    ) -> None:
        self._job, self._pool, self._store, self._progress = job, pool, store, progress
        self._features = features
        self._workshop = Workshop(
            pool,
            trainer,
            mixture=job.mixture,
            bank=job.bank,
            discriminator=job.discriminator,
            routing=job.routing,
        )
        self._data: list[CategoryPatches] = []
        self._evidence: dict[str, list[Evidence]] = {}
        self._designs: dict[str, Design] = {}
        self.seconds: dict[str, float] = {}

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(self._job.seed, self._job.seed + self._job.repeats))

    @contextmanager
    def _stage(self, name: str, label: str) -> Iterator[None]:
        start = perf_counter()
        with self._progress(label, 0):
            yield
        self.seconds[name] = perf_counter() - start

    def embed(self, categories: Sequence[SubclassedCategory]) -> None:
        """Every picture, once."""
        job, start = self._job, perf_counter()
        for category in categories:
            total = sum(len(one.train) + len(one.test) for one in category.subclasses)
            with self._progress(f"embed {category.name}", total) as advance:
                data = embed_category(
                    category,
                    self._pool,
                    holdout_share=job.mixture.holdout_share,
                    num_subclasses=job.mixture.subclasses,
                    seed=job.seed,
                    features=self._features,
                    advance=advance,
                )
            if job.moe and 1 < len(data.present) < job.top_k:
                expected = f"at most {len(data.present)}, the experts of category {data.name!r}"
                raise ConfigError("--top-k", expected, job.top_k)
            self._data.append(data)
        self.seconds["embed"] = perf_counter() - start

    def choose(self) -> None:
        """The design of each category: given, or the best on subclasses left out."""
        job = self._job
        given = paper_design(moe=job.moe, tta=job.tta, norm=job.norm, adaption=job.adaption)
        given = dataclasses.replace(given, adapt_training=job.adapt_training)
        if job.expert == "bank":
            given = dataclasses.replace(given, expert="bank", norm=False)
        fits = [d for d in CANDIDATES if (job.moe or not d.moe) and (job.tta or d.adaptions == ("none",))]
        weighed = [data for data in self._data if job.expert == "auto" and len(data.present) > 1]
        if weighed:
            with self._stage("evidence", "choose designs"):
                self._evidence = weigh(
                    weighed,
                    fits,
                    self._workshop,
                    job.mixture,
                    job.scoring,
                    folder=absolute(job.out / "evidence"),  # workers have working directories of their own
                    top_k=job.top_k or _DEFAULT_K,
                    sigma=job.evaluation.heatmap_sigma,
                    seed=job.seed,
                )
        for data in self._data:
            if data.name in self._evidence:
                self._designs[data.name] = max(self._evidence[data.name], key=lambda one: one.merit).design
            elif job.expert == "auto":  # nothing can be left out
                self._designs[data.name] = fits[0]
            else:
                self._designs[data.name] = dataclasses.replace(given, moe=job.moe and len(data.present) > 1)

    def learn(self, manifest: Manifest) -> Manifest:
        """Fit each category's mixture and keep it as a version."""
        job = self._job
        config = StudyConfig(
            adaption=job.adaption,
            adapt_training=job.adapt_training,
            top_k=job.top_k or _DEFAULT_K,
            seeds=self._seeds,
            ablation=job.ablation,
            top_k_curve=job.top_k_curve,
            baselines=BANKS if job.expert != "discriminator" and not job.ablation else {"simplenet": SIMPLENET} | BANKS,
            sigma=job.evaluation.heatmap_sigma,
        )
        self._study = Study(self._data, self._workshop, config, job.scoring)
        self._built = [
            self._study.built(data, self._designs[data.name], job.seed, loss=job.loss) for data in self._data
        ]
        with self._stage("learn", "train experts"):
            self._workshop.prepare(self._built)
        self._mixtures: dict[str, Mixture] = {}
        for built in self._built:
            manifest, self._mixtures[built.data.name] = keep(built, self._workshop, self._store, manifest, job.scoring)
        return manifest

    def results(self, manifest: Manifest) -> dict[str, Any]:
        """Everything that `results.json` holds but time and memory; writes the raw scores and the example pictures."""
        job = self._job
        with self._stage("study", "measure"):
            found = outcome(
                self._study,
                self._workshop,
                self._built,
                self._mixtures,
                self._evidence,
                manifest,
                scoring=job.scoring,
                evaluation=job.evaluation,
                out=job.out,
            )
            tables = self._study.run()
        write_scores(job.out, pa.Table.from_pylist(found.pop("scores"), schema=SCORES_SCHEMA))
        return {
            "schema": SCHEMA_VERSION,
            "job": MIXTURE_JOB,
            "preset": job.preset,
            "config": {**_resolved(job), "designs": {name: design.name for name, design in self._designs.items()}},
            "seed": job.seed,
            **origin(job.data),
            "model_version": manifest.version,
            **found,
            **tables,
            "warnings": [f"picture left out: {one.path}: {one.reason}" for data in self._data for one in data.skipped],
        }


def _has_learned(model: Path | Uri) -> bool:
    return (model / "CURRENT").exists() and ModelStore.open(model).current() is not None


def _open_data(job: MixtureJob) -> tuple[SubclassedCategory, ...]:
    root = data_or_demo(job.data, job.out, partial(write_textures, seed=job.seed))
    if is_texture_ad(root):
        return read_texture_ad(root, job.categories)
    return tuple(with_subclasses(category) for category in open_dataset(root, job.categories))


@contextmanager
def _workers(
    job: MixtureJob, extractor: Extractor, store: ModelStore, timeline: Timeline
) -> Iterator[tuple[ExpertPool, Trainer]]:
    folder = str(absolute(job.out / "training"))
    if job.address == "none":
        with LocalPool(extractor, store) as local:
            yield local, LocalTrainer(folder)
        return
    with timeline.cluster(job.address), RayPool(extractor, store, job.pool) as pool, timeline.workers():
        yield pool, RayTrainer(folder, pool, job.train)


def _settings(job: MixtureJob) -> dict[str, Any]:
    """What decides the model: a store is only continued with the same."""
    names = (
        "moe",
        "tta",
        "norm",
        "adapt_training",
        "expert",
        "adaption",
        "loss",
        "top_k",
        "mixture",
        "routing",
        "discriminator",
        "bank",
        "scoring",
    )
    settings = {name: to_json(getattr(job, name)) for name in names}
    return settings | {"evaluation": {"heatmap_sigma": job.evaluation.heatmap_sigma}}


def _resolved(job: MixtureJob) -> dict[str, Any]:
    """The settings that decide the figures; not where or how often the job ran."""
    config: dict[str, Any] = to_json(dataclasses.replace(job, features=job.features.resolved(), data=None, out=Path()))
    elsewhere = ("data", "out", "resume", "address", "profile", "pool", "train")
    return {key: value for key, value in config.items() if key not in elsewhere}
