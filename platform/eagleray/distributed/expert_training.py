"""Trains many experts at once on Ray: a worker group of Ray Train, whose workers take turns with the experts.

Experts know nothing of each other, so nothing is exchanged. Each lies in files of its own (`experts.expert_task`), and
these are all that a restarted group, or the same command run again, needs to go on.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import ray
import ray.train

from eagleray.arrays import Floats
from eagleray.distributed.metrics import training_seconds
from eagleray.distributed.train_runs import run_workers
from eagleray.errors import StoreError
from eagleray.experts.expert_task import ExpertTask, finished_expert, train_expert


def train_experts(
    tasks: Sequence[ExpertTask],
    *,
    folder: str,
    slots: int,
    gpus_per_slot: float = 0.0,
    checkpoint_epochs: int = 1,
) -> list[dict[str, Floats]]:
    """Train experts, several at a time; the same bits as `train_expert` one after another.

    Args:
        tasks: one an expert, every key once; their shards are references.
        folder: a folder or URI that every node reaches at the same place and that outlives the cluster. Experts that
            are finished there are not trained again, and others go on from their checkpoints.
        slots: workers, each on a CPU or on its share of a GPU; they have to find room beside all other actors.
        gpus_per_slot: share of a GPU for each worker; 0 is none.
        checkpoint_epochs: epochs between two checkpoints: what a killed worker costs each expert in training at most.

    Returns:
        The weights of each expert, in the order of the tasks.

    Raises:
        TrainingDiverged: an expert's loss is not a number; experts that were finished by then stay so.
        StoreError: the folder cannot be used, or is another one on a worker's node.
        ClusterError: workers die again and again, or find no room.
    """
    assert len({task.key for task in tasks}) == len(tasks), "two tasks with one key"
    # A worker's working directory is one of Ray's own.
    folder = folder if "://" in folder else str(Path(folder).resolve())
    todo = [task for task in tasks if finished_expert(task.key, folder) is None]
    workers = min(slots, len(todo))

    def take_turns() -> None:
        group, training = ray.train.get_context(), training_seconds()
        for task in todo[group.get_world_rank() :: group.get_world_size()]:
            if finished_expert(task.key, folder) is None:
                with_patches = dataclasses.replace(task, shards=ray.get(list(task.shards)))
                device = "cuda" if gpus_per_slot else "cpu"
                with training.of(network="expert"):
                    train_expert(with_patches, folder, checkpoint_epochs=checkpoint_epochs, device=device)

    if todo:
        run_workers(take_turns, name="experts", folder=folder, workers=workers, gpus_per_worker=gpus_per_slot)
    return [_written(task, folder) for task in tasks]


def _written(task: ExpertTask, folder: str) -> dict[str, Floats]:
    weights = finished_expert(task.key, folder)
    if weights is None:
        raise StoreError(folder, "a worker's weights are not here; --out has to be a folder that all nodes reach")
    return weights
