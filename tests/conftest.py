"""What every tier of tests shares."""

import time
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def eventually() -> Callable[..., float]:
    """Wait until something is true; the seconds that took."""

    def wait(condition: Callable[[], Any], *, within_s: float, every_s: float = 0.05) -> float:
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < within_s, f"did not become true within {within_s} s"
            time.sleep(every_s)
        return time.monotonic() - start

    return wait
