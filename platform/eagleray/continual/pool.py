"""The port to the cluster: what the learner asks of whoever does the work, and the pool that does it in process.

The learner is written once against `ExpertPool`. `LocalPool` serves tests, notebooks and debuggers;
`eagleray.distributed.RayPool` runs the same pieces of work on actors. Both give the same bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from eagleray.arrays import Floats
from eagleray.banks import ClassBank
from eagleray.continual.fit import ExpertUpdate, fit_class, update_expert
from eagleray.continual.work import ScoredImage, ScoreItem, ShardInfo, embed_shard, score_shard
from eagleray.features import Extractor
from eagleray.storage import ModelStore, Skipped
from eagleray.threads import limit_blas

SHARD_IMAGES = 8
"""Pictures in one piece of work: a constant, not a setting, so that the cut never depends on who does the work."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Advance = Callable[[int], None]
"""Called with the number of pictures done since the last call."""


def no_progress(_: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class PatchSet:
    """Embedded pictures: the small parts here, the patches wherever the pool keeps them."""

    infos: tuple[ShardInfo, ...]
    shards: tuple[Any, ...]
    """The pool's handles of the patches, one a shard; arrays or references."""

    @property
    def filled(self) -> tuple[Any, ...]:
        """Handles of the shards that hold at least one picture; of a shard without any, not even the shape is known."""
        return tuple(shard for shard, info in zip(self.shards, self.infos, strict=True) if info.paths)

    @property
    def paths(self) -> tuple[str, ...]:
        """Pictures embedded, in order."""
        return tuple(path for info in self.infos for path in info.paths)

    @property
    def num_images(self) -> int:
        """Number of pictures embedded."""
        return len(self.paths)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Pictures that could not be read."""
        return tuple(skipped for info in self.infos for skipped in info.skipped)

    @property
    def means_ND(self) -> Floats:
        """Mean patch embedding of each picture, in order."""
        return np.concatenate([info.means_ND for info in self.infos if info.paths])


@dataclass(frozen=True, slots=True)
class StoredBank:
    """A class bank that lies in the model store; the rows are left there."""

    digest: str
    bank: ClassBank
    """Everything but the rows' values, of which one line, their mean, remains for the assignment."""
    num_rows: int
    num_directions: int

    @classmethod
    def of(cls, bank: ClassBank, digest: str) -> "StoredBank":
        """The small part of a class bank."""
        return cls(digest, bank.without_rows(), bank.num_rows, bank.num_directions)

    @property
    def row_mean_D(self) -> Floats:
        """Mean of the rows."""
        mean_D: Floats = self.bank.rows_MD[0]
        return mean_D


class ExpertPool(Protocol):
    """Embeds pictures, updates experts and scores; nothing it is asked twice gives another answer."""

    def embed(self, paths: Sequence[str], advance: Advance = no_progress, *, half: bool = True) -> PatchSet:
        """Embed pictures, in order, in shards; `half` as in `embed_shard`."""
        ...

    def update_expert(
        self, expert: int, update: ExpertUpdate, memory: Sequence[str], fit: PatchSet, calibration: PatchSet
    ) -> dict[str, StoredBank]:
        """Carry out an update on an expert; what changed is in the store.

        Args:
            expert: its number.
            update: which class arrives.
            memory: blobs of its class banks that may change, as in `continual.fit.update_expert`.
            fit: good pictures of the class, for the rows.
            calibration: further ones, which no row may come from.
        """
        ...

    def score(self, items: Sequence[ScoreItem], advance: Advance = no_progress) -> list[ScoredImage | Skipped]:
        """Score pictures, each against the class banks it names; one result an item, in order."""
        ...

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call a function of the module level on each item, in parallel where the pool can; results in order."""
        ...

    def map_patches(
        self, function: Callable[..., Result], work: Sequence[tuple[Any, PatchSet]], advance: Advance = no_progress
    ) -> list[Result]:
        """Call a function of the module level as function(item, *shards) where the patches are; results in order."""
        ...

    def rest(self) -> None:
        """Give up what only embedding and scoring need until they are next asked for; patches stay where they are."""
        ...

    def peak_rss_mb(self) -> dict[str, float]:
        """Largest resident memory of each kind of worker so far, in MB."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def load_bank(store: ModelStore, digest: str) -> ClassBank:
    """Read a class bank from the store; its hash is checked."""
    return ClassBank.from_bytes(store.get_blob(digest), store.blob_path(digest))


def update_and_store(
    store: ModelStore,
    update: ExpertUpdate,
    memory: Sequence[ClassBank],
    patches: Sequence[Any],
    calibration: Sequence[Any],
    *,
    fit: Callable[..., ClassBank] = fit_class,
) -> dict[str, StoredBank]:
    """Update an expert and put what changed into the store, as its worker does; `fit` as in `update_expert`."""
    # BLAS sums in an order that depends on its threads, and the bytes of a bank must not depend on the machine.
    with limit_blas(1):
        changed = update_expert(update, {bank.name: bank for bank in memory}, patches, calibration, fit=fit)
    return {name: StoredBank.of(bank, store.put_blob(bank.to_bytes())) for name, bank in changed.items()}


class InProcess:
    """What pools without workers have in common."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call a function on each item."""
        return [function(item) for item in items]

    def map_patches(
        self, function: Callable[..., Result], work: Sequence[tuple[Any, PatchSet]], advance: Advance = no_progress
    ) -> list[Result]:
        """Call a function on each item and its patches."""
        results = []
        for item, patches in work:
            results.append(function(item, *patches.filled))
            advance(1)
        return results

    def rest(self) -> None:
        """Nothing to give up."""

    def peak_rss_mb(self) -> dict[str, float]:
        """No workers, so nothing beside this process."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to stop."""


class LocalPool(InProcess):
    """Does all the work in this process, in order."""

    def __init__(self, extractor: Extractor, store: ModelStore, *, device: str = "cpu") -> None:
        self._embedder = extractor.open(device=device)
        self._image_size = extractor.config.image_size
        self._store = store

    def embed(self, paths: Sequence[str], advance: Advance = no_progress, *, half: bool = True) -> PatchSet:
        """Embed pictures, in order, in shards."""
        infos, shards = [], []
        for part in cut(paths):
            info, patches = embed_shard(self._embedder, part, self._image_size, half=half)
            infos.append(info)
            shards.append(patches)
            advance(len(part))
        return PatchSet(tuple(infos), tuple(shards))

    def update_expert(
        self, expert: int, update: ExpertUpdate, memory: Sequence[str], fit: PatchSet, calibration: PatchSet
    ) -> dict[str, StoredBank]:
        """Carry out an update; `expert` needs no place of its own here."""
        banks = [load_bank(self._store, digest) for digest in memory]
        return update_and_store(self._store, update, banks, fit.filled, calibration.filled)

    def score(self, items: Sequence[ScoreItem], advance: Advance = no_progress) -> list[ScoredImage | Skipped]:
        """Score pictures, each against the class banks it names; one result an item, in order."""
        banks = {digest: load_bank(self._store, digest) for digest in wanted(items)}
        results: list[ScoredImage | Skipped] = []
        for part in cut(items):
            results += score_shard(self._embedder, part, banks, self._image_size)
            advance(len(part))
        return results


def cut(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Cut into shards."""
    return [items[first : first + SHARD_IMAGES] for first in range(0, len(items), SHARD_IMAGES)]


def wanted(items: Iterable[ScoreItem]) -> tuple[str, ...]:
    """Every class bank that these items need, once, in a fixed order."""
    return tuple(sorted({digest for item in items for digest in item.digests}))
