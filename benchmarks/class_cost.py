"""What learning one more class costs, by the number of classes known.

python benchmarks/class_cost.py                        200 classes of 20 images, 40 experts of 6, about two minutes

Synthetic patches stand in for the backbone's; everything else is what a run does: pictures are read from disk, the
learner assigns, fits a bank of 400 rows, and commits a version to a model store. Writes class_cost.json and
class_cost.png. All work is in this process on one thread, so its CPU time is the cost whatever else the machine does.
"""

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from eagleray.config import check_at_least, to_json
from eagleray.console import parse_flags, run_main
from eagleray.continual import Arrival, Learner, LearnerConfig, LocalPool, MecadConfig, ScoreItem, StreamConfig
from eagleray.data import Category, Sample
from eagleray.errors import ConfigError
from eagleray.features import FeaturesConfig
from eagleray.provenance import git_commit, machine, versions
from eagleray.reports import canvas
from eagleray.storage import ModelStore

LEARN = {
    "embed": "synthetic patches in place of the backbone's",
    "files": "digests of the pictures, and the list of them",
    "assign": "eq. 1 and 2 against every expert",
    "fit": "whitening, coreset, calibration, bank to the store",
    "commit": "manifest and CURRENT, synced to disk",
}
"""Stages of learning a class; they add up to its cost."""
JUDGE = {
    "router": "prototypes of all classes, once a version",
    "route": "class of one image",
    "score": "picture, patches and bank read, patches scored",
}
"""Stages of judging with the new version; not part of learning."""
SHOWN = (2, 10, 50, 100, 200)
GRID, DIM = 16, 472
FAMILY = 6
"""Classes in a row that are similar enough to share an expert."""
_TEST_IMAGE = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is streamed."""

    out: Path = Path("runs/class_cost")
    """Folder for the figures and the plot."""
    classes: int = 200
    """Classes to learn, one after another."""
    images: int = 20
    """Good images of each class."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("--classes", self.classes, 3)
        if not 5 <= self.images < _TEST_IMAGE:
            raise ConfigError("--images", f"in 5 to {_TEST_IMAGE - 1}", self.images)


