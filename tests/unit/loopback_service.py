"""A service on this machine's loopback that answers as ours do, for tests of what talks to one."""

import base64
import io
import json
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from eagleray.continual import ScoringSession
from eagleray.features import load_image


class Service:
    """A service on loopback that answers as the contract says, from the tiny model; `requests` are the paths asked."""

    def __init__(self, store, data):
        self.store, self.key, self.requests, self.connections, self.busy_for = store, None, [], set(), 0
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self._session, self._lock = ScoringSession.open(store), threading.Lock()
        self._pictures = {path.read_bytes(): path for path in data.rglob("*.png")}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.address = "http://{}:{}".format(*self._http.server_address)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method, url, headers, body):
        """Status and document."""
        parts = urlsplit(url)
        with self._lock:
            self.requests.append(f"{method} {parts.path}")
            if self.key and headers["Authorization"] != f"Bearer {self.key}":
                return 401, {"detail": "no key"}
            if self.busy_for:
                self.busy_for -= 1
                return 503, {"detail": "busy"}
            version = self.store.published() or self._session.judge.version
            if method == "GET":
                categories = [{"name": "dots"}, {"name": "stripes"}]
                limits = {"max_request_mb": 64}
                return 200, {"model_version": version, "categories": categories, "limits": limits}
            if body not in self._pictures:
                return 400, {"detail": "is no image; send one"}
            query = {name: value for name, (value,) in parse_qs(parts.query).items()}
            item = self._item(load_image(self._pictures[body]), query)
            return 200, {"model_version": version, "items": [item]}

    def _item(self, pixels, query):
        finding = self._session.score(pixels, category=query.get("category"))
        heatmap = None
        if query["heatmap"] == "png":
            Image.fromarray(self._session.heat_map(pixels, finding)).save(png := io.BytesIO(), format="PNG")
            heatmap = base64.b64encode(png.getvalue()).decode()
        return {
            "name": None,
            "score": finding.score,
            "p_value": finding.p_value,
            "verdict": "anomalous" if finding.anomalous else "good",
            "anomalous": bool(finding.anomalous),
            "threshold": finding.threshold.value,
            "category": finding.category,
            "expert": finding.expert,
            "routing": [asdict(route) for route in finding.routing],
            "heatmap": heatmap,
        }

    def _handler(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                service.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                if self.command == "POST":
                    service.asked.set()
                    service.go_on.wait(60)
                status, document = service.answer(self.command, self.path, self.headers, body)
                data = json.dumps(document).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the command went away
                    self.close_connection = True

            def do_GET(self):
                self.headers["Content-Length"] = "0"
                self.do_POST()

            def log_message(self, *_):
                pass

        return Handler
