"""The service in this process: its own application over the tiny model, with experts that need no cluster."""

import asyncio
import io
import re
import shutil
import struct
import zlib
from collections import Counter

import httpx
import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from eagleray.continual import ExpertCache, load_expert
from eagleray.storage import ModelStore
from serve.api import make_api
from serve.keys import Keys
from serve.problems import unavailable
from serve.service import Service
from serve.settings import Settings

PROBLEM = "application/problem+json"
SIDE = 40
"""Of a picture of colours in pixels."""
OPEN = Keys.read(None)


class LocalExperts:
    """Experts in this process; `loads` counts how often each blob was read."""

    def __init__(self, store):
        self.loads = Counter()
        self.down = False
        self._cache = ExpertCache(ModelStore.open(store), load=self._load)

    async def ask(self, ask, patches_HWD):
        with threadpool_limits(1, user_api="blas"):
            return self._cache.patch_scores(ask.digests, patches_HWD)

    async def check(self):
        if self.down:
            raise unavailable("an expert deployment does not answer yet")

    def deployment_of(self, expert):
        return f"expert-{expert}"

    def _load(self, data, place):
        self.loads[place] += 1
        return load_expert(data, place)


class Heard:
    """An observer that remembers."""

    def __init__(self):
        self.requests, self.judged = [], []

    def request(self, operation, status, seconds):
        self.requests.append((operation, status))

    def verdicts(self, scored):
        self.judged.extend(scored)


class Site:
    """The application and its parts. Requests are synchronous; `client` is for tests that run a loop of their own."""

    def __init__(self, store, keys=OPEN, **settings):
        self.experts, self.heard = LocalExperts(store), Heard()
        self.service = Service(Settings.read({"model": str(store), **settings}), self.experts)
        self.embed = self._embed
        self.api = make_api(self.service, embed=lambda picture: self.embed(picture), keys=keys, observer=self.heard)

    def client(self):
        transport = httpx.ASGITransport(self.api, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://service", timeout=30)

    def request(self, method, path, **request):
        async def ask():
            async with self.client() as client:
                return await client.request(method, path, **request)

        return asyncio.run(ask())

    def get(self, path, **request):
        return self.request("GET", path, **request)

    def post(self, data=None, path="/v1/score", **request):
        """Send a body as it is, as bytes or in chunks."""
        return self.request("POST", path, content=data, **request)

    def send(self, *files, path="/v1/score", **request):
        """Send (name, bytes) as parts called file."""
        return self.request("POST", path, files=[("file", file) for file in files], **request)

    async def _embed(self, picture):
        return (await self.service.embed_batch([picture]))[0]


@pytest.fixture(scope="session")
def site(tiny_model):
    """One service for all tests that leave it as it was."""
    return Site(tiny_model.store)


@pytest.fixture
def store(tiny_model, tmp_path):
    """A model that the test may publish in, or damage."""
    return shutil.copytree(tiny_model.store, tmp_path / "model")


@pytest.fixture(scope="session")
def dots(tiny_model):
    return (tiny_model.data / "dots/test/good/0.png").read_bytes()


@pytest.fixture(scope="session")
def pictures(tiny_model):
    """Every test picture: path below the data, and bytes."""
    paths = sorted(tiny_model.data.glob("*/test/*/*.png"))
    return {str(path.relative_to(tiny_model.data)): path.read_bytes() for path in paths}


def problem(response, status):
    """The problem document that a response is, checked for its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    found = response.json()
    assert found.keys() <= {"type", "title", "status", "detail", "request_id", "errors"}
    assert (found["type"], found["status"]) == ("about:blank", status)
    assert found["title"]
    assert len(found["detail"].splitlines()) == 1
    assert "Traceback" not in response.text
    assert not re.search(r"0x[0-9a-f]{6}", found["detail"])
    return found


def encoded(picture, kind="PNG", **options):
    stream = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(stream, kind, **options)
    return stream.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows=b"", extra=b""):
    """A grey PNG that says to be of this size, whatever its rows are."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + body + png_chunk(b"IEND", b"")


def tiled_tiff(side, tile):
    """A grey TIFF of side x side pixels in one tile of tile x tile; the tile is empty."""
    body = zlib.compress(bytes(tile * tile))
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 325: len(body)}
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted({**tags, 324: start}.items())]
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(entries) + struct.pack("<I", 0) + body


def form(*parts, boundary=b"B", end=True):
    """A multipart body of parts given as (headers, content)."""
    lines = [b"--" + boundary + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n" for headers, content in parts]
    return b"".join(lines) + (b"--" + boundary + b"--\r\n" if end else b"")


def part(name=b"file", filename=b"a.png"):
    """Headers of a part."""
    ending = b'; filename="%s"' % filename if filename is not None else b""
    return b'Content-Disposition: form-data; name="%s"' % name + ending


def colours():
    blocks = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8)))


def animated(kind):
    return encoded(colours(), kind, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))] * 3)


def giant_canvas():
    """An animated WebP that says to be of 16,383 x 16,383."""
    data = bytearray(animated("WEBP"))
    start = data.index(b"VP8X") + 12
    data[start : start + 6] = 2 * (16382).to_bytes(3, "little")
    return bytes(data)
