"""Training of a `DiscriminatorExpert`: SimpleNet's recipe (Liu et al. 2023) on patches that are there already.

What an epoch does depends on the seed, its number and the state before it only, so a training that was interrupted
ends with the same bits as one that was not, provided one thread computes: see `eagleray.experts.expert_task`.
"""

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eagleray.arrays import Floats, Ints
from eagleray.config import check_at_least
from eagleray.errors import ConfigError, StoreCorrupt, TrainingDiverged
from eagleray.experts.discriminator import NEGATIVE_SLOPE, DiscriminatorExpert


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorConfig:
    """SimpleNet's settings, and how many patches make an epoch."""

    epochs: int = 160
    """Times that every picture is seen; fixed, for a choice by test pictures would flatter the result."""
    patches_per_image: int = 16
    """Patches drawn anew from every picture each epoch; 0 is all."""
    batch_size: int = 128
    """Patches in one step, about: an epoch is cut into steps of equal size."""
    hidden: int = 1024
    """Units of the discriminator's hidden layer."""
    noise_std: float = 0.015
    """Standard deviation of the noise that makes a projected patch an anomaly, in the features' own unit."""
    margin: float = 0.5
    """Outputs beyond it, up for good patches and down for anomalies, cost nothing."""
    projection_lr: float = 1e-4
    """Learning rate of the projection (AdamW)."""
    discriminator_lr: float = 2e-4
    """Learning rate of the discriminator (Adam)."""
    weight_decay: float = 1e-5
    """Weight decay of the discriminator."""

    def __post_init__(self) -> None:
        check_at_least("--discriminator.epochs", self.epochs, 1)
        check_at_least("--discriminator.patches-per-image", self.patches_per_image, 0)
        check_at_least("--discriminator.batch-size", self.batch_size, 1)
        check_at_least("--discriminator.hidden", self.hidden, 1)
        for name in ("noise_std", "margin", "projection_lr", "discriminator_lr"):
            _check_positive(name, getattr(self, name), zero=False)
        _check_positive("weight_decay", self.weight_decay, zero=True)


