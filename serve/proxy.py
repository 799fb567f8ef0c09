"""What Ray's HTTP proxy does when a router dies with requests in its hands: 503 and Retry-After, not a bare 500.

Ray calls `middlewares` in its proxy processes where RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it. `serve.app`
sets that for the Ray it starts; for a cluster that runs already it must have been set before `ray start`.
"""

import json
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IMPORT_PATH = "serve.proxy:middlewares"
_RETRY_AFTER_S = b"1"
_STATUS = {503: "Service Unavailable", 408: "Request Timeout", 429: "Too Many Requests"}


def middlewares() -> list[Middleware]:
    """What the proxy is wrapped in."""
    return [Middleware(RetryAfterDeath)]


class RetryAfterDeath:
    """Answers 503 for a router that did not, and gives Ray's own refusals the form that ours have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        await self._app(scope, receive, answer.send)
        await answer.finish()


class _Answer:
    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._status = 0
        self._replaced = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            # Ray's own refusals (too busy, no replica) are plain text; problem documents are ours and go through.
            types = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
            self._replaced = self._status in _STATUS and types[:1] != [b"application/problem+json"]
        if not self._replaced:
            await self._send(message)

    async def finish(self) -> None:
        if self._status and not self._replaced:
            return
        status = self._status or 503
        detail = "the service lost a replica or is busy; send the request again"
        found: dict[str, Any] = {"type": "about:blank", "title": _STATUS[status], "status": status, "detail": detail}
        ids = [value for name, value in self._scope["headers"] if name.lower() == b"x-request-id"]
        if ids:
            found["request_id"] = ids[0].decode("latin-1")
        headers = [(b"content-type", b"application/problem+json"), (b"retry-after", _RETRY_AFTER_S)]
        headers += [(b"x-request-id", request_id) for request_id in ids[:1]]
        body = json.dumps(found).encode()
        start = {"type": "http.response.start", "status": status}
        await self._send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self._send({"type": "http.response.body", "body": body})
