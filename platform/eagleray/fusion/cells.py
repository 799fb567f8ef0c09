"""A module of the fusion network: as a fixed cell, and with all choices mixed by weights that can be learned."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from eagleray.fusion.genotype import OPERATIONS, Cell
from eagleray.fusion.operations import make_operation


class FusionCell(nn.Module):
    """One cell of an architecture, (N, C, H, W) each in and out."""

    def __init__(self, cell: Cell, channels: int) -> None:
        super().__init__()
        self._inputs = [node.inputs for node in cell.nodes]
        self.operations = nn.ModuleList(make_operation(node.op, channels) for node in cell.nodes)
        self.output = _output(len(cell.nodes), channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse the cell's two features."""
        states = [first, second]
        for (one, other), operation in zip(self._inputs, self.operations, strict=True):
            states.append(operation(states[one], states[other]))
        fused: Tensor = self.output(torch.cat(states[2:], dim=1))
        return fused


class MixedCell(nn.Module):
    """A cell of the search: every feature, connection and operation, each by its weight (3D-ADNAS eq. 4 and 6)."""

    def __init__(self, num_features: int, num_nodes: int, channels: int) -> None:
        super().__init__()
        self.num_features, self.num_nodes = num_features, num_nodes
        self.operations = nn.ModuleList(
            nn.ModuleList(make_operation(op, channels) for op in OPERATIONS) for _ in range(num_nodes)
        )
        self.output = _output(num_nodes, channels)

    def forward(self, features: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Fuse the pool.

        Args:
            features: the stage's pool, in order.
            weights: architecture weights before the softmax: ``features`` (2, F), ``inputs.k`` (2, 2 + k) for each
                node k, ``ops`` (K, O).
        """
        states = [mix(features, row) for row in weights["features"]]
        for node, operations in enumerate(self.operations):
            first, second = (mix(states, row) for row in weights[f"inputs.{node}"])
            assert isinstance(operations, nn.ModuleList)
            states.append(mix([operation(first, second) for operation in operations], weights["ops"][node]))
        fused: Tensor = self.output(torch.cat(states[2:], dim=1))
        return fused


def mix(choices: Sequence[Tensor], weights_O: Tensor) -> Tensor:
    """Sum of the choices by the softmax of their weights."""
    shares_O = torch.softmax(weights_O, dim=0)
    mixed = shares_O[0] * choices[0]
    for share, choice in zip(shares_O[1:], choices[1:], strict=True):
        mixed = mixed + share * choice
    return mixed


def _output(num_nodes: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(num_nodes * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
