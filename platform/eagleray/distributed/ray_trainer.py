"""The trainer on Ray Train: what `eagleray.adapted_moe` asks of whoever trains networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import ray

from eagleray.adapted_moe import RouterTask
from eagleray.arrays import Floats
from eagleray.config import check_at_least
from eagleray.continual import ExpertPool
from eagleray.distributed.expert_training import train_experts
from eagleray.distributed.router_training import train_routers
from eagleray.distributed.train_runs import room
from eagleray.errors import ConfigError
from eagleray.experts.expert_task import ExpertTask
from eagleray.routing import RoutingNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How training is spread; nothing here changes a result."""

    slots: int = 0
    """Experts trained at once, an actor each; 0 is one for each GPU slot of the cluster or, without any, each CPU."""
    gpus_per_slot: float = 0.0
    """Share of a GPU of each slot, such as 0.25; 0 takes a whole one where the cluster has any."""
    router_workers: int = 0
    """Workers that train a routing network together; 0 is as many as slots, at most 4."""
    checkpoint_epochs: int = 5
    """Epochs between two checkpoints of an expert: what a killed actor costs at most."""

    def __post_init__(self) -> None:
        check_at_least("--train.slots", self.slots, 0)
        check_at_least("--train.router-workers", self.router_workers, 0)
        check_at_least("--train.checkpoint-epochs", self.checkpoint_epochs, 1)
        if not 0 <= self.gpus_per_slot <= 1:
            raise ConfigError("--train.gpus-per-slot", "in [0, 1]", self.gpus_per_slot)


class RayTrainer:
    """Trains networks in worker groups of Ray Train; on GPUs where the cluster has them.

    Args:
        folder: a folder that every node reaches, for weights and checkpoints.
        pool: makes room: what it holds for embedding is in the way of training.
        config: see there.
    """

    def __init__(self, folder: str, pool: ExpertPool, config: TrainConfig) -> None:
        self._folder, self._pool, self._config = folder, pool, config
        self._gpus_per_slot = (config.gpus_per_slot or 1.0) if ray.cluster_resources().get("GPU") else 0.0
        self._slots = config.slots or room(self._gpus_per_slot)

    def train_routers(self, tasks: Sequence[RouterTask]) -> list[RoutingNetwork]:
        """Routing networks, in order, each trained data-parallel."""
        self._pool.rest()
        workers = self._config.router_workers or min(self._slots, 4)
        return train_routers(tasks, folder=self._folder, workers=workers, gpus_per_worker=self._gpus_per_slot)

    def train_experts(self, tasks: Sequence[ExpertTask]) -> list[dict[str, Floats]]:
        """Weights of discriminators, in order; an actor each, or fewer that take turns."""
        self._pool.rest()
        return train_experts(
            tasks,
            folder=self._folder,
            slots=self._slots,
            gpus_per_slot=self._gpus_per_slot,
            checkpoint_epochs=self._config.checkpoint_epochs,
        )
