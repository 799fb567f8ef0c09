"""The ingress deployment: a `Service` behind HTTP, with pictures embedded in dynamic batches."""

import asyncio

from ray import serve
from ray.serve.handle import DeploymentHandle

from eagleray.arrays import Floats, Pixels
from serve.api import make_api
from serve.handles import ExpertHandles
from serve.keys import Keys
from serve.metrics import RayMetrics
from serve.service import Service
from serve.settings import Settings

_BATCHES_AT_ONCE = 2
"""One is embedded while the next one comes together."""
_REPORT_S = 1.0


@serve.ingress()
class Router:
    """Decodes, embeds, routes, asks the experts, judges and draws.

    Args:
        settings: see there.
        keys: who may ask.
        experts: handles of the expert deployments.
    """

    def __init__(self, settings: Settings, keys: Keys, experts: list[DeploymentHandle]) -> None:
        self._keys, self._metrics = keys, RayMetrics()
        # A handle that was made elsewhere goes the way that was the default there; one made here goes Ray's way here.
        handles = [serve.get_deployment_handle(handle.deployment_name) for handle in experts]
        self._service = Service(settings, ExpertHandles(handles, timeout_s=settings.expert_timeout_s))
        self._embed.set_max_batch_size(settings.batch_size)
        self._embed.set_batch_wait_timeout_s(settings.batch_wait_s)
        self._tasks = [asyncio.create_task(work) for work in (self._service.follow(), self._report())]

    def __serve_build_asgi_app__(self) -> object:
        """Called by Serve once the replica is made."""
        return make_api(self._service, embed=self._embed, keys=self._keys, observer=self._metrics)

    @serve.batch(max_concurrent_batches=_BATCHES_AT_ONCE)  # type: ignore[untyped-decorator]
    async def _embed(self, pictures: list[Pixels]) -> list[Floats]:
        return await self._service.embed_batch(pictures)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            self._metrics.flush(self._service.judge)

    def check_health(self) -> None:
        """Have Serve replace a replica whose work in the background has failed."""
        for task in self._tasks:
            if task.done():
                task.result()
