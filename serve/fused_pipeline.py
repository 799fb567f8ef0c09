"""Models that look at colour and depth: one network judges a picture, in the router's own process.

Only a service of such a model imports this file, for it loads torch.
"""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from eagleray.adnas import FusionSession
from eagleray.continual import FUSION_KIND, Finding, Judge
from eagleray.data.depth import read_depth
from eagleray.fusion.images import RgbdImages
from eagleray.storage import Manifest, ModelStore
from serve.pipeline import EmbedBatched, Modality, decode, other_kind
from serve.settings import Settings
from serve.upload import Upload


class Fitted(NamedTuple):
    """A picture in the size and the scale of the model."""

    images: RgbdImages
    name: str
    """What errors call its depth."""


@dataclass(frozen=True)
class FusedPipeline:
    """See `Pipeline`. Each picture is judged on one thread, and as many at once as there are threads."""

    session: FusionSession
    store: ModelStore
    settings: Settings
    threads: Executor
    kind: str = FUSION_KIND

    @classmethod
    def open(cls, store: ModelStore, manifest: Manifest, settings: Settings, threads: Executor) -> "FusedPipeline":
        """Open a version.

        Raises:
            StoreError: it cannot be read.
        """
        # A network sets the process's threads to one while it computes, and back: one thread would undo it for another.
        threadpool_limits(1, user_api="blas")
        return cls(_load(store, manifest, settings), store, settings, threads)

    @property
    def judge(self) -> Judge:
        """See `Pipeline`."""
        return self.session.judge

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """See `Pipeline`."""
        return ("color", "depth") if self.session.needs_depth else ("color",)

    def prepare(self, upload: Upload) -> Fitted:
        """See `Pipeline`."""
        color_YX3 = decode(upload, self.settings)
        if upload.depth is None:
            return Fitted(self.session.fit(color_YX3), "the depth")
        rows, columns = color_YX3.shape[:2]
        name = upload.name or "the picture"
        depth = read_depth(upload.depth, upload.depth_range, size=(rows, columns), picture=name)
        return Fitted(self.session.fit(color_YX3, depth, name=upload.depth.name), upload.depth.name)

    async def find(self, prepared: Fitted, category: str | None, embed: EmbedBatched) -> Finding:
        """See `Pipeline`."""
        look = partial(self.session.finding, prepared.images, category=category, name=prepared.name)
        return await asyncio.get_running_loop().run_in_executor(self.threads, look)

    def successor(self, manifest: Manifest) -> "FusedPipeline":
        """See `Pipeline`."""
        if manifest.kind != FUSION_KIND:
            raise other_kind(self.store, manifest, self.kind)
        return replace(self, session=_load(self.store, manifest, self.settings))

    async def check(self) -> None:
        """See `Pipeline`."""

    def deployment_of(self, expert: int) -> str:
        """See `Pipeline`."""
        return "router"


def _load(store: ModelStore, manifest: Manifest, settings: Settings) -> FusionSession:
    session = FusionSession.load(store, manifest, false_alarm_rate=settings.false_alarm_rate)
    session.warm_up()
    return session
