"""What a job does when a node dies and takes patches along that lay on it alone, or when workers die for good."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import ray

from eagleray.errors import ClusterError

_RETRIES = 3


class PatchesLost(Exception):
    """What Ray's `ObjectLostError` says, from work whose errors are not handed on as they are."""


_DEAD = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
)
"""What Ray raises once its own retries are used up."""

RunT = TypeVar("RunT", bound=Callable[..., Any])


def resumed(run: RunT) -> RunT:
    """Have a job that meets lost patches run again, as with --resume, a few times.

    Patches are kept once, because they can be computed again; what was learned from them is on disk already.

    Args:
        run: takes the job first, a dataclass with `resume` and `address`. Raises a `ClusterError`, beside its own
            errors, where patches are lost again and again, or a worker dies each time it is made or asked.
    """

    @functools.wraps(run)
    def run_again(job: Any, **options: Any) -> Any:
        losses = 0
        while True:
            try:
                return run(job, **options)
            except (ray.exceptions.ObjectLostError, PatchesLost) as error:
                losses += 1
                if losses > _RETRIES:
                    problem = f"nodes died {losses} times with work in hand; run the same command again with --resume"
                    raise ClusterError(job.address or "this machine", problem) from error
            except _DEAD as error:
                reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
                problem = f"a worker died again and again ({reason}); mend that, and run the same command with --resume"
                raise ClusterError(job.address or "this machine", problem) from error
            job = dataclasses.replace(job, resume=True)

    return cast(RunT, run_again)
