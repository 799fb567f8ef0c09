"""The expert pool on Ray: embed actors, an actor an expert, and the bank store.

The driver holds references; patches go from actor to actor through shared memory. Actors are restarted and their work
is done again when they die, which is safe because every piece of work is a function of its arguments.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from eagleray.errors import EagleRayError
from eagleray.features import Extractor
from eagleray.storage import ModelStore, Skipped

_IN_FLIGHT = 2  # shards queued at one worker: enough to never wait for the driver, few enough to bound memory

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """How work is spread; nothing here changes a result."""

    embed_workers: int = 0
    """Actors that embed and score; 0 is one for each GPU of the cluster or, without any, one for each CPU."""
    threads_per_worker: int = 1
    """CPU threads and CPUs of each embed worker."""

    def __post_init__(self) -> None:
        check_at_least("--pool.embed-workers", self.embed_workers, 0)
        check_at_least("--pool.threads-per-worker", self.threads_per_worker, 1)


class RayPool:
    """An `ExpertPool` on a running Ray cluster; a context manager that stops what it started."""

    def __init__(self, extractor: Extractor, store: ModelStore, config: PoolConfig) -> None:
        self._store = store
        self._start = partial(_start_embed_workers, extractor, store, config)
        self._running: list[Any] = self._start()
        self._width = len(self._running)
        self._peaks: dict[str, float] = {}
        self._experts: dict[int, Any] = {}
        self._experts_namespace = own_namespace()
        self._bank_store = bank_store(store)

    def embed(self, paths: Sequence[str], advance: Advance = no_progress, *, half: bool = True) -> PatchSet:
        """Embed pictures, in order, in shards."""
        infos: dict[int, ShardInfo] = {}
        shards: dict[int, Any] = {}

        def submit(worker: Any, part: Sequence[str], number: int) -> Any:
            info, shards[number] = worker.embed.options(num_returns=2).remote(part, half=half)
            return info

        for number, part, info in self._spread(cut(paths), submit):
            infos[number] = info
            advance(len(part))
        order = range(len(infos))
        return PatchSet(tuple(infos[n] for n in order), tuple(shards[n] for n in order))

    def update_expert(
        self, expert: int, update: ExpertUpdate, memory: Sequence[str], fit: PatchSet, calibration: PatchSet
    ) -> dict[str, StoredBank]:
        """Carry out an update on the expert's own actor."""
        if expert not in self._experts:
            actor = ray.remote(ExpertWorker).options(
                name=f"expert-{expert}", namespace=self._experts_namespace, **_DRIVERS_OWN, num_cpus=0
            )
            self._experts[expert] = actor.remote(self._store)
        banks = self._refs(memory)
        patches = (*fit.filled, *calibration.filled)
        work = self._experts[expert].update.remote(update, len(banks), len(fit.filled), *banks, *patches)
        changed: dict[str, StoredBank] = _result(work)
        return changed

    def score(self, items: Sequence[ScoreItem], advance: Advance = no_progress) -> list[ScoredImage | Skipped]:
        """Score pictures, each against the class banks it names; one result an item, in order."""

        def submit(worker: Any, part: Sequence[ScoreItem], number: int) -> Any:
            digests = wanted(part)
            return worker.score.remote(part, digests, *self._refs(digests))

        results: dict[int, list[ScoredImage | Skipped]] = {}
        for number, part, result in self._spread(cut(items), submit):
            results[number] = result
            advance(len(part))
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
        """A window of tasks, as wide as there are workers."""
        task = ray.remote(function).options(num_cpus=0)
        window = _IN_FLIGHT // 2 * self._width
        results: dict[int, Result] = {}
        pending: dict[Any, int] = {}

        def take(ref: Any) -> None:
            results[pending.pop(ref)] = _result(ref)
            advance(1)

        for number, values in enumerate(arguments):
            if len(pending) >= window:
                done, _ = ray.wait(list(pending), num_returns=1)
                take(done[0])
            pending[task.remote(*values)] = number
        for ref in list(pending):
            take(ref)
        return [results[number] for number in range(len(results))]

    def peak_rss_mb(self) -> dict[str, float]:
        """Largest resident memory of each kind of worker so far, in MB."""
        for kind, workers in (("embed_worker", self._running), ("expert_worker", self._experts.values())):
            peaks = ray.get([worker.peak_rss_mb.remote() for worker in workers])
            if peaks:
                self._peaks[kind] = max(self._peaks.get(kind, 0.0), *peaks)
        return dict(self._peaks)

    def rest(self) -> None:
        """Stop the embed workers, which hold CPUs or GPUs; the next picture to embed starts them again."""
        self.peak_rss_mb()
        for worker in self._running:
            ray.kill(worker)
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
        """Stop the actors; the bank store stays, for readers of the model."""
        for actor in (*self._running, *self._experts.values()):
            ray.kill(actor)

    def _refs(self, digests: Sequence[str]) -> list[Any]:
        return _result(self._bank_store.refs.remote(list(digests))) if digests else []

    def _spread(
        self, parts: Sequence[Sequence[Item]], submit: Callable[[Any, Sequence[Item], int], Any]
    ) -> Iterator[tuple[int, Sequence[Item], Any]]:
        """Give each part to the least busy worker, a bounded number at a time; yields as they finish."""
        load = [0] * len(self._workers)
        pending: dict[Any, tuple[int, int]] = {}
        todo = iter(enumerate(parts))
        waiting = next(todo, None)
        while waiting or pending:
            while waiting and min(load) < _IN_FLIGHT:
                number, part = waiting
                worker = load.index(min(load))
                pending[submit(self._workers[worker], part, number)] = (number, worker)
                load[worker] += 1
                waiting = next(todo, None)
            done, _ = ray.wait(list(pending), num_returns=1)
            number, worker = pending.pop(done[0])
            load[worker] -= 1
            again = partial(submit, self._workers[worker], parts[number], number)
            yield number, parts[number], _result(done[0], again)


