"""Runs of Ray Train: a group of workers that carry out one function together, started again when one of them dies."""

import threading
import time
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
"""How often a run is started again. Not for ever: what kills every worker that touches it, and a group for which there
never is room, have to surface."""
_MISSED_S = 10.0
"""Seconds until Ray may have missed a node, too, whose workers it has missed: too large a group would wait a minute."""


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

    It starts again with as many workers as the nodes that are left have room for, counted anew each time, since Ray
    misses a worker before it misses its node; Ray Train's own retries would wait for the room that went with a node.

    Args:
        work: has to find by itself, under `folder`, what an earlier attempt has done. The worker's working directory is
            one of Ray's own, so paths in it have to be absolute.
        name: of the run; Ray Train keeps its own files under this name in `folder`.
        folder: a folder or URI that every node reaches at the same place.
        workers: how many, each on a CPU or on its share of a GPU; they have to find room beside all other actors. There
            may be fewer, which `work` has to ask Ray Train for.
        gpus_per_worker: share of a GPU of each worker; 0 is none.
        exchanging: whether workers talk to each other, through a torch.distributed process group (gloo).

    Returns:
        What `work` returned on the worker of rank 0.

    Raises:
        EagleRayError: raised by `work`; such a run is not started again, since the error would only come back.
        ObjectLostError: raised by `work`, whose objects went with a node.
        ClusterError: workers die again and again, or find no room.
    """
    failures, grows = 0, gpus_per_worker > 0  # a cluster that scales gets GPUs for as many workers as are asked for
    while True:
        size = workers if grows else min(workers, room(gpus_per_worker))
        try:
            return _in_a_thread(_trainer(work, name, folder, size, gpus_per_worker, exchanging).fit).return_value
        except ray.train.TrainingFailedError as error:
            failures += 1
            problem = _raised_by_work(error)
            if problem or failures > _RETRIES:
                raise problem or _given_up(error, failures) from error
            if not isinstance(error, ray.train.ControllerError):
                grows = False
                time.sleep(_MISSED_S)
        except ray.exceptions.RayActorError as error:
            address = ray.get_runtime_context().gcs_address
            raise ClusterError(address, "the controller of Ray Train died; run the same command again") from error


def room(gpus_per_worker: float = 0.0) -> int:
    """Workers that the cluster has room for, by whole CPUs, or by shares of a GPU, of which each lies on one GPU."""
    kind, on_each = ("GPU", int(1 / gpus_per_worker + 1e-6)) if gpus_per_worker else ("CPU", 1)
    return max(1, on_each * sum(int(node["Resources"].get(kind, 0)) for node in ray.nodes() if node["Alive"]))


def _trainer(
    work: Callable[[], Any], name: str, folder: str | Place, workers: int, gpus_per_worker: float, exchanging: bool
) -> Any:
    """One that gives up with the first worker it loses, or where a group finds no room within Ray Train's minute."""
    trainer_class, more = (TorchTrainer, {"torch_config": TorchConfig("gloo")}) if exchanging else _ALONE
    return trainer_class(
        work,
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,
            use_gpu=gpus_per_worker > 0,
            resources_per_worker={"GPU": gpus_per_worker} if gpus_per_worker else {"CPU": 1},
            placement_strategy="PACK" if exchanging else "SPREAD",
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=quoted(str(absolute(place(folder)))),
            failure_config=ray.train.FailureConfig(
                max_failures=0, max_preemption_failures=0, controller_failure_limit=0
            ),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
        **more,
    )


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


def _raised_by_work(error: Exception) -> Exception | None:
    """What would only be raised again, if the run were started again."""
    return next(
        (one for one in _failures(error) if isinstance(one, EagleRayError | ray.exceptions.ObjectLostError)), None
    )


def _given_up(error: Exception, times: int) -> Exception:
    """What a run raises that failed so often: an error of the cluster, or else itself, for it is a bug."""
    failures, address = _failures(error), ray.get_runtime_context().gcs_address
    reason = str(failures[0]).strip().splitlines()[0].rstrip(".") if failures else "nodes were taken away"
    if isinstance(error, ray.train.ControllerError):
        return ClusterError(address, f"{reason}; ask for fewer workers, or end what holds the CPUs")
    if not all(isinstance(failure, ray.exceptions.RayActorError) for failure in failures):
        return error
    return ClusterError(address, f"workers died {times} times ({reason}); look for a lack of memory")


def _failures(error: Any) -> list[Exception]:
    """What happened to the controller or to workers, in order of their rank."""
    if isinstance(error, ray.train.ControllerError):
        return [error.controller_failure]
    workers = getattr(error, "worker_failures", {})
    return [getattr(workers[rank], "health_check_failure", workers[rank]) for rank in sorted(workers)]
