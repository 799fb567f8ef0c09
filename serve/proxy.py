"""What Ray's HTTP proxy does when a router dies with requests in its hands: 503 and Retry-After, not a bare 500.

Ray calls `middlewares` in its proxy processes where RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it. `serve.app`
sets that for the Ray it starts; for a cluster that runs already it must have been set before `ray start`.
"""

import json

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import MEDIA_TYPE, RETRY_AFTER_S, document

IMPORT_PATH = "serve.proxy:middlewares"
_BUSY = (408, 429, 503)
_MEDIA_TYPE = MEDIA_TYPE.encode()


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
            self._replaced = self._status in _BUSY and types[:1] != [_MEDIA_TYPE]
        if not self._replaced:
            await self._send(message)

    async def finish(self) -> None:
        if self._status and not self._replaced:
            return
        status = self._status or 503
        ids = [value for name, value in self._scope["headers"] if name.lower() == b"x-request-id"][:1]
        detail = "the service lost a replica or is busy; send the request again"
        body = json.dumps(document(status, detail, request_id=ids[0].decode("latin-1") if ids else None)).encode()
        headers = [(b"content-type", _MEDIA_TYPE), (b"retry-after", str(RETRY_AFTER_S).encode())]
        headers += [(b"x-request-id", request_id) for request_id in ids]
        start = {"type": "http.response.start", "status": status}
        await self._send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self._send({"type": "http.response.body", "body": body})
