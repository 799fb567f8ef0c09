"""What contestants have in common: a job from a file, a warm-up, timed stages, figures in a file.

A contestant is a process of its own, so that its peak memory is its own, and runs in its library's environment:

    PYTHON -m benchmarks.peers.contestants.anomalib_patchcore JOB.json

So this module needs nothing but numpy and Pillow, and whatever runs another library imports none of ours.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FIGURES, SCORES = "figures.json", "scores.npz"
_WARM_PICTURES, _WARM_ROWS = 8, 128


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a contestant is asked; the same for all."""

    threads: int
    seed: int
    rows: int
    """Rows of a bank."""
    backbone: str
    """A timm network."""
    weights: str
    """File with the state dict of its features, which all contestants load or compare with."""
    weights_sha256: str
    strides: list[int]
    """Taps."""
    mean: list[float]
    std: list[float]
    image_size: int
    train: dict[str, list[str]]
    """Good pictures of each product, of this size already, in the order of the stream."""
    test: dict[str, list[str]]
    out: str
    """Folder for what was found."""

    @classmethod
    def read(cls, path: Path) -> "Job":
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @property
    def only_train(self) -> list[str]:
        """Good pictures of the one product."""
        (paths,) = self.train.values()
        return paths

    @property
    def only_test(self) -> list[str]:
        (paths,) = self.test.values()
        return paths


class Detector(Protocol):
    """A memory bank over patches of a frozen backbone."""

    def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Embed good pictures and keep their patches."""

    def select(self, num_rows: int) -> None:
        """Make a bank of so many rows of the patches kept."""

    def predict(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[list[float], list[NDArray[np.float32]]]:
        """Score and map (Y, X) of each picture; higher is more anomalous."""

    def patches(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Patches (H, W, D) of one picture, to compare contestants by."""


def read_job() -> Job:
    """The job that this process was started for."""
    return Job.read(Path(sys.argv[1]))


def load(paths: Sequence[str]) -> list[NDArray[np.uint8]]:
    """Pictures (Y, X, 3)."""
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


@contextmanager
def clock(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add what the block takes to a stage."""
    began = perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + perf_counter() - began


def peak_mb() -> float:
    """Most memory that this process has held so far.

    Not getrusage: there, a process begins with its parent's peak.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def write_figures(job: Job, figures: dict[str, Any]) -> None:
    """Write what was found; the file is there only when it is whole."""
    path = Path(job.out) / FIGURES
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def compete(make: Callable[[Job], Detector]) -> None:
    """Learn the job's pictures and score its test pictures, stage by stage.

    Timed from pixels in memory to patches, from patches to a bank, and from pixels to scores and maps. Starting,
    reading files and a first, small round of all three stages are not.
    """
    job = read_job()
    train, test = load(job.only_train), load(job.only_test)
    loaded_mb = peak_mb()
    warm = make(job)
    warm.embed(train[:_WARM_PICTURES])
    warm.select(min(job.rows, _WARM_ROWS))
    warm.predict(test[:_WARM_PICTURES])
    del warm

    seconds: dict[str, float] = {}
    detector = make(job)
    with clock(seconds, "embed"):
        detector.embed(train)
    with clock(seconds, "select"):
        detector.select(job.rows)
    with clock(seconds, "predict"):
        scores, maps = detector.predict(test)
    peak = peak_mb()
    np.savez(Path(job.out) / SCORES, scores=scores, maps=np.stack(maps), patches=detector.patches(train[0]))
    found = {"seconds": seconds, "num_train": len(train), "num_test": len(test)}
    write_figures(job, {**found, "peak_mb": peak, "loaded_mb": loaded_mb})
