"""Light on a height field: matt and glossy reflection of distant lamps, soft shadows and darker hollows.

Directions follow the picture: x to the right, y down, and z up towards the camera, which looks straight down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image
from scipy import ndimage

from eagleray.arrays import Floats
from eagleray.data.synthetic.solid_surface import Surface

# Y, X  pixels

_STEPS = 12
_FARTHEST = 0.4
"""No shadow is followed farther than this, in picture sides."""


@dataclass(frozen=True, slots=True)
class Lamp:
    """A distant lamp."""

    azimuth: float
    """Degrees, clockwise from x: the side of the picture it stands on."""
    elevation: float
    """Degrees above the table."""
    power: float
    """Brightness of a white surface that faces it."""

    def direction(self) -> tuple[float, float, float]:
        """Unit vector from the surface to the lamp."""
        turn, rise = np.deg2rad(self.azimuth), np.deg2rad(self.elevation)
        return float(np.cos(turn) * np.cos(rise)), float(np.sin(turn) * np.cos(rise)), float(np.sin(rise))


def slopes(height: Floats) -> tuple[Floats, Floats]:
    """How steeply a height field rises along x and along y, each (Y, X)."""
    along_y, along_x = np.gradient(height * np.float32(len(height)))
    return np.asarray(along_x, dtype=np.float32), np.asarray(along_y, dtype=np.float32)


def normals(height: Floats) -> Floats:
    """Unit normals (Y, X, 3) of a height field, z towards the camera."""
    along_x, along_y = slopes(height)
    upright = 1 / np.sqrt(1 + along_x**2 + along_y**2)
    return np.stack([-along_x * upright, -along_y * upright, upright], axis=2)


def hidden(height: Floats, azimuth: float, elevation: float, softness: float) -> Floats:
    """How far each point (Y, X) is hidden from a distant lamp by what stands between them, 0 to 1.

    Traced at half the resolution; `softness` is the tangent of the angle at which the lamp itself is seen.
    """
    coarse = height[::2, ::2]
    side, turn, rise = len(coarse), np.deg2rad(azimuth), np.tan(np.deg2rad(elevation))
    reach = min(float(height.max()) / float(rise), _FARTHEST)
    border = int(np.ceil(reach * side)) + 1
    padded = np.pad(coarse, border, mode="edge")
    rise_above = np.zeros_like(coarse)
    for share in (np.arange(1, _STEPS + 1) / _STEPS) ** 1.4:
        dx, dy = (round(float(share * reach * side * part)) for part in (np.cos(turn), np.sin(turn)))
        far = np.hypot(dx, dy) / side
        if far:
            there = padded[border + dy : border + dy + side, border + dx : border + dx + side]
            rise_above = np.maximum(rise_above, (there - coarse) * np.float32(1 / far) - np.float32(rise))
    shade = np.clip(rise_above / np.float32(softness), 0, 1)
    return np.asarray(Image.fromarray(shade).resize(height.shape[::-1], Image.Resampling.BILINEAR))


class Scene:
    """A surface made ready for light; lamps are rendered on demand."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._normals = normals(surface.height)

    def ambient(self, power: float) -> Floats:
        """Colours (Y, X, 3) under light from everywhere, which reaches hollows less."""
        return self._surface.albedo * (np.float32(power) * self._open)[..., None]

    def under(self, lamps: Sequence[Lamp]) -> Floats:
        """Colours (Y, X, 3) that the lamps add, linear and without an upper end."""
        matt, glossy = np.zeros_like(self._open), np.zeros_like(self._open)
        for lamp in lamps:
            reaches = np.float32(lamp.power) * (1 - hidden(self._surface.height, lamp.azimuth, lamp.elevation, 0.35))
            x, y, z = lamp.direction()
            half = np.asarray((x, y, z + 1), dtype=np.float32) / np.float32(np.sqrt(2 + 2 * z))
            matt += reaches * np.maximum(self._normals @ np.asarray((x, y, z), dtype=np.float32), 0)
            glossy += reaches * _glint(np.asarray(self._normals @ half, dtype=np.float32))
        gloss = np.float32(self._surface.gloss) * self._surface.body * glossy
        return np.asarray(self._surface.albedo * matt[..., None] + gloss[..., None], dtype=np.float32)

    @cached_property
    def _open(self) -> Floats:
        """Share of the sky that reaches each point, roughly: less where its surroundings stand higher."""
        coarse = self._surface.height[::2, ::2]
        around = ndimage.uniform_filter(coarse, max(3, len(coarse) // 20)) - coarse
        closed = np.clip(around * np.float32(14), -0.15, 0.6)
        full = Image.fromarray(closed).resize(self._surface.height.shape[::-1], Image.Resampling.BILINEAR)
        return np.asarray(1 - np.asarray(full), dtype=np.float32)


def _glint(facing: Floats) -> Floats:
    """Brightness of a highlight, from the cosine between the normal and where it would be seen fully."""
    near = np.maximum(facing, 0)
    for _ in range(3):
        near = near * near
    return np.asarray(near * near * near, dtype=np.float32)
