"""What a replica has done of late, for the page and for `GET /v1/stats`; Prometheus has the whole story."""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

WINDOW_S = 10.0
_MOST = 4096
"""Requests remembered at most, so that a flood of small ones takes no memory."""


class Window:
    """Score requests of the last seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._done: deque[tuple[float, float, int]] = deque(maxlen=_MOST)

    def add(self, seconds: float, images: int) -> None:
        """Count a request that took so long and had so many pictures."""
        self._done.append((self._clock(), seconds, images))

    def summary(self) -> tuple[int, float, float | None, float | None]:
        """Pictures, pictures a second, and the median and 99th percentile of a request's time in ms."""
        now = self._clock()
        while self._done and self._done[0][0] < now - WINDOW_S:
            self._done.popleft()
        if not self._done:
            return 0, 0.0, None, None
        oldest = self._done[0][0] if len(self._done) == _MOST else now - WINDOW_S
        images = sum(count for _, _, count in self._done)
        p50, p99 = np.percentile([1e3 * seconds for _, seconds, _ in self._done], (50, 99))
        return images, images / max(now - max(oldest, self._start), 1e-3), float(p50), float(p99)
