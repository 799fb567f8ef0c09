"""Training of a whole network from scratch on good pictures with synthetic anomalies.

What an epoch does depends on the seed, its number and the state before it only, so that a training which was killed
ends with the same bits as one that was not, provided one thread computes.
"""

import abc
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eagleray.arrays import Floats, Ints
from eagleray.config import check_at_least
from eagleray.errors import ConfigError, TrainingDiverged
from eagleray.fusion.anomalies import AnomalyGenerator
from eagleray.fusion.genotype import Genotype, Modality
from eagleray.fusion.images import Batch, RgbdImages, corrupted, cropped
from eagleray.fusion.losses import focal_loss, ssim_loss
from eagleray.fusion.network import FusionNetwork, NetworkConfig
from eagleray.fusion.reconstruction import STRIDE


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a network is trained."""

    epochs: int = 20
    """Times that `pictures` pictures are seen; fixed, for a choice by test pictures would flatter the result."""
    pictures: int = 160
    """Pictures in an epoch, drawn anew each time."""
    batch_size: int = 16
    """Pictures in a step."""
    crop: int = 64
    """Side of the square windows that are learned from, in pixels, a multiple of 8; the whole picture where larger."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to zero along half a cosine."""
    ssim_weight: float = 1.0
    """Of the structural similarity of the colour picture (DRAEM, EasyNet)."""
    color_weight: float = 1.0
    """Of the squared error of the colour picture."""
    depth_weight: float = 1.0
    """Of the squared error of height and slopes."""
    focal_weight: float = 1.0
    """Of the verdict."""

    def __post_init__(self) -> None:
        for name in ("epochs", "pictures", "batch_size"):
            check_at_least(f"--training.{name.replace('_', '-')}", getattr(self, name), 1)
        if self.batch_size < 2:
            raise ConfigError("--training.batch-size", "at least 2, as batch norm needs", self.batch_size)
        if self.crop < 8 or self.crop % 8:
            raise ConfigError("--training.crop", "a multiple of 8", self.crop)
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError("--training.learning-rate", "above 0", self.learning_rate)
        for name in ("ssim_weight", "color_weight", "depth_weight", "focal_weight"):
            check_at_least(f"--training.{name.replace('_', '-')}", getattr(self, name), 0)