_RETRIES = 5
"""How often one piece of work is done again. Not for ever: what kills every worker that touches it has to surface."""
_DRIVERS_OWN = {"max_restarts": -1, "max_task_retries": _RETRIES}
"""Actors live as long as their driver, and come back with their work when they are killed."""


def _result(ref: Any, again: Callable[[], Any] | None = None) -> Any:
    """What a piece of work returned; its own error, not Ray's wrapping of it with the worker's traceback.

    Args:
        ref: the work.
        again: submits it anew. The bank store owns the class banks, so work that was waiting for one when the store
            died is lost; the store comes back and hands out fresh references.
    """
    for _ in range(_RETRIES):
        try:
            return ray.get(ref)
        except ray.exceptions.ObjectLostError:
            if again is None:
                raise
            ref = again()
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EagleRayError):
                raise error.cause from error
            raise
    return ray.get(ref)


def _start_embed_workers(extractor: Extractor, store: ModelStore, config: PoolConfig) -> list[Any]:
    cluster = ray.cluster_resources()
    cpus, gpus = int(cluster.get("CPU", 1)), int(cluster.get("GPU", 0))
    count = config.embed_workers or max(1, gpus or cpus // config.threads_per_worker)
    # More workers than there is room for share the CPUs: one that is never placed would be waited for, for ever.
    # OMP_NUM_THREADS follows num_cpus, and so do the threads of onnxruntime, on purpose: one worker, its own cores.
    num_cpus = config.threads_per_worker if count * config.threads_per_worker <= cpus else cpus / count
    actor, namespace = ray.remote(EmbedWorker), own_namespace()
    options = {"num_cpus": num_cpus, "num_gpus": min(1.0, gpus / count) if gpus else None, **_DRIVERS_OWN}
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
        max_task_retries=_RETRIES,
        num_cpus=0,
    )
    return actor.remote(store)


def _key(store: ModelStore) -> str:
    return hashlib.sha256(store.uri.encode()).hexdigest()[:8]
