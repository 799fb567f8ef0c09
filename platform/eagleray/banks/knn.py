"""Exact nearest rows of a bank, by faiss flat search; distances are true L2, higher is more anomalous.

faiss compares squared distances as ||x||^2 - 2xy + ||y||^2 in float32, which is off by up to about 1e-6 * ||x||^2: a
patch that is in the bank would come out at a distance of 1e-3 * ||x|| rather than 0. So faiss finds the rows and the
distances to the rows found are taken again from their differences: those are right to float32, and a row of the bank is
at 0. What remains is which row wins where two squared distances agree to 1e-6 * ||x||^2.
"""

import contextlib
import functools
import threading
from typing import Any

import faiss
import numpy as np

from eagleray.arrays import AnyArray, Floats, Ints
from eagleray.threads import limit_threads

_BLOCK_QUERIES = 1024
_GPU_LOCK = threading.Lock()
"""Neither faiss' indexes on a GPU nor the resources that they share are for several threads at once."""


class NearestRows:
    """A flat index over the rows of a bank, on the first GPU where faiss sees one, else on the CPU.

    Threads: the OpenMP and BLAS threads that faiss uses belong to the whole process. They are set for the time of a
    search and put back after it, so two searches at once in one process may run on each other's number: slower or
    faster, never another result.

    Args:
        rows_MD: the bank, at least one row, float32 or float16.
        num_threads: CPU threads for a search.

    Raises:
        ValueError: there is no row, or a row holds NaN or infinity.
    """

    def __init__(self, rows_MD: AnyArray, *, num_threads: int = 1) -> None:
        if rows_MD.ndim != 2 or 0 in rows_MD.shape:
            raise ValueError(f"rows must be (M, D) with at least one row and column, got shape {rows_MD.shape}")
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        self._rows_MD: Floats = np.ascontiguousarray(rows_MD, dtype=np.float32)
        if not np.isfinite(self._rows_MD).all():
            raise ValueError("rows hold NaN or infinity")
        self._num_threads = num_threads
        # Else faiss 1.15 takes no matrix product for queries of less than 128,000 numbers in all: four times as slow.
        faiss.cvar.distance_compute_blas_threshold = 0
        self._index: Any = faiss.IndexFlatL2(self._rows_MD.shape[1])
        on_gpu = faiss.get_num_gpus() > 0
        self._alone: contextlib.AbstractContextManager[Any] = _GPU_LOCK if on_gpu else contextlib.nullcontext()
        with self._alone:
            if on_gpu:
                self._index = faiss.index_cpu_to_gpu(_gpu_resources(), 0, self._index)
            self._index.add(self._rows_MD)

    def search(self, queries_QD: AnyArray, num_neighbors: int = 1) -> tuple[Floats, Ints]:
        """Return L2 distances and row numbers, each (Q, K), nearest first, equal distances by row number.

        Raises:
            ValueError: the queries have another size, hold NaN or infinity, or more neighbours than rows are wanted.
        """
        num_rows, size = self._rows_MD.shape
        if queries_QD.ndim != 2 or queries_QD.shape[1] != size:
            raise ValueError(f"queries must be (Q, {size}), got shape {queries_QD.shape}")
        if not 1 <= num_neighbors <= num_rows:
            raise ValueError(f"num_neighbors must be in 1 to {num_rows}, the number of rows, got {num_neighbors}")
        distances_QK = np.empty((len(queries_QD), num_neighbors), np.float32)
        indices_QK = np.empty((len(queries_QD), num_neighbors), np.int64)
        with limit_threads(self._num_threads):
            for first in range(0, len(queries_QD), _BLOCK_QUERIES):
                block = slice(first, first + _BLOCK_QUERIES)
                distances_QK[block], indices_QK[block] = self._search_block(queries_QD[block], num_neighbors)
        return distances_QK, indices_QK

    def _search_block(self, queries_QD: AnyArray, num_neighbors: int) -> tuple[Floats, Ints]:
        queries_QD = np.ascontiguousarray(queries_QD, dtype=np.float32)
        if not np.isfinite(queries_QD).all():
            raise ValueError("queries hold NaN or infinity")
        with self._alone:
            _, indices_QK = self._index.search(queries_QD, num_neighbors)
        differences_QKD = queries_QD[:, None, :] - self._rows_MD[indices_QK]
        distances_QK = np.sqrt(np.einsum("qkd,qkd->qk", differences_QKD, differences_QKD))
        order_QK = np.lexsort((indices_QK, distances_QK))
        return np.take_along_axis(distances_QK, order_QK, 1), np.take_along_axis(indices_QK, order_QK, 1)


@functools.cache
def _gpu_resources() -> Any:
    """Of all indexes of this process: each of its own would set a gigabyte of scratch memory aside."""
    return faiss.StandardGpuResources()
