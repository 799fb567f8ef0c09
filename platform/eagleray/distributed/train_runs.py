"""Runs of Ray Train: a group of workers that carry out one function together, started again when one of them dies."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from eagleray.errors import ClusterError, EagleRayError
from eagleray.uris import Place, absolute, place, quoted

_RETRIES = 3
"""How often a run is started again. Not for ever: what kills every worker that touches it has to surface."""


def run_workers(
    work: Callable[[], Any],
    *,
    name: str,
    folder: str | Place,
    workers: int,
    gpus_per_worker: float = 0.0,
    exchanging: bool = False,
) -> Any:
    """Carry out `work` on every worker of a group; a group that loses a worker starts again, from the beginning.

    Args:
        work: has to find by itself, under `folder`, what an earlier attempt has done. The worker's working directory is
            one of Ray's own, so paths in it have to be absolute.
        name: of the run; Ray Train keeps its own files under this name in `folder`.
        folder: a folder or URI that every node reaches at the same place.
        workers: how many, each on a CPU or on its share of a GPU; they have to find room beside all other actors.
        gpus_per_worker: share of a GPU of each worker; 0 is none.
        exchanging: whether workers talk to each other, through a torch.distributed process group (gloo).

    Returns:
        What `work` returned on the worker of rank 0.

    Raises:
        EagleRayError: raised by `work`; such a run is not started again, since the error would only come back.
        ClusterError: workers die again and again, or find no room.
    """
    trainer_class, more = (TorchTrainer, {"torch_config": TorchConfig("gloo")}) if exchanging else _ALONE
    trainer = trainer_class(
        work,
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,
            use_gpu=gpus_per_worker > 0,
            resources_per_worker={"GPU": gpus_per_worker} if gpus_per_worker else {"CPU": _cpus(workers)},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=quoted(str(absolute(place(folder)))),
            failure_config=ray.train.FailureConfig(max_failures=_RETRIES, controller_failure_limit=_RETRIES),
            callbacks=[_NoRetry()],
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
        **more,
    )
    try:
        return _in_a_thread(trainer.fit).return_value
    except ray.train.TrainingFailedError as error:
        raise _translated(error) from error
    except ray.exceptions.RayActorError as error:
        address = ray.get_runtime_context().gcs_address
        raise ClusterError(address, "the controller of Ray Train died; run the same command again") from error


_ALONE: tuple[Any, dict[str, Any]] = (DataParallelTrainer, {})


def _in_a_thread(call: Callable[[], Any]) -> Any:
    """What `call` returns. In the main thread, Ray Train would take Ctrl-C for itself and end the process with 0."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result()


def _cpus(workers: int) -> float:
    """CPUs of each worker: more of them than there is room for share the CPUs, for else they would never start."""
    share: float = min(1.0, ray.cluster_resources().get("CPU", 1.0) / workers)
    return math.floor(share * 10_000) / 10_000  # Ray counts in these steps, and rounding up would not fit


class _NoRetry(ray.train.UserCallback):  # type: ignore[misc]
    """Ends a run at an error of ours: it would only come back."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise the error; the controller gives up on what a callback raises."""
        for rank in sorted(worker_exceptions):
            if isinstance(worker_exceptions[rank], EagleRayError):
                raise worker_exceptions[rank]


def _translated(error: Exception) -> Exception:
    """An error of ours as itself, one of the cluster as a ClusterError; others, which are bugs, stay what they are."""
    inner = getattr(error, "controller_failure", error)
    if isinstance(inner, EagleRayError):
        return inner
    deaths = list(getattr(error, "worker_failures", {}).values())
    address = ray.get_runtime_context().gcs_address
    if deaths and all(isinstance(death, ray.exceptions.RayActorError) for death in deaths):
        reason = str(deaths[0]).strip().splitlines()[0]
        return ClusterError(address, f"workers died {_RETRIES + 1} times ({reason}); look for a lack of memory")
    if inner is not error:
        reason = str(inner).strip().splitlines()[0]
        return ClusterError(address, f"{reason.rstrip('.')}; ask for fewer workers, or end what holds the CPUs")
    return error
