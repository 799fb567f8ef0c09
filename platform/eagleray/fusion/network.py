"""The whole network: a reconstruction network for each modality, the fusion network between, and a head.

Maps of patches are a quarter of the picture's resolution, in training and at inference: that is where the speed and
the memory come from that EasyNet's full-resolution heads cost. Source: 3D-ADNAS, Fig. 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eagleray.config import check_at_least
from eagleray.fusion.cells import FusionCell, MixedCell
from eagleray.fusion.genotype import OPERATIONS, STAGES, Genotype, Modality
from eagleray.fusion.reconstruction import ReconstructionNetwork, depth_channels, tap_channels
from eagleray.fusion.space import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Size of the network."""

    width: int = 16
    """Channels of the reconstruction networks at half resolution; the paper's base has 128."""
    channels: int = 32
    """Channels of the maps that are fused; the paper's base has 128."""

    def __post_init__(self) -> None:
        check_at_least("--network.width", self.width, 1)
        check_at_least("--network.channels", self.channels, 1)


class Output(NamedTuple):
    """What the network says of a batch."""

    logits_NHW: Tensor
    """Of each patch; above zero is anomalous."""
    pictures: dict[Modality, Tensor]
    """What the modalities were reconstructed to, (N, 3, Y, X) each."""


class FusionModule(nn.Module):
    """Taps in, logits (N, H, W) out: the cells of an architecture as far as they reach the head, and the head."""

    def __init__(self, genotype: Genotype, config: NetworkConfig) -> None:
        super().__init__()
        cells = genotype.used()
        self._features = {stage: cell.features for stage, cell in cells.items()}
        self.adapters = _adapters(genotype.features(), config)
        self.cells = nn.ModuleDict({stage: FusionCell(cell, config.channels) for stage, cell in cells.items()})
        self.head = _head(config.channels)

    def forward(self, taps: Mapping[str, Tensor]) -> Tensor:
        """Fuse and judge."""
        maps = {name: self.adapters[_key(name)](taps[name]) for name in taps if _key(name) in self.adapters}
        for stage, cell in self.cells.items():
            first, second = self._features[stage]  # type: ignore[index]
            maps[f"cell.{stage}"] = cell(maps[first], maps[second])
        logits_NHW: Tensor = self.head(maps[f"cell.{stage}"])[:, 0]
        return logits_NHW


