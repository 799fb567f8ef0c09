"""What Prometheus is told beyond what Ray Serve tells by itself, and one log line a request.

Requests by route and status, latencies and batch sizes are Serve's own metrics; docs/operations.md lists all of them.
"""

import logging
from collections import Counter

from ray.serve import metrics

from eagleray.continual import Judge
from serve.service import Scored

_logger = logging.getLogger("ray.serve")
_RATIOS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5]


class RayMetrics:
    """Counts what one router replica finds. Counts are kept here until `flush`, for telling Ray each is not cheap."""

    def __init__(self) -> None:
        self._judged: Counter[tuple[str, str, str]] = Counter()
        self._images = metrics.Counter("eagleray_images", "Pictures judged.", ("category", "expert", "verdict"))
        self._version = metrics.Gauge("eagleray_model_version", "Version of the model that is served.")
        self._novelty = metrics.Histogram(
            "eagleray_routing_distance_ratio",
            "Distance to the closest product by how far its own pictures may lie; above 1 the product is unknown.",
            _RATIOS,
            ("category",),
        )

    def request(self, operation: str, status: int, seconds: float) -> None:
        """A request was answered; Serve adds its id to the line."""
        fields = {"operation": operation, "status": status, "ms": round(1e3 * seconds, 1), "log_to_stderr": False}
        _logger.info("request", extra=fields)

    def verdicts(self, scored: list[Scored]) -> None:
        """Pictures were judged."""
        for one in scored:
            finding = one.finding
            self._judged[finding.category, str(finding.expert), finding.verdict] += 1
            if finding.novelty is not None:
                self._novelty.observe(finding.novelty, {"category": finding.category})

    def flush(self, judge: Judge) -> None:
        """Hand on what was counted."""
        self._version.set(judge.version)
        judged, self._judged = self._judged, Counter()
        for (category, expert, verdict), count in judged.items():
            self._images.inc(count, {"category": category, "expert": expert, "verdict": verdict})
