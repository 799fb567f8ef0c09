"""What a node can do with two feature maps (N, C, H, W): every operation gives a map of the same shape.

They are spatial versions of BM-NAS's node operations (Yin et al. 2022), as a defect has to be located: linear layers
become 1 x 1 convolutions. 3D-ADNAS names addition, concatenation, GLU and guided attention.
"""

import torch
from torch import Tensor, nn

from eagleray.fusion.genotype import OPERATIONS, Operation

_COARSER = 4
"""Patches along each side of what attention looks at: full attention would cost the square of the number of patches."""


class Add(nn.Module):
    """Weighted sum; the two weights are learned and start at one half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((2,), 0.5))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Sum."""
        found: Tensor = torch.relu(self.norm(self.weights[0] * first + self.weights[1] * second))
        return found


class Concat(nn.Module):
    """1 x 1 convolution of both maps together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Mix."""
        found: Tensor = torch.relu(self.norm(self.mix(torch.cat([first, second], dim=1))))
        return found


class Gate(nn.Module):
    """Gated linear unit: the first map, as far as the second one lets it through (Dauphin et al. 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gate = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Gate."""
        found: Tensor = torch.relu(self.norm(self.value(first) * torch.sigmoid(self.gate(second))))
        return found


class GuidedAttention(nn.Module):
    """Each patch of the first map asks the second one, pooled to squares of 4 x 4 patches, and adds what it is told."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Attend."""
        guide = nn.functional.avg_pool2d(second, _COARSER, ceil_mode=True)
        query_NPC = self.query(first).flatten(2).transpose(1, 2)
        key_NQC, value_NQC = (layer(guide).flatten(2).transpose(1, 2) for layer in (self.key, self.value))
        weights_NPQ = torch.softmax(query_NPC @ key_NQC.transpose(1, 2) * first.shape[1] ** -0.5, dim=2)
        told = (weights_NPQ @ value_NQC).transpose(1, 2).reshape(first.shape)
        found: Tensor = torch.relu(self.norm(first + told))
        return found


_MODULES: dict[Operation, type[nn.Module]] = {"add": Add, "concat": Concat, "glu": Gate, "attention": GuidedAttention}
assert tuple(_MODULES) == OPERATIONS


def make_operation(name: Operation, channels: int) -> nn.Module:
    """The operation of this name on maps of `channels` channels."""
    return _MODULES[name](channels)
