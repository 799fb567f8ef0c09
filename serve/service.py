"""Scoring over a running model: decode, embed, route, ask the experts, judge, draw. No HTTP and no Ray in it.

A request looks at what is served once, when it begins. Everything after follows from that `Judge`: which class a
picture is of, which blobs its experts are asked for, what the scores mean. Experts know no versions, only blobs by the
hash of their content. So a response is of one version, however many are published while it is made.
"""

import asyncio
import base64
import io
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from eagleray.arrays import Floats, Pixels
from eagleray.continual import Ask, Finding, Judge, open_judge, stored_extractor
from eagleray.errors import BadImage, StoreError, StoreMissing, TooManyPixels
from eagleray.features import decode_image, resize
from eagleray.storage import Manifest, ModelStore
from serve.problems import Problem
from serve.settings import Settings
from serve.upload import Upload

EmbedBatched = Callable[[Pixels], Awaitable[Floats]]
"""Patches (H, W, D) of one resized picture, which may wait for others to share a batch with."""

_HEATMAP_SIDE = 2048
"""Longer side of a heat map in pixels at most: a screen shows no more, and memory grows with its square.

Heat maps of one request share as many pixels as one has by itself.
"""
_MEGA = 10**6
_RETRY_POLLS = 40
"""Looks at what is published between two attempts to read a version that could not be read."""
_logger = logging.getLogger("ray.serve")
T = TypeVar("T")


class Experts(Protocol):
    """Whoever asks the experts: handles of deployments, or the experts themselves in tests."""

    async def ask(self, ask: Ask, patches_HWD: Floats) -> Floats:
        """Patch scores (H, W) of patches (H, W, D) by the blobs that an ask names; `Problem` 503 where none answers."""
        ...

    async def check(self) -> None:
        """Raise `Problem` 503 unless the experts answer."""
        ...

    def deployment_of(self, expert: int) -> str:
        """Name of where an expert runs."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """One picture's verdict."""

    finding: Finding
    heatmap: str | None
    """PNG in base64."""


