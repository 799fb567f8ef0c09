import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from benchmarks.load import RAMP_S, Answer, Load


class Service(BaseHTTPRequestHandler):
    """Answers by what it is sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"break":
            self.close_connection = True
            return
        status, data = (503, b"{}") if body == b"busy" else (200, json.dumps({"model_version": len(body)}).encode())
        self.send_response(status)
        if status == 503:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_answer_is_kept_for_what_it_was(address, eventually):
    bodies = [b"abc", b"busy", b"break", b"x" * 100_000]
    with Load(address, bodies, clients=2).running() as load:
        eventually(lambda: len(load.answers) > 12, within_s=10)
    found = {(answer.status, answer.retry_after, answer.version) for answer in load.answers}
    assert found == {(200, False, 3), (503, True, None), (0, False, None), (200, False, 100_000)}
    assert {answer.status for answer in load.failed()} == {503, 0}


def test_a_rate_counts_scores_that_end_within_the_window_after_the_ramp():
    load = Load("http://x", [])
    ends = [(0.0, 0.5, 200), (RAMP_S, 0.1, 200), (RAMP_S, 0.2, 503), (RAMP_S + 1, 0.5, 200), (RAMP_S + 1.9, 0.2, 200)]
    load.answers = [Answer(began, took, status, False, None) for began, took, status in ends]
    assert load.rate(2.0) == 1.0
    assert load.percentile_ms(100) == 500
