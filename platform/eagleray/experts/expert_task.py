"""The piece of work that trains one expert: a plain function, so that any worker on any machine gives the same bits.

Two files in a folder that all workers share belong to a task: ``KEY.ckpt``, the training after its last few epochs, and
in the end, instead of it, ``KEY.safetensors``, the weights.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eagleray.arrays import Floats
from eagleray.errors import StoreCorrupt
from eagleray.experts.discriminator_training import DiscriminatorConfig, DiscriminatorTraining
from eagleray.features.shards import pictures_of
from eagleray.storage.files import Files
from eagleray.threads import limit_blas


class Adaptation(Protocol):
    """What a picture's patches go through before an expert sees them; it has to survive pickling."""

    def apply(self, patches_HWD: Floats) -> Floats:
        """The patches as the expert shall see them, of the same shape."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertTask:
    """One expert to be trained."""

    key: str
    """Names its files; has to change with everything that decides the weights, the pictures included."""
    name: str
    """What errors call it."""
    shards: Sequence[Any]
    """Patches (N, H, W, D), in half precision; in a pool, references to them."""
    images: tuple[int, ...]
    """Its pictures, numbered through all shards."""
    adapt: Adaptation | None = None
    config: DiscriminatorConfig
    seed: int


def train_expert(
    task: ExpertTask, folder: str, *, checkpoint_epochs: int = 1, device: str = "cpu"
) -> dict[str, Floats]:
    """Train an expert, from its last checkpoint where there is one; returns the weights, which then lie in the folder.

    Args:
        task: with its patches, not references to them.
        folder: a folder or URI that outlives this process.
        checkpoint_epochs: epochs between two checkpoints, which is what a killed process costs at most.
        device: where it is trained.

    Raises:
        TrainingDiverged: the loss is not a number.
        StoreError: the folder cannot be used, or a checkpoint in it is foreign.
    """
    finished = finished_expert(task.key, folder)
    if finished is not None:
        return finished
    files = Files.at(folder)
    files.make_folders("")
    checkpoint = f"{task.key}.ckpt"
    with one_thread():
        patches_NPD = _patches(task)
        training = DiscriminatorTraining(
            patches_NPD.shape[2], task.config, seed=task.seed, network=f"the expert of {task.name}", device=device
        )
        state = files.read(checkpoint)
        if state is not None:
            training.restore(memoryview(state), files.place(checkpoint))
        kept = files.place(checkpoint) if state is not None else "nothing"
        while training.epoch < task.config.epochs:
            training.run_epoch(patches_NPD, kept=kept)
            if training.epoch % checkpoint_epochs == 0 and training.epoch < task.config.epochs:
                files.write(checkpoint, training.state())
                kept = files.place(checkpoint)
        tensors = training.expert().to_tensors()
    files.write(_weights(task.key), save(tensors))
    if files.existing([checkpoint]):
        files.delete(checkpoint)
    return tensors


def finished_expert(key: str, folder: str) -> dict[str, Floats] | None:
    """The weights of an expert that was trained; None where it was not yet.

    Raises:
        StoreCorrupt: foreign bytes lie in their place.
    """
    files = Files.at(folder)
    data = files.read(_weights(key))
    if data is None:
        return None
    try:
        tensors: dict[str, Floats] = load(bytes(data))
    except SafetensorError as error:
        place = files.place(_weights(key))
        raise StoreCorrupt(place, f"not the weights of an expert ({error}); delete it and run again") from error
    return tensors


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums depend on how many there are, and weights must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with limit_blas(1):
            yield
    finally:
        torch.set_num_threads(before)


def _weights(key: str) -> str:
    return f"{key}.safetensors"


def _patches(task: ExpertTask) -> Floats:
    """The task's pictures (N, P, D), adapted."""
    pictures = []
    for halves_HWD in pictures_of(task.shards, task.images):
        patches_HWD = halves_HWD.astype(np.float32)
        patches_HWD = task.adapt.apply(patches_HWD) if task.adapt else patches_HWD
        pictures.append(patches_HWD.reshape(-1, patches_HWD.shape[-1]).astype(np.float32, copy=False))
    return np.stack(pictures)