class Discriminator(nn.Module):
    """Linear, batch norm, leaky rectifier, linear: (B, D) to (B,), high for good patches."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.tail = nn.Linear(hidden, 1, bias=False)

    def forward(self, projected_BD: Tensor) -> Tensor:
        """How good each projected patch looks."""
        hidden_BJ = nn.functional.leaky_relu(self.norm(self.hidden(projected_BD)), NEGATIVE_SLOPE)
        output_B: Tensor = self.tail(hidden_BJ)[:, 0]
        return output_B


class DiscriminatorTraining:
    """One expert in training: its two networks, their optimizers, and the number of epochs done."""

    def __init__(
        self, dim: int, config: DiscriminatorConfig, *, seed: int, network: str = "an expert", device: str = "cpu"
    ) -> None:
        """Args:
        dim: size of the embeddings.
        config: the recipe.
        seed: of the first weights, and of what every epoch draws.
        network: what errors call it.
        device: where it is trained.
        """
        self.epoch = 0
        """Epochs done."""
        self._config, self._seed, self._network, self._device = config, seed, network, device
        with torch.random.fork_rng(devices=()):  # whoever else draws from torch's own generator notices nothing
            torch.default_generator.manual_seed(seed)
            self._projection = nn.Linear(dim, dim)
            self._discriminator = Discriminator(dim, config.hidden)
            for layer in (self._projection, self._discriminator.hidden, self._discriminator.tail):
                nn.init.xavier_normal_(layer.weight)
        self._projection.to(device)
        self._discriminator.to(device)
        self._optimizers = (
            torch.optim.AdamW(self._projection.parameters(), lr=config.projection_lr),
            torch.optim.Adam(
                self._discriminator.parameters(), lr=config.discriminator_lr, weight_decay=config.weight_decay
            ),
        )

    def run_epoch(self, patches_NPD: Floats, *, kept: str = "nothing") -> float:
        """Train on every picture once; returns the mean loss.

        Args:
            patches_NPD: all pictures' patches, the same in every epoch.
            kept: the checkpoint that an error names.

        Raises:
            TrainingDiverged: the loss is not a number.
        """
        drawn = np.random.default_rng((self._seed, self.epoch))
        noise = torch.Generator(self._device).manual_seed(int(drawn.integers(2**63)))
        rows_R = _draw(patches_NPD.shape[0], patches_NPD.shape[1], self._config.patches_per_image, drawn)
        num_steps = max(1, round(len(rows_R) / self._config.batch_size))
        flat_RD = patches_NPD.reshape(-1, patches_NPD.shape[2])
        total = 0.0
        for step, batch_B in enumerate(np.array_split(rows_R, num_steps), 1):
            loss = self._loss(torch.from_numpy(flat_RD[batch_B]).to(self._device), noise)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingDiverged(
                    self._network, self.epoch * num_steps + step, self._config.discriminator_lr, kept
                )
            for optimizer in self._optimizers:
                optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in self._optimizers:
                optimizer.step()
            total += value
        self.epoch += 1
        return total / num_steps

    def state(self) -> bytes:
        """Everything that the next epoch depends on, beside the configuration and the seed."""
        stream = io.BytesIO()
        torch.save(
            {
                "epoch": self.epoch,
                "modules": [module.state_dict() for module in (self._projection, self._discriminator)],
                "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            },
            stream,
        )
        return stream.getvalue()

    def restore(self, state: bytes | memoryview, place: str = "checkpoint") -> None:
        """Go on from what `state` gave; `place` names it in errors.

        Raises:
            StoreCorrupt: not such bytes, or of a network of another size.
        """
        try:
            found: dict[str, Any] = torch.load(io.BytesIO(state), map_location=self._device, weights_only=True)
            for module, weights in zip((self._projection, self._discriminator), found["modules"], strict=True):
                module.load_state_dict(weights)
            for optimizer, moments in zip(self._optimizers, found["optimizers"], strict=True):
                optimizer.load_state_dict(moments)
            self.epoch = int(found["epoch"])
        except Exception as error:  # torch.load promises no class of error for foreign bytes
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise StoreCorrupt(place, f"not a checkpoint of this expert ({reason}); delete it and run again") from error

    def expert(self) -> DiscriminatorExpert:
        """The expert as it is now, its batch norm folded into the layer before it."""
        hidden, norm = self._discriminator.hidden, self._discriminator.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        with torch.no_grad():
            gain_J = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            hidden_JD = hidden.weight.double() * gain_J[:, None]
            bias_J = (hidden.bias.double() - norm.running_mean.double()) * gain_J + norm.bias.double()
        return DiscriminatorExpert(
            projection_DD=_floats(self._projection.weight.T),
            projection_bias_D=_floats(self._projection.bias),
            hidden_DJ=_floats(hidden_JD.T),
            hidden_bias_J=_floats(bias_J),
            tail_J=_floats(self._discriminator.tail.weight[0]),
        )

    def _loss(self, patches_BD: Tensor, noise: torch.Generator) -> Tensor:
        """SimpleNet's truncated L1: real and fake patches go through the discriminator, and its batch norm, as one."""
        real_BD = self._projection(patches_BD)
        noise_BD = torch.randn(real_BD.shape, generator=noise, device=self._device)
        output = self._discriminator(torch.cat([real_BD, real_BD + self._config.noise_std * noise_BD]))
        real_B, fake_B = output.chunk(2)
        margin = self._config.margin
        loss: Tensor = torch.clip(margin - real_B, min=0).mean() + torch.clip(fake_B + margin, min=0).mean()
        return loss


def _draw(num_images: int, num_patches: int, per_image: int, random: np.random.Generator) -> Ints:
    """Row numbers of an epoch's patches, `per_image` different ones of every picture, in random order."""
    if per_image == 0 or per_image >= num_patches:
        return random.permutation(num_images * num_patches)
    ranks_NP = random.random((num_images, num_patches)).argsort(axis=1)
    rows_NR = ranks_NP[:, :per_image] + np.arange(num_images)[:, None] * num_patches
    return random.permutation(rows_NR.reshape(-1))


def _floats(tensor: Tensor) -> Floats:
    values: Floats = np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)
    return values


def _check_positive(name: str, value: float, *, zero: bool) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ConfigError(f"--discriminator.{name.replace('_', '-')}", "at least 0" if zero else "above 0", value)
