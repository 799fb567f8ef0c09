"""A pool whose pictures are embedded already, for many runs over the same pictures, and that does no work twice."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from eagleray.arrays import AnyArray, Floats
from eagleray.banks import ClassBank
from eagleray.config import fingerprint
from eagleray.continual.fit import ExpertUpdate, fit_class
from eagleray.continual.pool import (
    Advance,
    InProcess,
    PatchSet,
    StoredBank,
    cut,
    load_bank,
    no_progress,
    update_and_store,
)
from eagleray.continual.work import ScoredImage, ScoreItem, ShardInfo
from eagleray.experts import BankExpert
from eagleray.storage import ModelStore, Skipped
from eagleray.threads import limit_blas

_MOST_GRIDS = 100_000
"""Patch scores remembered, of one picture by one class bank each: some 4 KB."""


class _Place(NamedTuple):
    """Where a picture's patches are."""

    shard: Any
    row: int
    mean_D: Floats


class PreparedPictures:
    """Pictures embedded once, and what was found of them so far: one a process, shared by its runs.

    Args:
        learned: good pictures, in half precision.
        tests: pictures to score, in single precision.
        fetch: gives the array (N, H, W, D) of a shard's handle.
    """

    def __init__(self, learned: PatchSet, tests: PatchSet, fetch: Callable[[Any], AnyArray]) -> None:
        self._fetch = fetch
        self._learned, self._tests = _places(learned), _places(tests)
        self.skipped = {bad.path: bad for bad in (*learned.skipped, *tests.skipped)}
        self._fits: dict[str, ClassBank] = {}
        self._grids: OrderedDict[tuple[str, str], Floats] = OrderedDict()

    def info(self, paths: Sequence[str]) -> ShardInfo:
        """What is known of some good pictures, as if they were embedded now."""
        kept = tuple(path for path in paths if path not in self.skipped)
        skipped = tuple(self.skipped[path] for path in paths if path in self.skipped)
        return ShardInfo(kept, skipped, np.array([self._learned[path].mean_D for path in kept], np.float32))

    def fit(
        self,
        update: ExpertUpdate,
        previous: ClassBank | None,
        patches: Sequence[Sequence[str]],
        calibration: Sequence[Sequence[str]],
        budget: int,
    ) -> ClassBank:
        """As `fit_class`, of shards given as paths; once for all experts that a class could come to."""
        crowded = update.mecad.rows_allowed(update.mecad.expert_capacity)
        decides = [update.class_name, update.seed, update.bank, update.scoring, dict(update.provenance)]
        key = fingerprint([*decides, list(patches), list(calibration), budget, crowded])
        if previous is not None:  # an update of a known class, which streams of single products have none of
            return fit_class(update, previous, self._arrays(patches), self._arrays(calibration), budget)
        if key not in self._fits:
            self._fits[key] = fit_class(update, None, self._arrays(patches), self._arrays(calibration), budget)
        return self._fits[key]

    def score(self, item: ScoreItem, experts: Callable[[str], BankExpert]) -> ScoredImage | Skipped:
        """Patch scores of a test picture for each class bank asked for."""
        if item.path in self.skipped:
            return self.skipped[item.path]
        place = self._tests[item.path]
        found = {}
        for digest in item.digests:
            key = (item.path, digest)
            if key not in self._grids:
                self._grids[key] = experts(digest).patch_scores(self._fetch(place.shard)[place.row])
                if len(self._grids) > _MOST_GRIDS:
                    self._grids.popitem(last=False)
            found[digest] = self._grids[key]
        return ScoredImage(item.path, place.mean_D, found)

    def _arrays(self, shards: Sequence[Sequence[str]]) -> list[AnyArray]:
        """Patches (N, H, W, D) of each shard."""
        return [np.stack([self._patches(self._learned[path]) for path in paths]) for paths in shards]

    def _patches(self, place: _Place) -> AnyArray:
        patches_HWD: AnyArray = self._fetch(place.shard)[place.row]
        return patches_HWD


class PreparedPool(InProcess):
    """An `ExpertPool` over prepared pictures: what it gives equals what `LocalPool` does, to the bit.

    Args:
        pictures: all that will be asked for.
        store: the run's own, where its class banks go.
    """

    def __init__(self, pictures: PreparedPictures, store: ModelStore) -> None:
        self._pictures, self._store = pictures, store

    def embed(self, paths: Sequence[str], advance: Advance = no_progress, *, half: bool = True) -> PatchSet:
        """Find good pictures; the handles of shards are the paths in them.

        Raises:
            ValueError: single precision is asked for, which is kept of test pictures alone.
        """
        if not half:
            raise ValueError("good pictures are kept in half precision")
        infos = tuple(self._pictures.info(part) for part in cut(paths))
        advance(len(paths))
        return PatchSet(infos, tuple(info.paths for info in infos))

    def update_expert(
        self, expert: int, update: ExpertUpdate, memory: Sequence[str], fit: PatchSet, calibration: PatchSet
    ) -> dict[str, StoredBank]:
        """Carry out an update; `expert` needs no place of its own here."""
        banks = [load_bank(self._store, digest) for digest in memory]
        return update_and_store(self._store, update, banks, fit.filled, calibration.filled, fit=self._pictures.fit)

    def score(self, items: Sequence[ScoreItem], advance: Advance = no_progress) -> list[ScoredImage | Skipped]:
        """Score pictures, each against the class banks it names; one result an item, in order."""
        expert = cache(partial(_expert, self._store))
        results = []
        with limit_blas(1):  # its sums depend on its threads, and scores must not
            for item in items:
                results.append(self._pictures.score(item, expert))
                advance(1)
        return results


def _expert(store: ModelStore, digest: str) -> BankExpert:
    bank = load_bank(store, digest)
    return BankExpert(bank.rows_MD, bank.whitening)


def _places(patches: PatchSet) -> dict[str, _Place]:
    return {
        path: _Place(shard, row, info.means_ND[row])
        for info, shard in zip(patches.infos, patches.shards, strict=True)
        for row, path in enumerate(info.paths)
    }
