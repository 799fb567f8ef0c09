"""The experts as the router sees them: one handle a deployment, and what happens when a replica dies."""

import asyncio
import logging
from collections.abc import Sequence

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from eagleray.arrays import Floats
from eagleray.continual import Ask
from eagleray.errors import StoreError
from serve.problems import unavailable

_PAUSE_S = 0.1
_PING_S = 2.0
_logger = logging.getLogger("ray.serve")


class ExpertHandles:
    """Asks expert deployments; scoring changes nothing, so what a dying replica did not answer is asked again.

    Expert e lives in deployment e modulo their number. One that was learned after the service started finds its place
    by the same rule.
    """

    def __init__(self, handles: Sequence[DeploymentHandle], *, timeout_s: float) -> None:
        self._handles, self._timeout_s = tuple(handles), timeout_s

    def deployment_of(self, expert: int) -> str:
        """Name of the deployment that runs an expert."""
        return str(self._handle(expert).deployment_name)

    async def ask(self, ask: Ask, patches_HWD: Floats) -> Floats:
        """Patch scores (H, W) of patches (H, W, D) by the blobs that an ask names.

        Raises:
            Problem: 503 where no replica answered in time, or the expert cannot be read from the store.
        """
        patch_scores = self._handle(ask.expert).patch_scores
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    try:
                        scores_HW: Floats = await patch_scores.remote(ask.digests, patches_HWD)
                        return scores_HW
                    except (RayActorError, DeploymentUnavailableError):
                        await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise unavailable(f"expert {ask.expert} did not answer within {self._timeout_s:g} s") from None
        except RayTaskError as error:
            if not isinstance(error.cause, StoreError):
                raise
            _logger.error("expert %d: %s", ask.expert, error.cause)
            raise unavailable(f"expert {ask.expert} cannot be read from the model store now") from None

    async def check(self) -> None:
        """Raise a 503 unless every deployment answers."""
        try:
            async with asyncio.timeout(_PING_S):
                await asyncio.gather(*(handle.ping.remote() for handle in self._handles))
        except (TimeoutError, RayActorError, DeploymentUnavailableError):
            raise unavailable("an expert deployment does not answer yet") from None

    def _handle(self, expert: int) -> DeploymentHandle:
        return self._handles[expert % len(self._handles)]
