"""The expert pool on Ray: embed actors, an actor an expert, and the bank store.

The driver holds references; patches go from actor to actor through shared memory. Actors are restarted and their work
is done again when they die, which is safe because every piece of work is a function of its arguments. Patches that lay
on a node that died are gone: whoever needs them gets an `ObjectLostError` (see `losses`).
"""

import contextlib
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import ray

from eagleray.config import check_at_least
from eagleray.continual import (
    Advance,
    ExpertUpdate,
    PatchSet,
    ScoredImage,
    ScoreItem,
    ShardInfo,
    StoredBank,
    cut,
    no_progress,
    wanted,
)
from eagleray.distributed.bank_store import BankStore
from eagleray.distributed.embed_worker import EmbedWorker
from eagleray.distributed.expert_worker import ExpertWorker
from eagleray.distributed.naming import NAMESPACE, own_namespace
from eagleray.distributed.places import Places, on
from eagleray.distributed.spreading import RETRIES, result_of, spread
from eagleray.errors import EagleRayWarning
from eagleray.features import Extractor
from eagleray.storage import ModelStore, Skipped

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """How work is spread; nothing here changes a result."""

    embed_workers: int = 0
    """Actors that embed and score; 0 is one for each GPU that is free or, without any, one for each CPU. More than
    there is room for wait for room, and have a cluster that scales grow; on GPUs they share those that are there."""
    threads_per_worker: int = 1
    """CPU threads and CPUs of each embed worker."""

    def __post_init__(self) -> None:
        check_at_least("--pool.embed-workers", self.embed_workers, 0)
        check_at_least("--pool.threads-per-worker", self.threads_per_worker, 1)


