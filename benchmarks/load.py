"""A closed loop of clients that ask a service for scores: each sends its next request when it has the last answer."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request."""

    began_s: float
    took_s: float
    status: int
    """0 where the connection broke."""
    retry_after: bool
    version: int | None


@dataclass
class Load:
    """Some clients at once, on threads and keep-alive connections of http.client, which costs the least CPU.

    Args:
        address: of the service.
        bodies: pictures, sent in turn.
        clients: how many ask at once.
    """

    address: str
    bodies: Sequence[bytes]
    clients: int = 16
    answers: list[Answer] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Ask for as long as the block lasts; what is under way at its end is waited for."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(client, stop)) for client in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def failed(self) -> list[Answer]:
        """Answers that are no scores."""
        return [answer for answer in self.answers if answer.status != 200]

    def rate(self) -> float:
        """Scored pictures a second, from the first request to the last answer."""
        began_s = min(answer.began_s for answer in self.answers)
        ended_s = max(answer.began_s + answer.took_s for answer in self.answers)
        return (len(self.answers) - len(self.failed())) / (ended_s - began_s)

    def percentile_ms(self, percent: float) -> float:
        """Time that this share of requests took at most."""
        return float(np.percentile([1e3 * answer.took_s for answer in self.answers], percent))

    def _ask(self, client: int, stop: threading.Event) -> None:
        place = urlsplit(self.address)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=_TIMEOUT_S)
        number = client
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                body = self.bodies[number % len(self.bodies)]
                connection.request("POST", "/v1/score", body, {"Content-Type": "image/png"})
                response = connection.getresponse()
                data, status = response.read(), response.status
                retry_after = response.getheader("Retry-After") is not None
            except (OSError, http.client.HTTPException):
                connection.close()
                data, status, retry_after = b"", 0, False
            version = json.loads(data)["model_version"] if status == 200 else None
            self.answers.append(Answer(began_s, time.monotonic() - began_s, status, retry_after, version))
            number += self.clients
        connection.close()


def load_for(address: str, bodies: Sequence[bytes], seconds: float, *, clients: int = 16) -> Load:
    """Ask for some seconds; returns what came back."""
    with Load(address, bodies, clients).running() as load:
        time.sleep(seconds)
    return load
