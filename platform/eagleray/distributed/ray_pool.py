"""The expert pool on Ray: embed actors, an actor an expert, and the bank store.

The driver holds references; patches go from actor to actor through shared memory. Actors are restarted and their work
is done again when they die, which is safe because every piece of work is a function of its arguments.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from eagleray.features import Extractor
from eagleray.storage import ModelStore, Skipped

NAMESPACE = "eagleray"
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
        self._workers = _start_embed_workers(extractor, config)
        self._experts: dict[int, Any] = {}
        self._bank_store = _bank_store(store)
        self._expert_rss_mb: dict[int, float] = {}

    def embed(self, paths: Sequence[str], advance: Advance = no_progress) -> PatchSet:
        """Embed pictures, in order, in shards."""
        infos: dict[int, ShardInfo] = {}
        shards: dict[int, Any] = {}

        def submit(worker: Any, part: Sequence[str], number: int) -> Any:
            info, shards[number] = worker.embed.options(num_returns=2).remote(part)
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
                name=f"expert-{expert}-{_key(self._store)}", **_DRIVERS_OWN, num_cpus=0
            )
            self._experts[expert] = actor.remote(self._store)
        banks = self._refs(memory)
        fitted = [ref for ref, info in zip(fit.shards, fit.infos, strict=True) if info.paths]
        held_out = [ref for ref, info in zip(calibration.shards, calibration.infos, strict=True) if info.paths]
        work = self._experts[expert].update.remote(update, len(banks), len(fitted), *banks, *fitted, *held_out)
        changed: dict[str, StoredBank] = ray.get(work)
        return changed

    def score(self, items: Sequence[ScoreItem], advance: Advance = no_progress) -> list[ScoredImage | Skipped]:
        """Score pictures, each against the class banks it names; one result an item, in order."""
        refs = dict(zip(wanted(items), self._refs(wanted(items)), strict=True))

        def submit(worker: Any, part: Sequence[ScoreItem], number: int) -> Any:
            digests = wanted(part)
            return worker.score.remote(part, digests, *(refs[digest] for digest in digests))

        results: dict[int, list[ScoredImage | Skipped]] = {}
        for number, part, result in self._spread(cut(items), submit):
            results[number] = result
            advance(len(part))
        return [result for number in range(len(results)) for result in results[number]]

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call a function of the module level on each item, as Ray tasks."""
        task = ray.remote(function).options(num_cpus=0)
        window = _IN_FLIGHT // 2 * len(self._workers)
        results: dict[int, Result] = {}
        pending: dict[Any, int] = {}
        for number, item in enumerate(items):
            if len(pending) >= window:
                done, _ = ray.wait(list(pending), num_returns=1)
                results[pending.pop(done[0])] = ray.get(done[0])
            pending[task.remote(item)] = number
        for ref, number in pending.items():
            results[number] = ray.get(ref)
        return [results[number] for number in range(len(results))]

    def peak_rss_mb(self) -> dict[str, float]:
        """Largest resident memory of each kind of worker so far, in MB."""
        embed = ray.get([worker.peak_rss_mb.remote() for worker in self._workers])
        experts = ray.get([worker.peak_rss_mb.remote() for worker in self._experts.values()])
        return {"embed_worker": max(embed), **({"expert_worker": max(experts)} if experts else {})}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the actors; the bank store stays, for readers of the model."""
        for actor in (*self._workers, *self._experts.values()):
            ray.kill(actor)

    def _refs(self, digests: Sequence[str]) -> list[Any]:
        return ray.get(self._bank_store.refs.remote(list(digests))) if digests else []

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
            yield number, parts[number], ray.get(done[0])


_DRIVERS_OWN = {"max_restarts": -1, "max_task_retries": -1}
"""Actors live as long as their driver, and come back with their work when they are killed."""


def _start_embed_workers(extractor: Extractor, config: PoolConfig) -> list[Any]:
    cluster = ray.cluster_resources()
    gpus = int(cluster.get("GPU", 0))
    available = gpus or int(cluster.get("CPU", 1)) // config.threads_per_worker
    count = config.embed_workers or max(1, available)
    shipped = ray.put(extractor)
    options = {**_DRIVERS_OWN, "num_gpus": min(1.0, gpus / count)} if gpus else dict(_DRIVERS_OWN)
    # OMP_NUM_THREADS follows num_cpus, and so do the threads of onnxruntime, on purpose: one worker, its own cores.
    actor = ray.remote(EmbedWorker).options(num_cpus=min(config.threads_per_worker, available), **options)
    device = "cuda" if gpus else "cpu"
    return [actor.remote(shipped, device, config.threads_per_worker) for _ in range(count)]


def _bank_store(store: ModelStore) -> Any:
    """The named, detached bank store of this model, started where there is none."""
    actor = ray.remote(BankStore).options(
        name=f"bank-store-{_key(store)}",
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=-1,
        num_cpus=0,
    )
    return actor.remote(store)


def _key(store: ModelStore) -> str:
    return hashlib.sha256(store.uri.encode()).hexdigest()[:8]
