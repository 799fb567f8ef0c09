"""A closed loop of clients that ask a service for scores: each sends its next request when it has the last answer."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

RAMP_S = 1.0
"""Left out of rates: so long it takes until as many requests are in each stage as will be on average."""
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
    """Some clients at once, on threads and keep-alive connections, at little cost: they share the service's cores.

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

    def rate(self, seconds: float) -> float:
        """Scored pictures a second within so many seconds after the ramp, in which requests come to overlap."""
        begin_s = min(answer.began_s for answer in self.answers) + RAMP_S
        ends = [answer.began_s + answer.took_s for answer in self.answers if answer.status == 200]
        return sum(begin_s <= end_s < begin_s + seconds for end_s in ends) / seconds

    def percentile_ms(self, percent: float) -> float:
        """Time that this share of requests took at most."""
        return float(np.percentile([1e3 * answer.took_s for answer in self.answers], percent))

    def _ask(self, client: int, stop: threading.Event) -> None:
        connection = _Connection(self.address)
        number = client
        while not stop.is_set():
            began_s = time.monotonic()
            status, retry_after, data = connection.ask(self.bodies[number % len(self.bodies)])
            version = json.loads(data)["model_version"] if status == 200 else None
            self.answers.append(Answer(began_s, time.monotonic() - began_s, status, retry_after, version))
            number += self.clients
        connection.close()


class _Connection:
    """Just enough of HTTP for answers with a Content-Length, at a tenth of what http.client takes."""

    def __init__(self, address: str) -> None:
        place = urlsplit(address)
        self._place = str(place.hostname), place.port
        self._head = f"POST /v1/score HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: image/png\r\nContent-Length: "
        self._socket: socket.socket | None = None

    def ask(self, body: bytes) -> tuple[int, bool, bytes]:
        """Status, whether there is a Retry-After, and the answer's body; status 0 where the connection broke."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._place, timeout=_TIMEOUT_S)
            self._socket.sendall(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            data = b""
            while b"\r\n\r\n" not in data:
                data += self._receive()
            head, _, data = data.partition(b"\r\n\r\n")
            head = head.lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            while len(data) < length:
                data += self._receive()
            if b"connection: close" in head:
                self.close()
            return int(head.split(None, 2)[1]), b"\r\nretry-after:" in head, data
        except (OSError, ValueError):
            self.close()
            return 0, False, b""

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _receive(self) -> bytes:
        assert self._socket is not None
        received = self._socket.recv(2**16)
        if not received:
            raise ConnectionError("the service hung up")
        return received


def load_for(address: str, bodies: Sequence[bytes], seconds: float, *, clients: int = 16) -> Load:
    """Ask for some seconds after a ramp; returns what came back."""
    with Load(address, bodies, clients).running() as load:
        time.sleep(RAMP_S + seconds)
    return load
