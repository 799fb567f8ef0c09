"""Experts by the content they were learned into: loaded when first asked, shared by every version that names them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from eagleray.arrays import Floats
from eagleray.banks import ClassBank
from eagleray.experts import BankExpert, Expert
from eagleray.experts.adapted_expert import expert_from_bytes
from eagleray.storage import ModelStore

ExpertLoader: TypeAlias = Callable[[pa.Buffer, str], Expert]
"""Makes an expert of a blob's bytes; the second argument names the blob in errors."""

_MB = 2**20
_ARROW = b"ARROW1"
"""How the bytes of a class bank begin; an adapted expert's are safetensors."""


def load_expert(data: pa.Buffer, place: str) -> Expert:
    """The expert that a blob of a model store holds.

    Raises:
        StoreCorrupt, StoreVersion: it is none that this eagleray reads.
    """
    if data[: len(_ARROW)].to_pybytes() != _ARROW:
        return expert_from_bytes(data.to_pybytes(), place)
    bank = ClassBank.from_bytes(data, place)
    return BankExpert(bank.rows_MD, bank.whitening)


class ExpertCache:
    """Scores patches against any experts of a store; those used least recently make room for others.

    A blob's name is the hash of its content, so an entry never goes stale: a new version of a model asks for other
    digests, and what it left unchanged is still here. Any number of threads may score at once.

    Args:
        store: where the blobs lie.
        capacity_mb: bytes of blobs kept, in MB; the one in use is kept whatever its size.
        load: makes an expert of a blob.
    """

    def __init__(self, store: ModelStore, *, capacity_mb: float = 1024, load: ExpertLoader = load_expert) -> None:
        self._store, self._capacity, self._load = store, capacity_mb * _MB, load
        self._experts: OrderedDict[str, tuple[Expert, int]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._experts)

    def patch_scores(self, digests: Sequence[str], patches_HWD: Floats) -> Floats:
        """Smallest score of every patch among some experts, (H, W); higher is more anomalous.

        Raises:
            StoreCorrupt: a blob was altered or is gone.
        """
        grids = [self._expert(digest).patch_scores(patches_HWD) for digest in digests]
        return grids[0] if len(grids) == 1 else np.minimum.reduce(grids)

    def _expert(self, digest: str) -> Expert:
        with self._lock:
            if digest not in self._experts:
                data = self._store.get_blob(digest)
                self._experts[digest] = self._load(data, self._store.blob_path(digest)), data.size
                self._held += data.size
            self._experts.move_to_end(digest)
            while self._held > self._capacity and len(self._experts) > 1:
                _, (_, size) = self._experts.popitem(last=False)
                self._held -= size
            return self._experts[digest][0]
