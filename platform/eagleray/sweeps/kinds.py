"""The sweeps that there are, each a job whose fields are flags; every one says which points it walks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from eagleray.banks import BankConfig
from eagleray.config import check_at_least
from eagleray.continual import CalibrationConfig, EvaluationConfig, MecadConfig, StreamConfig
from eagleray.distributed import PoolConfig
from eagleray.distributed.stream_job import PRESETS as STREAM_PRESETS
from eagleray.errors import ConfigError
from eagleray.experts import ScoringConfig
from eagleray.features import FeaturesConfig
from eagleray.sweeps.points import StreamSettings, budget_points, expert_points, read_space, threshold_points
from eagleray.sweeps.tune_runner import TuneConfig
from eagleray.uris import Place, Uri


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepJob:
    """What all sweeps have in common; every field is a flag."""

    kind: ClassVar[str]

    data: Uri | Path | None = None
    """Folder, or URI such as s3://bucket/images, of images in MVTec AD layout, or of good images only;
    without it, demo products are generated."""
    out: Uri | Path | None = None
    """Folder or URI for the trials, the results and the report; runs/sweep-KIND by default."""
    preset: Literal["best", "paper"] = "best"
    """Where the settings start from: best is ours, paper is MECAD to the letter."""
    seed: int = 0
    """Decides every random choice."""
    resume: bool = False
    """Go on with an interrupted sweep."""
    address: str | None = None
    """Ray cluster to join, such as auto or host:6379; "none" runs in this process, without Ray."""
    profile: bool = False
    """Write a timeline of driver and workers, timeline.json among the results, for ui.perfetto.dev or chrome://tracing."""
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
    def folder(self) -> Place:
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
