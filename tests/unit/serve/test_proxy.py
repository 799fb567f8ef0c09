import asyncio
import json

import httpx
import pytest

from serve import proxy

PROBLEM = (b"content-type", b"application/problem+json")
TEXT = (b"content-type", b"text/plain")


def answers(status, *bodies, headers=()):
    """An application that answers so."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


async def silent(scope, receive, send):
    """A router that died."""


def get(app, **headers):
    for middleware in reversed(proxy.middlewares()):
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(ask())


def test_no_answer_at_all_becomes_a_503_that_says_try_again():
    response = get(silent, **{"X-Request-ID": "r-1"})
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-request-id"] == "r-1"
    found = response.json()
    assert found.keys() == {"type", "title", "status", "detail", "request_id"}
    assert (found["status"], found["request_id"]) == (503, "r-1")
    assert "request_id" not in get(silent).json()


@pytest.mark.parametrize("status", [503, 408, 429])
@pytest.mark.parametrize("headers", [[TEXT], []])
def test_a_refusal_of_rays_becomes_a_problem_of_the_same_status(status, headers):
    response = get(answers(status, b"Too many", b" requests", headers=headers))
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    assert "Too many" not in response.text
    assert response.json()["status"] == status


@pytest.mark.parametrize("status", [503, 408])
def test_a_problem_of_our_own_passes_unchanged(status):
    body = json.dumps({"detail": "an expert is away"}).encode()
    response = get(answers(status, body, headers=[PROBLEM, (b"retry-after", b"7")]))
    assert (response.status_code, response.content) == (status, body)
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [200, 304, 400, 404, 500])
def test_everything_else_streams_through_as_it_comes(status):
    sent = []

    async def send(message):
        sent.append(message)

    async def scenario():
        app = proxy.RetryAfterDeath(answers(status, b"a", b"b", headers=[TEXT]))
        await app({"type": "http", "headers": []}, None, send)

    asyncio.run(scenario())
    assert sent == [
        {"type": "http.response.start", "status": status, "headers": [TEXT]},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.body", "body": b"b", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_what_is_not_http_passes(kind):
    seen = []

    async def app(*args):
        seen.append(args)

    arguments = ({"type": kind}, object(), object())
    asyncio.run(proxy.RetryAfterDeath(app)(*arguments))
    assert seen == [arguments]
