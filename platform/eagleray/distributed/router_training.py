"""Trains routing networks on Ray: all workers train one network together, then the next (`routing.network_training`).

Two files in a folder that all workers share belong to a task: ``KEY.ckpt``, the training after its last epoch, and in
the end, instead of it, ``KEY.safetensors``, the network. They are all that a group that lost a worker, or the same
command run again, needs to go on.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from torch import distributed

from eagleray.adapted_moe import RouterTask, chosen_patches
from eagleray.arrays import Floats
from eagleray.distributed.metrics import training_seconds
from eagleray.distributed.train_runs import run_workers
from eagleray.routing import RoutingNetwork
from eagleray.routing.network_training import SHARDS_PER_BATCH, train_routing
from eagleray.storage.files import Files


def train_routers(
    tasks: Sequence[RouterTask], *, folder: str, workers: int, gpus_per_worker: float = 0.0
) -> list[RoutingNetwork]:
    """Train routing networks, one after another; the same bits as `train_routing`, whatever the number of workers.

    Args:
        tasks: every key once.
        folder: a folder or URI that every node reaches at the same place and that outlives the cluster. Networks that
            are finished there are not trained again, and one that was begun goes on from its last epoch.
        workers: how many, each on a CPU or on its share of a GPU; more than there are shards of a batch are not used.
        gpus_per_worker: share of a GPU of each worker; 0 is none.

    Returns:
        The networks, in the order of the tasks.

    Raises:
        TrainingDiverged: a network's loss is not a number; networks that were finished by then stay so.
        StoreError: the folder cannot be used, or holds foreign files under a task's key.
        ClusterError: workers die again and again, or find no room.
    """
    assert len({task.key for task in tasks}) == len(tasks), "two tasks with one key"
    folder = folder if "://" in folder else str(Path(folder).resolve())  # workers have working directories of their own
    files = Files.at(folder)
    files.make_folders("")
    finished = files.existing(_network(task) for task in tasks)
    todo = [task for task in tasks if _network(task) not in finished]
    if todo:
        run_workers(
            partial(_train_all, todo, folder, "cuda" if gpus_per_worker else "cpu"),
            name="routers",
            folder=folder,
            workers=min(workers, SHARDS_PER_BATCH),
            gpus_per_worker=gpus_per_worker,
            exchanging=True,
        )
    return [
        RoutingNetwork.from_bytes(bytes(files.read(_network(task)) or b""), files.place(_network(task)))
        for task in tasks
    ]


def _network(task: RouterTask) -> str:
    return f"{task.key}.safetensors"


def _train_all(tasks: Sequence[RouterTask], folder: str, device: str) -> None:
    """What every worker of the group does."""
    files, exchange = Files.at(folder), _ProcessGroup()
    training = training_seconds()
    for task in tasks:
        finished, state = _found(task, files, exchange)
        if finished:
            continue
        with training.of(network="router") if exchange.rank == 0 else nullcontext():  # all of them train it together
            _train(task, files, exchange, state, device)


def _found(task: RouterTask, files: Files, exchange: "_ProcessGroup") -> tuple[bool, bytes | None]:
    """Whether a task is finished, and its last state: as the first worker sees them, since all have to agree."""
    found: list[Any] = [False, None]
    if exchange.rank == 0:
        state = files.read(f"{task.key}.ckpt")
        found = [bool(files.existing([_network(task)])), None if state is None else bytes(state)]
    distributed.broadcast_object_list(found, src=0)
    finished, state = found
    return finished, state


def _train(task: RouterTask, files: Files, exchange: "_ProcessGroup", state: bytes | None, device: str) -> None:
    checkpoint = f"{task.key}.ckpt"
    first = exchange.rank == 0

    def keep(state: bytes) -> None:
        if first:
            files.write(checkpoint, state)

    network = train_routing(
        chosen_patches(dataclasses.replace(task, shards=ray.get(list(task.shards)))),
        task.labels_N,
        task.config,
        seed=task.seed,
        device=device,
        exchange=exchange,
        resume=state,
        keep=keep,  # of all workers, so that all raise the same error
        name=task.name,
    )
    if first:
        files.write(_network(task), network.to_bytes())
        files.delete(checkpoint)


class _ProcessGroup:
    """The `Exchange` of the workers of a group of Ray Train, through torch.distributed."""

    def __init__(self) -> None:
        self.rank: int = distributed.get_rank()
        self.size: int = distributed.get_world_size()

    def gather(self, mine: Floats) -> list[Floats]:
        """The arrays that all workers passed, in order of rank."""
        gathered = [torch.empty(mine.shape) for _ in range(self.size)]
        distributed.all_gather(gathered, torch.from_numpy(mine))
        return [rows.numpy() for rows in gathered]