class SearchModule(nn.Module):
    """Taps in, logits (N, H, W) out, every choice of a space mixed by its weight (3D-ADNAS eq. 4 and 6)."""

    def __init__(self, space: Space, config: NetworkConfig) -> None:
        super().__init__()
        self.space = space
        pools = {stage: space.pool(stage) for stage in STAGES if stage in space.stages}
        self._pools = pools
        names = sorted(name for pool in pools.values() for name in pool if not name.startswith("cell."))
        self.adapters = _adapters(names, config)
        self.cells = nn.ModuleDict(
            {stage: MixedCell(len(pool), space.nodes, config.channels) for stage, pool in pools.items()}
        )
        self.head = _head(config.channels)
        self.alphas = nn.ParameterDict(
            {_key(f"{stage}.{name}"): nn.Parameter(1e-3 * torch.randn(shape)) for stage, name, shape in self._shapes()}
        )

    def forward(self, taps: Mapping[str, Tensor]) -> Tensor:
        """Mix and judge."""
        maps = {name: self.adapters[_key(name)](taps[name]) for name in taps if _key(name) in self.adapters}
        for stage, cell in self.cells.items():
            pool = self._pools[stage]  # type: ignore[index]
            maps[f"cell.{stage}"] = cell([maps[name] for name in pool], self.weights()[stage])
        logits_NHW: Tensor = self.head(maps[f"cell.{stage}"])[:, 0]
        return logits_NHW

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Architecture weights before the softmax, by stage and group; see `MixedCell.forward`."""
        found: dict[str, dict[str, Tensor]] = {}
        for stage, name, _ in self._shapes():
            found.setdefault(stage, {})[name] = self.alphas[_key(f"{stage}.{name}")]
        return found

    def network_parameters(self) -> list[nn.Parameter]:
        """All but the architecture weights."""
        ours = {id(parameter) for parameter in self.alphas.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in ours]

    def _shapes(self) -> list[tuple[str, str, tuple[int, int]]]:
        found: list[tuple[str, str, tuple[int, int]]] = []
        for stage, pool in self._pools.items():
            found.append((stage, "features", (2, len(pool))))
            found += [(stage, f"inputs.{node}", (2, 2 + node)) for node in range(self.space.nodes)]
            found.append((stage, "ops", (self.space.nodes, len(OPERATIONS))))
        return found


class FusionNetwork(nn.Module):
    """Colour and depth in, anomaly logits out.

    Args:
        genotype: the architecture.
        config: its size.
    """

    def __init__(self, genotype: Genotype, config: NetworkConfig) -> None:
        super().__init__()
        self._features = frozenset(genotype.features())
        self.modalities = modalities_of(genotype)
        self.reconstruction = nn.ModuleDict(
            {modality: ReconstructionNetwork(modality, config.width) for modality in self.modalities}
        )
        self.fusion = FusionModule(genotype, config)

    def forward(self, inputs: Mapping[Modality, Tensor]) -> Output:
        """For training: with the reconstructions. `inputs` as `network_inputs` makes them."""
        taps: dict[str, Tensor] = {}
        pictures: dict[Modality, Tensor] = {}
        for modality in self.modalities:
            found = self.reconstruction[modality](inputs[modality])
            taps |= found.taps
            pictures[modality] = found.picture
        return Output(self.fusion(taps), pictures)

    def logits(self, inputs: Mapping[Modality, Tensor]) -> Tensor:
        """Logits (N, H, W) alone; parts of the decoders that no cell takes are left out."""
        return self._logits(inputs)[0]

    def scores(self, inputs: Mapping[Modality, Tensor]) -> Tensor:
        """Patch scores (N, H, W), 0 and above: minus the logarithm of the probability that the patch is good."""
        return nn.functional.softplus(self.logits(inputs))

    def scores_and_summary(self, inputs: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Patch scores (N, H, W), and the mean of every tap (N, D), which tells products apart."""
        logits_NHW, taps = self._logits(inputs)
        summary_ND = torch.cat([taps[name].mean(dim=(2, 3)) for name in sorted(taps)], dim=1)
        return nn.functional.softplus(logits_NHW), summary_ND

    def _logits(self, inputs: Mapping[Modality, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        taps: dict[str, Tensor] = {}
        for modality in self.modalities:
            wanted = [name for name in self._features if name.startswith(f"{modality}.")]
            taps |= self.reconstruction[modality](inputs[modality], wanted).taps
        return self.fusion(taps), taps


def modalities_of(genotype: Genotype) -> tuple[Modality, ...]:
    """What an architecture looks at."""
    reached = {name.split(".")[0] for name in genotype.features()}
    found: tuple[Modality, ...] = ("color", "depth")
    return tuple(modality for modality in found if modality in reached)


def network_inputs(color_N3YX: Tensor, height_N1YX: Tensor, valid_N1YX: Tensor) -> dict[Modality, Tensor]:
    """What the networks see of a batch: colours in -1 to 1, height with its slopes.

    Args:
        color_N3YX: 0 to 255.
        height_N1YX: in the model's scale.
        valid_N1YX: 1 where there is a point, else 0.
    """
    return {"color": color_N3YX / 127.5 - 1, "depth": depth_channels(height_N1YX, valid_N1YX)}


def _adapters(names: Sequence[str], config: NetworkConfig) -> nn.ModuleDict:
    """One for each feature: brings it to the channels of the cells."""
    sizes = tap_channels("color", config.width) | tap_channels("depth", config.width)
    return nn.ModuleDict(
        {
            _key(name): nn.Sequential(
                nn.Conv2d(sizes[name], config.channels, 1, bias=False), nn.BatchNorm2d(config.channels), nn.ReLU()
            )
            for name in names
        }
    )


def _head(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 1, 1),
    )


def _key(name: str) -> str:
    """As torch allows it in the name of a module."""
    return name.replace(".", "_")