class Optimizer:
    """Adam whose rate falls to zero along half a cosine; a loss that is no number stops the training."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, *, network: str) -> None:
        self._adam = torch.optim.Adam(parameters, lr=learning_rate)
        self._first_rate, self._rate, self._network, self._steps = learning_rate, learning_rate, network, 0

    def step(self, loss: Tensor, done: float) -> float:
        """One step down; returns the loss.

        Args:
            loss: a scalar with its graph.
            done: share of the training that lies behind.

        Raises:
            TrainingDiverged: the loss is not a number.
        """
        self._rate = self._first_rate * 0.5 * (1 + math.cos(math.pi * done))
        self._steps += 1
        value = self.check(loss)
        for group in self._adam.param_groups:
            group["lr"] = self._rate
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        return value

    def check(self, loss: Tensor) -> float:
        """The loss; raises TrainingDiverged where it is not a number."""
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDiverged(self._network, self._steps, self._rate, "the state after the last full epoch")
        return value

    def state(self) -> dict[str, Any]:
        """What the next step depends on."""
        return {"adam": self._adam.state_dict(), "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._adam.load_state_dict(state["adam"])
        self._steps = int(state["steps"])


class WindowTraining(abc.ABC):
    """A network in training on windows of good pictures with synthetic anomalies."""

    def __init__(
        self,
        network: nn.Module,
        name: str,
        config: TrainingConfig,
        images: RgbdImages,
        generator: AnomalyGenerator,
        *,
        seed: int,
    ) -> None:
        """Args:
        network: with its first weights.
        name: what errors call it.
        config: how it is trained.
        images: good pictures.
        generator: of anomalies, on pictures of the size of a window.
        seed: of what every epoch draws.
        """
        self.epoch = 0
        """Epochs done."""
        self._module = network.to(memory_format=torch.channels_last)
        self._config, self._images, self._generator, self._seed = config, images, generator, seed
        self._optimizer = Optimizer(network.parameters(), config.learning_rate, network=name)

    @property
    def done(self) -> bool:
        """Whether all epochs are behind."""
        return self.epoch >= self._config.epochs

    @abc.abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """What a step goes down on, a scalar."""

    def run_epoch(self) -> float:
        """Train on one epoch's pictures; returns the mean loss.

        Raises:
            TrainingDiverged: the loss is not a number.
        """
        self._module.train()
        random = np.random.default_rng((self._seed, self.epoch))
        batches = draw(len(self._images), self._config.pictures, self._config.batch_size, random)
        total = 0.0
        for step, numbers in enumerate(batches):
            windows = cropped(self._images, numbers, self._config.crop, random)
            loss = self.loss(corrupted(windows, self._generator, random))
            total += self._optimizer.step(loss, (self.epoch + step / len(batches)) / self._config.epochs)
        self.epoch += 1
        return total / len(batches)

    def state(self) -> dict[str, Any]:
        """What the next epoch depends on, beside the settings and the seed."""
        return {"epoch": self.epoch, "network": self._module.state_dict(), "optimizer": self._optimizer.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._module.load_state_dict(state["network"])
        self._optimizer.restore(state["optimizer"])
        self.epoch = int(state["epoch"])


class NetworkTraining(WindowTraining):
    """A network of one architecture in training, with its reconstruction networks, from scratch."""

    def __init__(
        self,
        genotype: Genotype,
        network: NetworkConfig,
        config: TrainingConfig,
        images: RgbdImages,
        generator: AnomalyGenerator,
        *,
        seed: int,
    ) -> None:
        with seeded(seed):
            self.network = FusionNetwork(genotype, network)
        super().__init__(self.network, "the network", config, images, generator, seed=seed)

    def loss(self, batch: Batch) -> Tensor:
        """Reconstruction and verdict, each by its weight."""
        found = self.network(batch.inputs)
        loss = self._config.focal_weight * focal_loss(found.logits_NHW, batch.target_NHW)
        return loss + reconstruction_loss(found.pictures, batch.clean, self._config)


def reconstruction_loss(
    found: Mapping[Modality, Tensor], wanted: Mapping[Modality, Tensor], config: TrainingConfig
) -> Tensor:
    """Structure and squared error of the colours, squared error of the depth (EasyNet)."""
    loss = torch.zeros(())
    if "color" in found:
        loss = loss + config.color_weight * nn.functional.mse_loss(found["color"], wanted["color"])
        loss = loss + config.ssim_weight * ssim_loss(found["color"], wanted["color"])
    if "depth" in found:
        loss = loss + config.depth_weight * nn.functional.mse_loss(found["depth"], wanted["depth"])
    return loss


def draw(num_images: int, pictures: int, batch_size: int, random: np.random.Generator) -> list[Ints]:
    """Numbers of an epoch's pictures in batches of equal size, about: all pictures in turn, in random order."""
    rounds = [random.permutation(num_images) for _ in range(-(-pictures // num_images))]
    numbers = np.concatenate(rounds)[:pictures]
    return np.array_split(numbers, max(1, round(pictures / batch_size)))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights from `seed`; whoever else draws from torch's own generator notices nothing."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        yield


def patch_scores(network: FusionNetwork, images: RgbdImages) -> Floats:
    """Patch scores (N, H, W) of pictures, higher is more anomalous.

    Of one picture at a time: last bits of a convolution depend on the batch, and scores must not.
    """
    network.eval()
    count, rows, columns = images.height_NYX.shape
    scores_NHW = np.empty((count, rows // STRIDE, columns // STRIDE), np.float32)
    with torch.inference_mode():
        for number in range(count):
            scores_NHW[number] = network.scores(images.chosen([number]).inputs())[0].numpy()
    return scores_NHW
