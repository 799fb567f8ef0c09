"""Scoring over a running model: what is served now, what a request makes of it, heat maps. No HTTP and no Ray in it.

A request looks at what is served once, when it begins, and everything after follows from that `Pipeline`. So a response
is of one version, however many are published while it is made.
"""

import asyncio
import base64
import io
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from eagleray.arrays import Floats, Pixels
from eagleray.continual import FUSION_KIND, Finding, Judge
from eagleray.errors import DataError, StoreMissing, TooManyPixels
from eagleray.storage import Manifest, ModelStore
from serve.color_pipeline import ColorPipeline
from serve.pipeline import EmbedBatched, Experts, Pipeline, decode
from serve.problems import Problem
from serve.settings import Settings
from serve.upload import Upload

_HEATMAP_SIDE = 2048
"""Longer side of a heat map in pixels at most: a screen shows no more, and memory grows with its square.

Heat maps of one request share as many pixels as one has by itself.
"""
_RETRY_POLLS = 40
"""Looks at what is published between two attempts to read a version that could not be read."""
_logger = logging.getLogger("ray.serve")
T = TypeVar("T")


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
        self.settings = settings
        self._store = ModelStore.open(settings.model)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="picture")
        manifest = first_manifest(self._store, settings)
        self.pipeline: Pipeline
        if manifest.kind == FUSION_KIND:
            from serve.fused_pipeline import FusedPipeline  # loads torch, which no other model needs

            self.pipeline = FusedPipeline.open(self._store, manifest, settings, self._threads)
        else:
            self.pipeline = ColorPipeline.open(self._store, manifest, settings, experts)

    @property
    def judge(self) -> Judge:
        """Of the version that is served now."""
        return self.pipeline.judge

    async def embed_batch(self, pictures: Sequence[Pixels]) -> list[Floats]:
        """Patches (H, W, D) of resized pictures, in order; models that look at depth do not ask for them."""
        assert isinstance(self.pipeline, ColorPipeline), "the model has no extractor"
        return await asyncio.to_thread(self.pipeline.embedder.embed_batch, pictures)  # it has threads of its own

    async def score(
        self,
        pipeline: Pipeline,
        uploads: Sequence[Upload],
        *,
        category: str | None,
        heatmap: bool,
        embed: EmbedBatched,
    ) -> list[Scored]:
        """Score the pictures of a request; returns a verdict for each, in order.

        Args:
            pipeline: what was served when the request began.
            uploads: as they were sent, with depth where it needs that.
            category: the class that all of them show; without it, each one decides.
            heatmap: whether to draw one.
            embed: as `embed_batch`, in whatever batch comes together.

        Raises:
            Problem: 400 or 413 where a picture cannot be used, 503 where an expert does not answer.
            UnknownClass: the model does not know the category.
        """
        if category is not None:
            pipeline.judge.check_category(category)
        prepared = await asyncio.gather(*(self._in_thread(partial(_prepare, pipeline, u)) for u in uploads))
        _check_usable(prepared)
        side = round(_HEATMAP_SIDE / len(uploads) ** 0.5) if heatmap else None

        async def score(upload: Upload, picture: Any) -> Scored | DataError:
            try:
                finding = await pipeline.find(picture, category, embed)
            except DataError as error:
                return error
            draw = partial(self._draw, upload, pipeline.judge, finding, side) if side else None
            return Scored(finding, await self._in_thread(draw) if draw else None)

        scored = await asyncio.gather(*map(score, uploads, prepared))
        _check_usable(scored)
        return [one for one in scored if not isinstance(one, DataError)]

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
                    self.pipeline = await asyncio.to_thread(self._open, self.pipeline, version)
                    complaint, refused = "", None
                    _logger.info("serving version %d", self.judge.version)
            except Exception as error:  # whatever is wrong with a version must not end the one that is served
                refused, again = version, time.monotonic() + _RETRY_POLLS * self.settings.poll_s
                if str(error) != complaint:
                    complaint = str(error)
                    _logger.error("version %d is still served: %s", self.judge.version, complaint)

    def _open(self, served: Pipeline, version: int) -> Pipeline:
        return served.successor(self._store.read(version))

    def _draw(self, upload: Upload, judge: Judge, finding: Finding, side: int) -> str:
        """Decodes once more: pictures that wait for their scores hold their bytes, not their pixels."""
        picture = Image.fromarray(decode(upload, self.settings))
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


def _prepare(pipeline: Pipeline, upload: Upload) -> Any:
    try:
        return pipeline.prepare(upload)
    except DataError as error:
        return error


def _check_usable(found: Sequence[Any]) -> None:
    """Raise one problem that names every picture of a request of which an error was found."""
    bad = [error for error in found if isinstance(error, DataError)]
    if not bad:
        return
    status = 413 if any(isinstance(error, TooManyPixels) for error in bad) else 400
    several = len(found) > 1
    errors = [{"name": error.args[0], "detail": error.args[1]} for error in bad] if several else None
    rest = f" ({len(bad)} of {len(found)} pictures cannot be used)" if several else ""
    raise Problem(status, f"{bad[0]}{rest}", errors=errors)
