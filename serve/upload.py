"""Reading the pictures out of a request, within limits of time and size."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from eagleray.data.source import NamedBytes
from serve.problems import Problem
from serve.settings import Settings

FIELD = "file"
IMAGE, DEPTH, RANGE = "image", "depth", "depth_range"
"""Parts of a request to a model that looks at depth."""
_MAX_FIELDS = 16
_MOST_DIGITS = 18
"""Of an announced length: Python refuses to read numbers of thousands."""
_RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Types of a body that is one picture, beside image/*: none, "bytes", and what curl says unless it is told."""
_PNG = b"\x89PNG\r\n\x1a\n"
_AS_IN = f"as in curl -F {IMAGE}=@a.png -F {DEPTH}=@a.tiff"


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture as it was sent."""

    data: bytes = field(repr=False)
    name: str | None = None
    """File name that the client gave it."""
    depth: NamedBytes | None = None
    """Of a picture for a model that looks at it."""
    depth_range: NamedBytes | None = None
    """Of a depth that is a PNG."""


async def read_uploads(request: Request, settings: Settings, *, with_depth: bool = False) -> list[Upload]:
    """The pictures of a request, in order, not decoded; at least one.

    Args:
        request: whose body was not read yet.
        settings: for its limits.
        with_depth: whether every picture has to come with its depth, or none may.

    Raises:
        Problem: 400 nothing there or not all of it, or not what the model looks at, 408 too slow, 413 too large or too
            many, 415 no picture's type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind in _RAW or kind == "multipart/form-data"):
        raise Problem(415, f"{kind} is no picture: send image/png, image/jpeg ..., or multipart/form-data")
    body = await _read_body(request, settings)
    if kind != "multipart/form-data":
        if with_depth:
            raise _depth_wanted()
        uploads = [Upload(body)]
    else:
        parts = await _read_parts(request, body, settings, files=3 if with_depth else 1)
        uploads = _with_depth(parts, settings) if with_depth else _of_color(parts)
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


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a multipart body."""

    field: str
    data: bytes | None
    """None where it has no file name: it is a field of a form."""
    name: str


async def _read_parts(request: Request, body: bytes, settings: Settings, *, files: int) -> list[_Part]:
    """All parts, in order; `files` is how many each picture may have."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    # The boundary and nothing else: a charset of the client's choice may name any of Python's codecs.
    _, options = parse_options_header(request.headers["content-type"])
    boundary = b'multipart/form-data; boundary="%s"' % options.get(b"boundary", b"")
    parser = _Parser(
        Headers(raw=[(b"content-type", boundary)]),
        stream(),
        max_files=files * settings.max_files,
        max_fields=_MAX_FIELDS,
        max_part_size=len(body),
    )
    parser.spool_max_size = len(body)  # the body is in memory already; a file on disk would be no better
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many" in error.message:
            raise _too_many(settings) from error
        raise Problem(400, f"this is no multipart/form-data ({error.message.rstrip('.')})") from error
    try:
        if not parser.complete:
            raise Problem(400, "the multipart body ends too early, without its last boundary; send all of it")
        return [
            _Part(name, await part.read(), part.filename or "")
            if isinstance(part, UploadFile)
            else _Part(name, None, "")
            for name, part in form.multi_items()
        ]
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Knows whether the last boundary came: a part that was cut off is left out without a word."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


def _of_color(parts: Sequence[_Part]) -> list[Upload]:
    if any(part.field == DEPTH for part in parts):
        raise Problem(400, f"this model was learned on colour alone: leave the part `{DEPTH}` out")
    if stray := [part.field for part in parts if part.field != FIELD]:
        raise Problem(400, f"a part is called {stray[0]!r}; pictures are parts called `{FIELD}`")
    if any(part.data is None for part in parts):
        raise Problem(400, f"a part `{FIELD}` has no file name; send it as a file, as in curl -F {FIELD}=@a.png")
    if not parts:
        raise Problem(400, f"there is no part called `{FIELD}`; send at least one, as in curl -F {FIELD}=@a.png")
    return [Upload(part.data, part.name) for part in parts if part.data is not None]


def _with_depth(parts: Sequence[_Part], settings: Settings) -> list[Upload]:
    """Pictures with their depth, and each depth that is a PNG with its range: the first with the first, and so on."""
    known = (IMAGE, DEPTH, RANGE)
    if not parts or any(part.field == FIELD for part in parts):
        raise _depth_wanted()
    if stray := [part.field for part in parts if part.field not in known]:
        names = f"`{IMAGE}`, `{DEPTH}` and `{RANGE}`"
        raise Problem(400, f"a part is called {stray[0]!r}; pictures and their depth are parts called {names}")
    if nameless := [part.field for part in parts if part.data is None]:
        raise Problem(400, f"a part `{nameless[0]}` has no file name; send it as a file, {_AS_IN}")
    images, depths, ranges = ([_named(part) for part in parts if part.field == field] for field in known)
    if len(images) > settings.max_files:
        raise _too_many(settings)
    if len(images) != len(depths):
        counts = f"{len(images)} parts `{IMAGE}` and {len(depths)} parts `{DEPTH}`"
        raise Problem(400, f"there are {counts}; send one depth for each picture, in the same order")
    if empty := [part.name for part in (*depths, *ranges) if not part.data]:
        raise Problem(400, f"{empty[0]} is empty: send the bytes of a depth file")
    pngs = [depth for depth in depths if depth.data.startswith(_PNG)]
    if len(pngs) != len(ranges):
        first = f", the first is {pngs[0].name}" if pngs else ""
        counts = f"{len(pngs)} depths are PNGs{first}, and there are {len(ranges)} parts `{RANGE}`"
        raise Problem(400, f"{counts}; send the NNN_info_depth.yaml of each PNG, in the same order")
    left = iter(ranges)
    return [
        Upload(image.data, image.name, depth, next(left) if depth.data.startswith(_PNG) else None)
        for image, depth in zip(images, depths, strict=True)
    ]


def _named(part: _Part) -> NamedBytes:
    assert part.data is not None, "a field is no file"
    names = {IMAGE: part.name, DEPTH: "the depth", RANGE: "the depth range"}
    return NamedBytes(part.data, part.name or names[part.field])


def _depth_wanted() -> Problem:
    return Problem(400, f"this model looks at depth, too: send parts `{IMAGE}` and `{DEPTH}`, {_AS_IN}")


def _too_many(settings: Settings) -> Problem:
    return Problem(413, f"too many parts; send at most {settings.max_files} pictures in one request, and nothing else")
