"""The port to whoever trains networks: in this process here, on Ray Train in `eagleray.distributed`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eagleray.arrays import Floats, Halves, Ints
from eagleray.experts.expert_task import ExpertTask, train_expert
from eagleray.features.shards import pictures_of
from eagleray.routing import RoutingNetwork
from eagleray.routing.network_training import train_routing
from eagleray.routing.routing_config import RoutingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RouterTask:
    """One routing network to be trained."""

    key: str
    """Changes with everything that decides the weights."""
    name: str
    """What errors call it."""
    shards: Sequence[Any]
    """Patches (N, H, W, D), in half precision; in a pool, references to them."""
    images: tuple[int, ...]
    """Its pictures, numbered through all shards."""
    labels_N: Ints
    """Subclass of each of them."""
    config: RoutingConfig
    seed: int


class Trainer(Protocol):
    """Trains networks."""

    def train_routers(self, tasks: Sequence[RouterTask]) -> list[RoutingNetwork]:
        """Routing networks, in order."""
        ...

    def train_experts(self, tasks: Sequence[ExpertTask]) -> list[dict[str, Floats]]:
        """Weights of discriminators, in order."""
        ...


class LocalTrainer:
    """Trains in this process, one network after the other.

    Args:
        folder: for experts' weights and checkpoints; those that are finished there are not trained again.
        device: where networks are trained.
    """

    def __init__(self, folder: str, *, device: str = "cpu") -> None:
        self._folder, self._device = folder, device

    def train_routers(self, tasks: Sequence[RouterTask]) -> list[RoutingNetwork]:
        """Routing networks, in order."""
        return [
            train_routing(chosen_patches(task), task.labels_N, task.config, seed=task.seed, name=task.name)
            for task in tasks
        ]

    def train_experts(self, tasks: Sequence[ExpertTask]) -> list[dict[str, Floats]]:
        """Weights of discriminators, in order."""
        return [train_expert(task, self._folder, device=self._device) for task in tasks]


def chosen_patches(task: RouterTask) -> list[Halves]:
    """The task's own pictures, in one shard each."""
    return [patches_HWD[None] for patches_HWD in pictures_of(task.shards, task.images)]
