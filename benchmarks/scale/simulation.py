"""A model that learns one class after another, and what it costs on the way."""

import pickle
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.class_cost import Clock, TimedLearner, TimedPool
from benchmarks.scale.products import UNTAUGHT, ProductRange, SyntheticExtractor, write_picture
from eagleray.config import check_at_least, to_json
from eagleray.continual import Arrival, Judge, LearnerConfig, MecadConfig, Plan, StreamConfig, open_judge
from eagleray.data import Category, Sample
from eagleray.errors import ConfigError
from eagleray.storage import ModelStore

SHOWN = (1, 10, 15, 100, 500, 1000, 2000)
"""Numbers of classes at which the model is looked at."""
GRID = 24
"""Patches on a side of the default grid."""
_TENTH = 10
_ROWS = 400
_FIRST_TEST = 200
_FALSE_ALARMS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is simulated."""

    out: Path = Path("runs/scale")
    """Folder for the figures; the model lies there while the simulation runs, about 1.5 MB a class."""
    classes: int = 2000
    """Classes to learn, one after another."""
    experts: int = 200
    """Experts that share them."""
    family: int = 10
    """Classes that look alike; 1 is a range in which every product is unlike every other."""
    images: int = 8
    """Good pictures of each class."""
    grid: int = 8
    """Patches on a side of a picture to be learned."""
    routed: int = 300
    """Pictures to be routed at each number of classes that is shown, and as many of products nobody taught."""
    window: int = 9
    """Classes up to a number that is shown whose times are taken together."""
    seed: int = 0

    def __post_init__(self) -> None:
        for flag in ("classes", "experts", "family", "grid", "routed", "window"):
            check_at_least(f"--{flag}", getattr(self, flag), 1)
        if self.classes > UNTAUGHT:
            raise ConfigError("--classes", f"at most {UNTAUGHT}", self.classes)
        if not 5 <= self.images < _FIRST_TEST:
            raise ConfigError("--images", f"in 5 to {_FIRST_TEST - 1}", self.images)


class Simulation:
    """A model that learns one class after another, in an order in which families are mixed."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._products = ProductRange(options.seed, options.family)
        order = np.random.default_rng([options.seed, 5]).permutation(options.classes)
        self._order: list[int] = order.tolist()
        self._draws = np.random.default_rng([options.seed, 6])
        self._store = ModelStore.create(folder / "model")
        self._pool = TimedPool(SyntheticExtractor(self._products, options.grid), self._store)
        self._learner = self._new_learner()
        self._judge: Judge | None = None

    def _new_learner(self) -> TimedLearner:
        options = self._options
        capacity = -(-options.classes // options.experts)
        mecad = MecadConfig(
            num_experts=options.experts,
            expert_capacity=capacity,
            rows_per_class=_ROWS,
            rows_per_expert=capacity * _ROWS,
        )
        return TimedLearner(
            LearnerConfig(mecad=mecad),
            StreamConfig(),
            self._pool,
            self._store,
            features={
                **to_json(SyntheticExtractor(self._products, options.grid).config),
                "weights_sha256": "synthetic",
            },
            extractor_blob=self._store.put_blob(b"synthetic"),
            seed=options.seed,
        )

    def learn(self, step: int) -> Clock:
        """Learn the class that arrives at a step of the stream; seconds by stage."""
        clock = self._pool.clock = Clock()
        product = self._order[step]
        name, folder = _name(product), self._folder / "pictures" / _name(product)
        paths = [write_picture(folder / f"{number}.png", product, number) for number in range(self._options.images)]
        samples = tuple(Sample(str(path), name, "train", 0, "good", None) for path in paths)
        with threadpool_limits(1), clock.timed("learn"):
            self._learner.take(Arrival(Category(name, samples, ())))
        clock.split("learn", "files", ("embed", "assign", "fit", "commit"))
        return clock

    def figures(self) -> dict[str, float]:
        """What the model costs as it is now: bytes, seconds, shares."""
        with threadpool_limits(1):
            return self._figures()

    def _figures(self) -> dict[str, float]:
        model, manifest = self._learner.model, self._store.current()
        if manifest is None:
            raise ValueError("nothing is learned yet")
        start_s, judge = _timed(lambda: open_judge(self._store, manifest, false_alarm_rate=_FALSE_ALARMS))
        previous, self._judge = self._judge or judge, judge
        follow_s, _ = _timed(lambda: self._follow(previous))
        blobs, numbered = self._folder / "model" / "blobs", self._folder / "model" / "versions"
        newest = manifest.history[-1]
        own = model.banks[newest.class_name]
        picture_HWD = self._products.picture(0, _FIRST_TEST, GRID)
        sizes = {
            "experts": len(model.classes_held()),
            "rows": sum(model.rows_held().values()),
            "judge_bytes": _memory(lambda: open_judge(self._store, manifest, false_alarm_rate=_FALSE_ALARMS)),
            "banks_bytes": sum((blobs / entry.blob).stat().st_size for entry in manifest.classes.values()),
            "manifest_bytes": (numbered / f"{model.version}.json").stat().st_size,
            "manifests_bytes": sum(path.stat().st_size for path in numbered.iterdir()),
            "start_s": start_s,
            "follow_s": follow_s,
        }
        network = {
            "patches_of_a_picture_learned": picture_HWD.astype(np.float16).nbytes,
            "new_bank": (blobs / own.digest).stat().st_size,
            "answer_of_the_expert": len(pickle.dumps({newest.class_name: own})),
            "patches_of_a_picture_scored": picture_HWD.nbytes,
            "patch_scores": picture_HWD[..., 0].nbytes,
        }
        return {**sizes, **{f"sent_{what}_bytes": size for what, size in network.items()}, **self._routing(judge)}

    def _follow(self, previous: Judge) -> Judge:
        """What a service does when it sees that a version was published."""
        manifest = self._store.read(self._learner.model.version)
        return open_judge(self._store, manifest, false_alarm_rate=_FALSE_ALARMS, previous=previous)

    def _routing(self, judge: Judge) -> dict[str, float]:
        """How fast and how well a judge finds the classes of pictures that nobody learned."""
        number, known = self._options.routed, len(self._learner.history)
        products = self._draws.choice(self._order[:known], number).tolist()
        taught, cpu_s, wall_s = self._plans(judge, products)
        others = [UNTAUGHT + self._options.family * i for i in range(number)]
        untaught, others_cpu_s, _ = self._plans(judge, others)
        right = [plan.category == _name(product) for product, plan in zip(products, taught, strict=True)]
        return {
            "route_ms": 1e3 * float(np.mean(cpu_s)),
            "route_wall_ms": 1e3 * float(np.median(wall_s)),
            "route_untaught_ms": 1e3 * float(np.mean(others_cpu_s)),
            "routed_right": float(np.mean(right)),
            "taught_called_unknown": _share_unknown(judge, taught),
            "untaught_called_unknown": _share_unknown(judge, untaught),
        }

    def _plans(self, judge: Judge, products: Sequence[int]) -> tuple[list[Plan], list[float], list[float]]:
        """Plans for a picture of each product, one after another, as a service asks for them; CPU and wall seconds."""
        plans, cpu_s, wall_s = [], [], []
        for product in products:
            patches_HWD = self._products.picture(product, int(self._draws.integers(_FIRST_TEST, 2**31)), GRID)
            wall, cpu = perf_counter(), process_time()
            plans.append(judge.plan(patches_HWD))
            cpu_s.append(process_time() - cpu)
            wall_s.append(perf_counter() - wall)
        return plans, cpu_s, wall_s


def simulate(options: Options, folder: Path) -> Iterator[dict[str, Any]]:
    """Learn class after class; yields what each took, and what the model costs at the numbers that are shown."""
    simulation = small = Simulation(options, folder / "large")
    shown = {k for k in SHOWN if k <= options.classes - options.window} | {options.classes}
    windows = [range(k - options.window, k) for k in sorted(shown) if k - options.window > _TENTH]
    for step in range(options.classes):
        row: dict[str, Any] = {"k": step + 1, **asdict(simulation.learn(step))}
        for window in windows:
            if step == window[0]:
                small = Simulation(options, folder / f"small-{window[-1] + 1}")
                for earlier in range(_TENTH - 1):
                    small.learn(earlier)
            if step in window:
                row["tenth"] = asdict(small.learn(step))
        if step + 1 in shown:
            row["figures"] = simulation.figures()
        yield row


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of CPU, and what was made."""
    begun = process_time()
    made = work()
    return process_time() - begun, made


def _memory(make: Callable[[], Any]) -> int:
    """Bytes of Python and numpy that what is made keeps."""
    tracemalloc.start()
    try:
        made = make()
        return tracemalloc.get_traced_memory()[0] if made else 0
    finally:
        tracemalloc.stop()


def _share_unknown(judge: Judge, plans: Sequence[Plan]) -> float:
    scores_HW = np.zeros((GRID, GRID), np.float32)
    return float(np.mean([judge.finding(plan, [scores_HW]).verdict == "unknown" for plan in plans]))


def _name(product: int) -> str:
    return f"product-{product:05d}"
