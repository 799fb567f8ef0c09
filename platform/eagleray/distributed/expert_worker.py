"""Updates one expert: a class that is made an actor where it is placed."""

from typing import Any

from eagleray.continual import ExpertUpdate, StoredBank, update_and_store
from eagleray.distributed.memory import peak_rss_mb
from eagleray.distributed.metrics import learn_seconds
from eagleray.distributed.naming import NamedActor
from eagleray.storage import ModelStore


class ExpertWorker(NamedActor):
    """Keeps nothing that the model store does not hold, so a restarted worker goes on where the last one died."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._learning = learn_seconds()

    def update(self, update: ExpertUpdate, num_banks: int, num_fit: int, *objects: Any) -> dict[str, StoredBank]:
        """Carry out one update and store what changed.

        Args:
            update: the class that arrives.
            num_banks: how many of `objects`, the first ones, are class banks of the expert that may change.
            num_fit: how many after those are shards of patches for the rows; the rest calibrate.
            objects: flat, because Ray hands over references as shared memory only where they are arguments themselves.
        """
        banks, patches = objects[:num_banks], objects[num_banks:]
        with self._learning.of():
            return update_and_store(self._store, update, banks, patches[:num_fit], patches[num_fit:])

    def peak_rss_mb(self) -> float:
        """Largest resident memory of this process so far."""
        return peak_rss_mb()
