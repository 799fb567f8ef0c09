"""One copy of every class bank in shared memory, for all readers on the cluster."""

from collections.abc import Sequence
from typing import Any

import ray

from eagleray.continual import load_bank
from eagleray.distributed.naming import NamedActor
from eagleray.storage import ModelStore


class BankStore(NamedActor):
    """Maps expert -> version -> references of its class banks; a cache of the model store, and never more than that.

    Every bank is put into the object store once, by this actor, which therefore owns it: a reader's death, or the
    driver's, loses nothing. After a restart it is empty and reads again what it is asked for.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._refs: dict[str, Any] = {}

    def refs(self, digests: Sequence[str]) -> list[Any]:
        """References of class banks by the digests of their blobs, in order; readers get zero-copy views."""
        for digest in digests:
            if digest not in self._refs:
                self._refs[digest] = ray.put(load_bank(self._store, digest))
        return [self._refs[digest] for digest in digests]

    def expert(self, expert: int, version: int) -> list[Any]:
        """References of the class banks that an expert held at a version of the model."""
        return self.refs(self._digests(expert, version))

    def _digests(self, expert: int, version: int) -> list[str]:
        classes = self._store.read(version).classes
        return [classes[name].blob for name in sorted(classes) if classes[name].expert == expert]