class Service:
    """One model store, served.

    Args:
        settings: see there.
        experts: who asks the experts.

    Raises:
        StoreError: there is no such model, or it is damaged.
    """

    def __init__(self, settings: Settings, experts: Experts) -> None:
        self.settings, self.experts = settings, experts
        self._store = ModelStore.open(settings.model)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="picture")
        manifest = first_manifest(self._store, settings)
        self.judge: Judge = open_judge(self._store, manifest, false_alarm_rate=settings.false_alarm_rate)
        self.kind, self._extractor_blob = manifest.kind, manifest.blobs["extractor"]
        device = "cuda" if settings.router_gpus > 0 else "cpu"
        self._embedder = stored_extractor(self._store, manifest).open(device=device, parallel=settings.threads)
        self._embedder.embed_batch([np.zeros((self.judge.image_size,) * 2 + (3,), np.uint8)])  # the first one is slow

    async def embed_batch(self, pictures: Sequence[Pixels]) -> list[Floats]:
        """Patches (H, W, D) of resized pictures, in order."""
        return await asyncio.to_thread(self._embedder.embed_batch, pictures)  # it has threads of its own

    async def score(
        self, uploads: Sequence[Upload], *, category: str | None, heatmap: bool, embed: EmbedBatched
    ) -> tuple[Judge, list[Scored]]:
        """Score the pictures of a request; returns the version that judged them, and a verdict for each, in order.

        Raises:
            Problem: 400 or 413 where a picture cannot be decoded, 503 where an expert does not answer.
            UnknownClass: the model does not know the category.
        """
        judge = self.judge
        if category is not None:
            judge.check_category(category)
        decoded = await asyncio.gather(*(self._in_thread(partial(self._decode, u, judge)) for u in uploads))
        pictures = _all_decoded(uploads, decoded)
        side = round(_HEATMAP_SIDE / len(uploads) ** 0.5) if heatmap else None
        work = (
            self._score(judge, upload, picture, category, side, embed)
            for upload, picture in zip(uploads, pictures, strict=True)
        )
        return judge, list(await asyncio.gather(*work))

    async def _score(
        self, judge: Judge, upload: Upload, picture: Pixels, category: str | None, side: int | None, embed: EmbedBatched
    ) -> Scored:
        patches_HWD = await embed(picture)
        plan = judge.plan(patches_HWD, category)
        grids = await asyncio.gather(*(self.experts.ask(ask, patches_HWD) for ask in plan.asks))
        finding = judge.finding(plan, grids)
        drawn = await self._in_thread(partial(self._draw, upload, judge, finding, side)) if side else None
        return Scored(finding, drawn)

    async def follow(self) -> None:
        """Serve what is published, for as long as the service lives.

        While a version cannot be read the one before it is served. That is logged once, and tried again in a while: the
        store may have been out of reach, or be repaired.
        """
        complaint, refused, again = "", None, 0.0
        while self.settings.version is None:
            await asyncio.sleep(self.settings.poll_s)
            version: int | None = None
            try:
                version = await asyncio.to_thread(self._store.published)
                if version in (None, self.judge.version):
                    complaint, refused = "", None
                elif version != refused or time.monotonic() >= again:
                    self.judge = await asyncio.to_thread(self._open, version)
                    complaint, refused = "", None
                    _logger.info("serving version %d", self.judge.version)
            except Exception as error:  # whatever is wrong with a version must not end the one that is served
                refused, again = version, time.monotonic() + _RETRY_POLLS * self.settings.poll_s
                if str(error) != complaint:
                    complaint = str(error)
                    _logger.error("version %d is still served: %s", self.judge.version, complaint)

    def _open(self, version: int) -> Judge:
        manifest, rate = self._store.read(version), self.settings.false_alarm_rate
        judge = open_judge(self._store, manifest, false_alarm_rate=rate, previous=self.judge)
        if manifest.blobs["extractor"] != self._extractor_blob:
            raise StoreError(self._store.uri, f"version {version} has another extractor; start the service anew")
        return judge

    def _decode(self, upload: Upload, judge: Judge) -> Pixels | BadImage:
        try:
            return resize(self._pixels(upload), judge.image_size)
        except BadImage as error:
            return error

    def _pixels(self, upload: Upload) -> Pixels:
        limit = int(self.settings.max_megapixels * _MEGA)
        return decode_image(upload.data, name=upload.name or "the picture", max_pixels=limit)

    def _draw(self, upload: Upload, judge: Judge, finding: Finding, side: int) -> str:
        """Decodes once more: pictures that wait for their scores hold their bytes, not their pixels."""
        picture = Image.fromarray(self._pixels(upload))
        picture.thumbnail((side, side))
        stream = io.BytesIO()
        Image.fromarray(judge.heat_map(np.asarray(picture), finding)).save(stream, format="PNG", compress_level=1)
        return base64.b64encode(stream.getvalue()).decode("ascii")

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def first_manifest(store: ModelStore, settings: Settings) -> Manifest:
    """The version to begin with: the one asked for, or the published one, or the current one.

    Raises:
        StoreMissing: the store has no such version, or none at all, or the model knows no class.
    """
    version = settings.version or store.published()
    manifest = store.read(version) if version else store.current()
    if manifest is None or not manifest.classes:
        raise StoreMissing(store.uri, "the model knows no class yet; learn one, or choose another version")
    return manifest


def _all_decoded(uploads: Sequence[Upload], decoded: Sequence[Pixels | BadImage]) -> list[Pixels]:
    """The pictures, or one problem that names every one that is none."""
    bad = [error for error in decoded if isinstance(error, BadImage)]
    if not bad:
        return [picture for picture in decoded if not isinstance(picture, BadImage)]
    status = 413 if any(isinstance(error, TooManyPixels) for error in bad) else 400
    several = len(uploads) > 1
    errors = [{"name": error.args[0], "detail": error.args[1]} for error in bad] if several else None
    rest = f" ({len(bad)} of {len(uploads)} pictures cannot be used)" if several else ""
    raise Problem(status, f"{bad[0]}{rest}", errors=errors)
