"""Reading the pictures out of a request, within limits of time and size."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from serve.problems import Problem
from serve.settings import Settings

FIELD = "file"
_MAX_FIELDS = 16
_MOST_DIGITS = 18
"""Of an announced length: Python refuses to read numbers of thousands."""
_RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Types of a body that is one picture, beside image/*: none, "bytes", and what curl says unless it is told."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture as it was sent."""

    data: bytes
    name: str | None = None
    """File name that the client gave it."""


async def read_uploads(request: Request, settings: Settings) -> list[Upload]:
    """The pictures of a request, in order, not decoded; at least one.

    Raises:
        Problem: 400 nothing there or not all of it, 408 too slow, 413 too large or too many, 415 no picture's type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind in _RAW or kind == "multipart/form-data"):
        raise Problem(415, f"{kind} is no picture: send image/png, image/jpeg ..., or multipart/form-data")
    body = await _read_body(request, settings)
    if kind != "multipart/form-data":
        uploads = [Upload(body)]
    else:
        uploads = await _read_parts(request, body, settings)
    empty = [upload.name or "the body" for upload in uploads if not upload.data]
    if empty:
        raise Problem(400, f"{empty[0]} is empty: send the bytes of a picture")
    return uploads


async def _read_body(request: Request, settings: Settings) -> bytes:
    limit = int(settings.max_request_mb * 2**20)
    too_large = Problem(
        413, f"the request is larger than {settings.max_request_mb:g} MB; send fewer or smaller pictures"
    )
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > _MOST_DIGITS or int(announced) > limit):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(settings.upload_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {settings.upload_timeout_s:g} s; send it faster") from None
    except ClientDisconnect:  # nobody reads this, but it is no mistake of ours to be logged
        raise Problem(400, "the body did not arrive whole; send it again") from None
    return bytes(body)


async def _read_parts(request: Request, body: bytes, settings: Settings) -> list[Upload]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    # The boundary and nothing else: a charset of the client's choice may name any of Python's codecs.
    _, options = parse_options_header(request.headers["content-type"])
    boundary = b'multipart/form-data; boundary="%s"' % options.get(b"boundary", b"")
    parser = _Parser(
        Headers(raw=[(b"content-type", boundary)]),
        stream(),
        max_files=settings.max_files,
        max_fields=_MAX_FIELDS,
        max_part_size=len(body),
    )
    parser.spool_max_size = len(body)  # the body is in memory already; a file on disk would be no better
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many" in error.message:
            raise Problem(
                413, f"too many parts; send at most {settings.max_files} pictures in one request, and nothing else"
            ) from error
        raise Problem(400, f"this is no multipart/form-data ({error.message.rstrip('.')})") from error
    try:
        if not parser.complete:
            raise Problem(400, "the multipart body ends too early, without its last boundary; send all of it")
        parts = form.multi_items()
        if "depth" in form:
            raise Problem(400, "this model was learned on colour alone: leave the part `depth` out")
        if stray := [name for name, _ in parts if name != FIELD]:
            raise Problem(400, f"a part is called {stray[0]!r}; pictures are parts called `{FIELD}`")
        if not all(isinstance(part, UploadFile) for _, part in parts):
            raise Problem(400, f"a part `{FIELD}` has no file name; send it as a file, as in curl -F {FIELD}=@a.png")
        if not parts:
            raise Problem(400, f"there is no part called `{FIELD}`; send at least one, as in curl -F {FIELD}=@a.png")
        return [Upload(await part.read(), part.filename) for _, part in parts if isinstance(part, UploadFile)]
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Knows whether the last boundary came: a part that was cut off is left out without a word."""

    complete = False

    def on_end(self) -> None:
        self.complete = True