@dataclass(slots=True)
class Clock:
    """Seconds of one class by stage, of the wall and of this process's CPU."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        wall, cpu = perf_counter(), process_time()
        yield
        self.wall[stage] = self.wall.get(stage, 0.0) + perf_counter() - wall
        self.cpu[stage] = self.cpu.get(stage, 0.0) + process_time() - cpu

    def split(self, whole: str, rest: str, parts: tuple[str, ...]) -> None:
        """Call what the parts leave of the whole `rest`."""
        for seconds in (self.wall, self.cpu):
            seconds[rest] = seconds[whole] - sum(seconds[part] for part in parts)


class SyntheticEmbedder:
    """Patches that follow from a picture's colour: red and green number its class, blue the picture."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.class_of = lru_cache(8)(self._class_of)

    def embed(self, image_YX3: Any) -> Any:
        red, green, blue = (int(value) for value in image_YX3[0, 0])
        number = 256 * red + green
        centre_D, directions_JD = self.class_of(number)
        rng = np.random.default_rng([self._seed, 2, number, blue])
        along_PJ = rng.standard_normal((GRID * GRID, len(directions_JD)), np.float32)
        patches_PD = centre_D + along_PJ @ directions_JD
        patches_PD += np.float32(0.01) * rng.standard_normal(patches_PD.shape, np.float32)
        return patches_PD.reshape(GRID, GRID, DIM)

    def _class_of(self, number: int) -> tuple[Any, Any]:
        """Centre near its family's, and the directions in which the class's patches vary."""
        family = np.random.default_rng([self._seed, 0, number // FAMILY])
        own = np.random.default_rng([self._seed, 1, number])
        centre_D = _unit(family) + 0.2 * _unit(own)
        return centre_D.astype(np.float32), 0.1 * np.stack([_unit(own) for _ in range(24)]).astype(np.float32)


@dataclass(frozen=True)
class SyntheticExtractor:
    """Opens the synthetic embedder where a pool expects a backbone."""

    seed: int
    config: FeaturesConfig = field(default_factory=lambda: FeaturesConfig(image_size=32))

    def open(self, *, device: str = "cpu") -> SyntheticEmbedder:
        return SyntheticEmbedder(self.seed)


class TimedPool(LocalPool):
    """The local pool with a clock."""

    clock = Clock()

    def embed(self, *args: Any, **kwargs: Any) -> Any:
        with self.clock.timed("embed"):
            return super().embed(*args, **kwargs)

    def update_expert(self, *args: Any, **kwargs: Any) -> Any:
        with self.clock.timed("fit"):
            return super().update_expert(*args, **kwargs)


class TimedLearner(Learner):
    """The learner with its pool's clock."""

    def _assign(self, *args: Any) -> Any:
        with self._pool.clock.timed("assign"):
            return super()._assign(*args)

    def _commit(self, *args: Any) -> Any:
        with self._pool.clock.timed("commit"):
            return super()._commit(*args)


def measure(options: Options, folder: Path) -> Iterator[dict[str, Any]]:
    """Learn class after class; yields what each took."""
    store = ModelStore.create(folder / "model")
    extractor = SyntheticExtractor(options.seed)
    embedder = extractor.open()
    pool = TimedPool(extractor, store)
    learner = TimedLearner(
        LearnerConfig(mecad=MecadConfig(num_experts=max(40, -(-options.classes // FAMILY)), expert_capacity=FAMILY)),
        StreamConfig(),
        pool,
        store,
        features={**to_json(extractor.config), "weights_sha256": "synthetic"},
        extractor_blob=store.put_blob(b"synthetic"),
        seed=options.seed,
    )
    rng = np.random.default_rng([options.seed, 3])
    for number in range(options.classes):
        clock = pool.clock = Clock()
        arrival = Arrival(_category(folder / "pictures", number, options.images))
        with clock.timed("learn"):
            event = learner.take(arrival)
        clock.split("learn", "files", ("embed", "assign", "fit", "commit"))
        test = int(rng.integers(number + 1))
        path = _picture(folder / "pictures", test, _TEST_IMAGE)
        mean_D = embedder.embed(np.asarray(Image.open(path))).mean(axis=(0, 1))
        with clock.timed("router"):
            router = learner.model.router()
        with clock.timed("route"):
            routed = router.route(mean_D)
        with clock.timed("score"):
            pool.score([ScoreItem(path, learner.model.scored_against(routed))])
        yield {
            "k": number + 1,
            "expert": event.expert,
            "routed_right": routed == _name(test),
            "manifest_bytes": (folder / f"model/versions/{learner.model.version}.json").stat().st_size,
            **asdict(clock),
        }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians around the shown numbers of classes, and how the last ten classes compare with the second to eleventh."""
    last = len(rows)
    around = {k: [r for r in rows if r["k"] > 1 and abs(r["k"] - k) <= 2] for k in SHOWN if 1 < k <= last}
    early, late = rows[1:11], rows[max(1, last - 10) :]
    clocks = ("cpu", "wall")
    return {
        "medians": {k: {c: _medians(near, c) for c in clocks} for k, near in around.items()},
        "ratio": {c: {s: _medians(late, c)[s] / _medians(early, c)[s] for s in _medians(early, c)} for c in clocks},
        "windows": [[r["k"] for r in window] for window in (early, late)],
        "routing_accuracy": float(np.mean([r["routed_right"] for r in rows])),
        "manifest_bytes_per_class": float(np.diff([r["manifest_bytes"] for r in rows]).mean()),
    }


def table(summary: dict[str, Any]) -> Table:
    """Milliseconds by stage and number of classes."""
    first, last = summary["windows"]
    ratio = f"classes {last[0]}-{last[-1]} / {first[0]}-{first[-1]}"
    shown = Table(*("k", "learn", *LEARN, *JUDGE), title="ms of CPU (of the wall), median of k-2 to k+2")
    for k, medians in summary["medians"].items():
        cells = [f"{1e3 * medians['cpu'][s]:.1f} ({1e3 * medians['wall'][s]:.1f})" for s in ("learn", *LEARN, *JUDGE)]
        shown.add_row(str(k), *cells)
    cpu, wall = summary["ratio"]["cpu"], summary["ratio"]["wall"]
    shown.add_row(ratio, *(f"{cpu[s]:.2f} ({wall[s]:.2f})" for s in ("learn", *LEARN, *JUDGE)))
    return shown


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """CPU time of each class: a dot each, and the running median of five."""
    figure, axes = canvas.blank(7.5, 3.8)
    names = {"learn": "learn, in all", **{stage: stage for stage in ("fit", "embed", "commit", "assign")}}
    judge = {"route": "route an image", "score": "score an image"}
    k = [row["k"] for row in rows]
    ends = {}
    for (stage, _), colour in zip({**names, **judge}.items(), canvas.EXPERT_COLOURS, strict=True):
        values = 1e3 * np.array([row["cpu"][stage] for row in rows])
        smooth = [float(np.median(values[max(0, i - 2) : i + 3])) for i in range(len(values))]
        axes.plot(k, values, ".", markersize=2, color=colour, alpha=0.4)
        axes.plot(k, smooth, linewidth=1.4, linestyle="--" if stage in judge else "-", color=colour)
        ends[stage] = (smooth[-1], colour)
    axes.set_yscale("log")
    places = 10 ** canvas.spread([float(np.log10(value)) for value, _ in ends.values()], 0.22)
    for (stage, (_, colour)), place in zip(ends.items(), places, strict=True):
        canvas.beside(axes, 1.02, float(place), {**names, **judge}[stage], color=colour)
    axes.grid(axis="y", color=canvas.FAINT, linewidth=0.8)
    canvas.label(axes, "classes known, the new one included", "ms of CPU, one thread")
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    Image.open(drawn).quantize(64).save(path, optimize=True)  # a third of the bytes: the log keeps it


def run(options: Options) -> dict[str, Any]:
    """Measure, and write the figures and the plot to `options.out`."""
    options.out.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1), tempfile.TemporaryDirectory(dir=options.out) as folder:
        rows = list(measure(options, Path(folder)))
    summary = summarise(rows)
    made = {"options": to_json(options) | {"out": None}, "git_commit": git_commit(), "machine": machine()}
    text = json.dumps({**made, "versions": versions(), **summary, "classes": rows}, indent=1)
    (options.out / "class_cost.json").write_text(text + "\n", encoding="utf-8")
    plot(rows, options.out / "class_cost.png")
    return summary


def main() -> None:
    """Parse, run, print."""
    options = parse_flags({"": Options()}, sys.argv[1:], description=str(__doc__).splitlines()[0])
    summary = run(options)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(summary))
    console.print("; ".join(f"{stage}: {what}" for stage, what in itertools.chain(LEARN.items(), JUDGE.items())))
    console.print(f"routed right: {summary['routing_accuracy']:.3f}   figures and plot in {options.out}")


def _medians(rows: list[dict[str, Any]], clock: str) -> dict[str, float]:
    return {stage: float(np.median([row[clock][stage] for row in rows])) for stage in rows[0][clock]}


def _unit(rng: np.random.Generator) -> Any:
    direction_D = rng.standard_normal(DIM)
    return direction_D / np.linalg.norm(direction_D)


def _name(number: int) -> str:
    return f"class-{number:04d}"


def _category(folder: Path, number: int, num_images: int) -> Category:
    name = _name(number)
    samples = [Sample(_picture(folder, number, i), name, "train", 0, "good", None) for i in range(num_images)]
    return Category(name, tuple(samples), ())


def _picture(folder: Path, number: int, image: int) -> str:
    """Write one picture of a single colour, which says what it shows."""
    path = folder / _name(number) / f"{image:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (number // 256, number % 256, image)).save(path)
    return str(path)


if __name__ == "__main__":
    sys.exit(run_main(main))
