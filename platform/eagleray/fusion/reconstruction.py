"""The reconstruction network of one modality: undoes anomalies, and taps what it sees on the way.

An encoder and a decoder without shortcuts between them, as in DRAEM and EasyNet: what the middle cannot hold, the
decoder cannot copy. The first convolution halves the picture, so nothing runs at full resolution.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eagleray.fusion.genotype import STAGES, Modality
from eagleray.fusion.space import TAPS

STRIDE = 4
"""Pixels of a picture for each patch of the feature maps that are fused."""
CHANNELS: dict[Modality, int] = {"color": 3, "depth": 3}
"""Of what goes in and is reconstructed: R, G, B; height and its slopes along X and Y."""


class Reconstruction(NamedTuple):
    """What came out for a batch."""

    taps: dict[str, Tensor]
    """Feature maps (N, C, Y/4, X/4) by name, such as ``color.early.0``."""
    picture: Tensor | None
    """The picture without its anomaly (N, 3, Y, X), where it was asked for."""


def tap_names(modality: Modality) -> list[str]:
    """Names of a modality's taps, in the order in which they come out."""
    return [f"{modality}.{stage}.{number}" for stage in STAGES for number in range(TAPS)]


def tap_channels(modality: Modality, width: int) -> dict[str, int]:
    """Channels of each tapped map by its name."""
    return dict(zip(tap_names(modality), (width, 2 * width, 4 * width, 4 * width, 2 * width, width), strict=True))


class ReconstructionNetwork(nn.Module):
    """For one modality.

    Args:
        modality: names the taps.
        width: channels at half resolution; 2 and 4 times as many at a quarter and an eighth.
    """

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        self._names = tap_names(modality)
        channels = CHANNELS[modality]
        self.blocks = nn.ModuleList(
            [
                _block(channels, width, stride=2),
                _block(width, 2 * width, stride=2),
                _block(2 * width, 4 * width, stride=2),
                _block(4 * width, 4 * width, stride=1),
                nn.Sequential(_Double(), _block(4 * width, 2 * width, stride=1)),
                nn.Sequential(_Double(), _block(2 * width, width, stride=1)),
            ]
        )
        self.picture = nn.Sequential(nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, picture: Tensor, wanted: Collection[str] | None = None) -> Reconstruction:
        """Run as far as needed.

        Args:
            picture: (N, 3, Y, X); Y and X are multiples of 8.
            wanted: names of the taps to return; None is all of them, and the reconstruction.
        """
        needed = self._names if wanted is None else [name for name in self._names if name in wanted]
        grid = (picture.shape[2] // STRIDE, picture.shape[3] // STRIDE)
        taps: dict[str, Tensor] = {}
        maps = picture
        for name, block in zip(self._names, self.blocks, strict=True):
            maps = block(maps)
            if name in needed:
                taps[name] = _at_grid(maps, grid)
            if wanted is not None and name == needed[-1]:
                return Reconstruction(taps, None)
        return Reconstruction(taps, self.picture(maps))


class _Double(nn.Module):
    """Twice the resolution, bilinear."""

    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.interpolate(maps, scale_factor=2.0, mode="bilinear")


def _at_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """The maps at a quarter of the picture's resolution."""
    if maps.shape[2] > grid[0]:
        return nn.functional.avg_pool2d(maps, maps.shape[2] // grid[0])
    return nn.functional.interpolate(maps, size=grid, mode="bilinear") if maps.shape[2] < grid[0] else maps


def _block(channels_in: int, channels_out: int, *, stride: int) -> nn.Module:
    layers: list[nn.Module] = []
    for step, before in ((stride, channels_in), (1, channels_out)):
        layers += [
            nn.Conv2d(before, channels_out, 3, stride=step, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


def depth_channels(height_N1YX: Tensor, valid_N1YX: Tensor) -> Tensor:
    """Height and its slopes (N, 3, Y, X), zero where a point is missing: what is slight in height is plain in slope.

    Args:
        height_N1YX: heights in the category's scale.
        valid_N1YX: 1 where there is a point, else 0.
    """
    height = height_N1YX * valid_N1YX
    slopes = []
    for axis in (3, 2):
        ahead, behind = _shifted(height, 1, axis), _shifted(height, -1, axis)
        both = _shifted(valid_N1YX, 1, axis) * _shifted(valid_N1YX, -1, axis) * valid_N1YX
        slopes.append((ahead - behind) * both * _STEEPNESS)
    return torch.tanh(torch.cat([height, *slopes], dim=1))


_STEEPNESS = 8.0
"""A rise by the category's scale over 8 pixels is a slope of 2, in a window as in the whole picture."""


def _shifted(values: Tensor, by: int, axis: int) -> Tensor:
    """Each value's neighbour along an axis; the border repeats."""
    length = values.shape[axis]
    inner = values.narrow(axis, 1, length - 1) if by > 0 else values.narrow(axis, 0, length - 1)
    edge = values.narrow(axis, length - 1, 1) if by > 0 else values.narrow(axis, 0, 1)
    return torch.cat([inner, edge] if by > 0 else [edge, inner], dim=axis)