class RayPool:
    """An `ExpertPool` on a running Ray cluster; a context manager that stops what it started."""

    def __init__(self, extractor: Extractor, store: ModelStore, config: PoolConfig) -> None:
        self._store = store
        self._start = partial(_start_embed_workers, extractor, store, config, gpus=_free_gpus())
        self._running: list[Any] = self._start()
        self._peaks: dict[str, float] = {}
        self._experts: dict[int, Any] = {}
        self._homes = Places()
        self._experts_namespace = own_namespace()
        self._bank_store: Any = None

    def embed(self, paths: Sequence[str], advance: Advance = no_progress, *, half: bool = True) -> PatchSet:
        """Embed pictures, in order, in shards."""
        infos: dict[int, ShardInfo] = {}
        shards: dict[int, Any] = {}

        def submit(worker: Any, part: Sequence[str], number: int) -> Any:
            info, shards[number] = worker.embed.options(num_returns=2).remote(part, half=half)
            return info

        parts = cut(paths)
        for number, info in spread(self._workers, parts, submit, _call):
            infos[number] = info
            advance(len(parts[number]))
        order = range(len(infos))
        return PatchSet(tuple(infos[n] for n in order), tuple(shards[n] for n in order))

    def update_expert(
        self, expert: int, update: ExpertUpdate, memory: Sequence[str], fit: PatchSet, calibration: PatchSet
    ) -> dict[str, StoredBank]:
        """Carry out an update on the expert's own actor."""
        if expert not in self._experts:
            actor = ray.remote(ExpertWorker).options(
                name=f"expert-{expert}",
                namespace=self._experts_namespace,
                num_cpus=0,
                memory=_PLACED,
                scheduling_strategy=on(self._homes.take()),
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
            self._experts[expert] = actor.remote(self._store)
        banks = self._refs(memory)
        patches = (*fit.filled, *calibration.filled)
        work = self._experts[expert].update.remote(update, len(banks), len(fit.filled), *banks, *patches)
        changed: dict[str, StoredBank] = result_of(work)
        return changed

    def score(self, items: Sequence[ScoreItem], advance: Advance = no_progress) -> list[ScoredImage | Skipped]:
        """Score pictures, each against the class banks it names; one result an item, in order."""

        def submit(worker: Any, part: Sequence[ScoreItem], number: int) -> Any:
            digests = wanted(part)
            return worker.score.remote(part, digests, *self._refs(digests))

        results: dict[int, list[ScoredImage | Skipped]] = {}
        parts = cut(items)
        for number, result in spread(self._workers, parts, submit, _call):
            results[number] = result
            advance(len(parts[number]))
        return [result for number in range(len(results)) for result in results[number]]

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call a function of the module level on each item, as Ray tasks."""
        return self._tasks(function, ((item,) for item in items), no_progress)

    def map_patches(
        self, function: Callable[..., Result], work: Sequence[tuple[Any, PatchSet]], advance: Advance = no_progress
    ) -> list[Result]:
        """Call a function of the module level as function(item, *shards), as Ray tasks where the patches are."""
        return self._tasks(function, ((item, *patches.filled) for item, patches in work), advance)

    def _tasks(
        self, function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], advance: Advance
    ) -> list[Result]:
        """A window of tasks, as wide as the cluster has CPUs."""
        task, places = ray.remote(function), Places()
        results: dict[int, Result] = {}
        pending: dict[Any, tuple[int, str]] = {}

        def finish(ref: Any) -> None:
            number, node = pending.pop(ref)
            places.leave(node)
            results[number] = result_of(ref)
            advance(1)

        for number, values in enumerate(arguments):
            if places.full:
                done, _ = ray.wait(list(pending), num_returns=1)
                finish(done[0])
            node = places.take(values)
            pending[task.options(num_cpus=0, scheduling_strategy=on(node)).remote(*values)] = (number, node)
        for ref in list(pending):
            finish(ref)
        return [results[number] for number in range(len(results))]

    def peak_rss_mb(self) -> dict[str, float]:
        """Largest resident memory of each kind of worker so far, in MB."""
        for kind, workers in (("embed_worker", self._running), ("expert_worker", self._experts.values())):
            asked = [worker.peak_rss_mb.remote() for worker in workers]
            answered = ray.wait(asked, num_returns=len(asked), timeout=_PEAK_S)[0] if asked else []
            for answer in answered:
                with contextlib.suppress(ray.exceptions.RayActorError):
                    self._peaks[kind] = max(self._peaks.get(kind, 0.0), ray.get(answer))
        return dict(self._peaks)

    def rest(self) -> None:
        """Stop the embed workers, which hold CPUs or GPUs; the next picture to embed starts them again."""
        self.peak_rss_mb()
        _end(self._running)
        _kill(self._running)
        self._running = []

    @property
    def _workers(self) -> list[Any]:
        if not self._running:
            self._running = self._start()
        return self._running

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the actors, the bank store among them: a node that has any is not idle, and a cluster keeps it."""
        started = [] if self._bank_store is None else [self._bank_store]
        actors = [*self._running, *self._experts.values(), *started]
        if error is None:
            _end(actors)
        _kill(actors)

    def _refs(self, digests: Sequence[str]) -> list[Any]:
        if not digests:
            return []
        if self._bank_store is None:
            self._bank_store = bank_store(self._store)
        refs: list[Any] = result_of(self._bank_store.refs.remote(list(digests)))
        return refs


_PLACED = 2**20
"""Bytes of memory that an expert reserves: an actor that reserves nothing is put anywhere, whatever its strategy."""
_END_S = 5.0
"""Seconds in which an idle actor has ended by itself; one that was never started would not."""
_FREED_S = 5.0
"""Seconds until Ray may have noticed that a GPU was given back, such as by the pool of a run that is begun again."""
_PEAK_S = 10.0
"""Seconds in which a worker has to say how large it is: one that waits for room would never."""


def _call(worker: Any) -> Any:
    """Ask an embed worker for anything, until it answers."""
    return worker.peak_rss_mb.options(max_task_retries=-1).remote()


def _end(actors: Sequence[Any]) -> None:
    """Let idle actors end by themselves: then they tell Ray of their last second too, which a timeline shows."""
    ended = [actor.__ray_terminate__.options(max_task_retries=0).remote() for actor in actors]
    if ended:
        ray.wait(ended, num_returns=len(ended), timeout=_END_S)


def _kill(actors: Sequence[Any]) -> None:
    for actor in actors:
        ray.kill(actor)


def _free_gpus() -> int:
    """GPUs that nothing on the cluster holds: a worker that waited for one of a service would wait for ever."""
    there, until = int(ray.cluster_resources().get("GPU", 0)), time.monotonic() + _FREED_S
    while (free := int(ray.available_resources().get("GPU", 0))) < there and time.monotonic() < until:
        time.sleep(0.2)
    if there and not free:
        text = f"all GPUs of the cluster ({there}) are held by others: pictures are embedded on CPUs"
        warnings.warn(text, EagleRayWarning, stacklevel=3)
    return free


def _start_embed_workers(extractor: Extractor, store: ModelStore, config: PoolConfig, *, gpus: int) -> list[Any]:
    cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    room = sum(one // config.threads_per_worker for one in cpus)
    count = config.embed_workers or max(1, gpus or room)
    actor, namespace = ray.remote(EmbedWorker), own_namespace()
    # OMP_NUM_THREADS follows num_cpus, and so do the threads of onnxruntime, on purpose: one worker, its own cores.
    options = {
        "num_cpus": min(config.threads_per_worker, max(cpus) or config.threads_per_worker),
        "num_gpus": 1 / math.ceil(count / gpus) if gpus else None,  # a share lies on one GPU
        "max_restarts": -1,
    }
    blob, device = store.put_blob(extractor.onnx), "cuda" if gpus else "cpu"
    made_of = (store, blob, extractor.config, extractor.weights_sha256, device, config.threads_per_worker)
    return [
        actor.options(name=f"embed-{number}", namespace=namespace, **options).remote(*made_of)
        for number in range(count)
    ]


def bank_store(store: ModelStore) -> Any:
    """The named, detached bank store of this model on the cluster, started where there is none."""
    actor = ray.remote(BankStore).options(
        name=f"bank-store-{_key(store)}",
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=RETRIES,
        num_cpus=0,
    )
    return actor.remote(store)


def _key(store: ModelStore) -> str:
    return hashlib.sha256(store.uri.encode()).hexdigest()[:8]
