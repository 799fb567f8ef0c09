"""How many threads BLAS and OpenMP compute on.

A sum is rounded by how it is divided, so whatever must not depend on the machine is computed on one thread.
"""

import functools
import sys
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController


def limit_threads(num_threads: int) -> AbstractContextManager[Any]:
    """Let BLAS and OpenMP compute on so many threads from now on, or as long as the block lasts."""
    limited: AbstractContextManager[Any] = _libraries(len(sys.modules)).limit(limits=num_threads)
    return limited


def limit_blas(num_threads: int) -> AbstractContextManager[Any]:
    """As `limit_threads`, but for BLAS alone: torch goes on with as many as it has."""
    limited: AbstractContextManager[Any] = _libraries(len(sys.modules)).limit(limits=num_threads, user_api="blas")
    return limited


@functools.lru_cache(maxsize=1)
def _libraries(num_modules: int) -> ThreadpoolController:
    """The libraries of this process; looked for (5 ms beside torch) once more whenever something was imported."""
    return ThreadpoolController()
