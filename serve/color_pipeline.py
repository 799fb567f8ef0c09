"""Models that look at colour: an extractor embeds pictures in batches, a judge says which experts are asked."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np

from eagleray.arrays import Pixels
from eagleray.continual import FUSION_KIND, Finding, Judge, open_judge, stored_extractor
from eagleray.errors import StoreError
from eagleray.features import Embedder, resize
from eagleray.storage import Manifest, ModelStore
from serve.pipeline import EmbedBatched, Experts, Modality, decode, other_kind
from serve.settings import Settings
from serve.upload import Upload


@dataclass(frozen=True)
class ColorPipeline:
    """See `Pipeline`. Experts know no versions, only blobs by the hash of their content."""

    judge: Judge
    kind: str
    store: ModelStore
    settings: Settings
    experts: Experts
    extractor_blob: str
    embedder: Embedder
    modalities: tuple[Modality, ...] = ("color",)

    @classmethod
    def open(cls, store: ModelStore, manifest: Manifest, settings: Settings, experts: Experts) -> "ColorPipeline":
        """Open a version.

        Raises:
            StoreError: it cannot be read.
        """
        judge = open_judge(store, manifest, false_alarm_rate=settings.false_alarm_rate)
        device = "cuda" if settings.router_gpus > 0 else "cpu"
        embedder = stored_extractor(store, manifest).open(device=device, parallel=settings.threads)
        embedder.embed_batch([np.zeros((judge.image_size,) * 2 + (3,), np.uint8)])  # the first one is slow
        return cls(judge, manifest.kind, store, settings, experts, manifest.blobs["extractor"], embedder)

    def prepare(self, upload: Upload) -> Pixels:
        """See `Pipeline`."""
        return resize(decode(upload, self.settings), self.judge.image_size)

    async def find(self, prepared: Pixels, category: str | None, embed: EmbedBatched) -> Finding:
        """See `Pipeline`."""
        patches_HWD = await embed(prepared)
        plan = self.judge.plan(patches_HWD, category)
        grids = await asyncio.gather(*(self.experts.ask(ask, patches_HWD) for ask in plan.asks))
        return self.judge.finding(plan, grids)

    def successor(self, manifest: Manifest) -> "ColorPipeline":
        """See `Pipeline`; the other version has to have the same extractor."""
        if manifest.kind == FUSION_KIND:
            raise other_kind(self.store, manifest, self.kind)
        rate = self.settings.false_alarm_rate
        judge = open_judge(self.store, manifest, false_alarm_rate=rate, previous=self.judge)
        if manifest.blobs["extractor"] != self.extractor_blob:
            problem = f"version {manifest.version} has another extractor; start the service anew"
            raise StoreError(self.store.uri, problem)
        return replace(self, judge=judge, kind=manifest.kind)

    async def check(self) -> None:
        """See `Pipeline`."""
        await self.experts.check()

    def deployment_of(self, expert: int) -> str:
        """See `Pipeline`."""
        return self.experts.deployment_of(expert)
