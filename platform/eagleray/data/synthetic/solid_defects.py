"""Defects of solids: some change the colour only, some the height only, some both.

Each is laid on at a random place of the body. Lengths and heights are in picture sides; a range is drawn from
uniformly.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy import ndimage

from eagleray.arrays import AnyArray, Floats
from eagleray.data.synthetic.drawing import Colour, Painter, Pose, blend
from eagleray.data.synthetic.noise import fractal_noise, value_noise
from eagleray.data.synthetic.solid_surface import Surface, rounded, wall

# Y, X  pixels

Modality: TypeAlias = Literal["color", "depth", "both"]
Range: TypeAlias = tuple[float, float]
Damage: TypeAlias = Callable[[Surface, np.random.Generator], Surface]


def _spot(surface: Surface, rng: np.random.Generator, margin: float) -> tuple[float, float]:
    """A random place on the body, `margin` away from its edge where the body is large enough."""
    size = len(surface.body)
    inner = ndimage.distance_transform_edt(surface.body > 0.95) / size
    places = np.flatnonzero(inner >= min(margin, 0.9 * float(inner.max())))
    row, column = divmod(int(places[rng.integers(len(places))]), size)
    return (column + 0.5) / size - 0.5, (row + 0.5) / size - 0.5


def _around(surface: Surface, rng: np.random.Generator, margin: float) -> tuple[Floats, Floats]:
    """Coordinates, turned at random, about a random place of the body."""
    return Pose(*_spot(surface, rng, margin), rng.uniform(0, 2 * np.pi)).grid(len(surface.body))


def _coat(surface: Surface, share: AnyArray, colour: Floats | Colour) -> Floats:
    return blend(surface.albedo, np.asarray(share * surface.body, dtype=np.float32), colour)


@dataclass(frozen=True, slots=True)
class Stain:
    """A blot with an uneven edge that tints what lies under it; the height stays as it is."""

    tint: Colour
    """Share of each colour that the blot lets through."""
    strength: Range = (0.55, 0.85)
    radius: Range = (0.045, 0.075)
    stretch: Range = (1.0, 1.8)

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change the albedo."""
        radius = rng.uniform(*self.radius)
        x, y = _around(surface, rng, 0.03)
        stretch = rng.uniform(*self.stretch)
        edge = np.hypot(x / np.float32(stretch**0.5), y * np.float32(stretch**0.5)) - np.float32(radius)
        edge = edge + 0.22 * radius * value_noise(rng, len(x), 20)
        blot = wall(edge, 0.6 * radius) * np.float32(rng.uniform(*self.strength))
        return replace(surface, albedo=_coat(surface, blot, surface.albedo * np.asarray(self.tint, dtype=np.float32)))


@dataclass(frozen=True, slots=True)
class Swelling:
    """A smooth dent (negative) or bump (positive) without an edge that would catch the eye."""

    rise: Range
    radius: Range = (0.05, 0.075)

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change the height."""
        radius = np.float32(rng.uniform(*self.radius))
        x, y = _around(surface, rng, 0.04)
        rho2 = np.minimum((x / radius) ** 2 + (y * np.float32(rng.uniform(1, 1.4)) / radius) ** 2, 1)
        profile = (1 - rho2) ** 2 * np.float32(rng.uniform(*self.rise))
        return replace(surface, height=surface.height + np.asarray(profile * (surface.body > 0.5), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Sag:
    """One side of the solid lies lower than it should: worn, sunk or warped."""

    drop: Range = (0.01, 0.018)
    """Missing height at the very end of that side."""
    reach: Range = (0.3, 0.42)
    """Share of the solid, from that end, over which the height is missing."""

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change the height."""
        along, _ = Pose(angle=rng.uniform(0, 2 * np.pi)).grid(len(surface.body))
        inside = surface.body > 0.5
        end, start = along[inside].max(), along[inside].min()
        share = np.clip(1 - (end - along) / ((end - start) * np.float32(rng.uniform(*self.reach))), 0, 1)
        missing = np.minimum(share**1.5 * np.float32(rng.uniform(*self.drop)), 0.9 * surface.height)
        return replace(surface, height=surface.height - np.asarray(missing * inside, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Crack:
    """A jagged groove that shows a darker inside."""

    length: Range = (0.14, 0.24)
    width: Range = (0.007, 0.01)
    depth: Range = (0.012, 0.02)
    bend: float = 0.45
    """Radians by which the direction wanders at each of 12 steps."""
    inside: float = 0.45
    """Share of the colour that the groove's inside keeps."""

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change both."""
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, self.bend, 12))
        path = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0) * (rng.uniform(*self.length) / 12)
        painter = Painter(len(surface.body), Pose(*_spot(surface, rng, 0.04)))
        painter.stroke(path - path[6], rng.uniform(*self.width))
        groove = ndimage.gaussian_filter(painter.result(), 0.0015 * len(surface.body)) * surface.body
        depth = np.minimum(groove * np.float32(rng.uniform(*self.depth)), 0.9 * surface.height)
        albedo = _coat(surface, groove, surface.albedo * np.float32(self.inside))
        return replace(surface, height=surface.height - depth, albedo=albedo)


@dataclass(frozen=True, slots=True)
class Hole:
    """A round hole with a dark floor and a frayed edge."""

    floor: Colour
    radius: Range = (0.022, 0.034)
    depth: Range = (0.015, 0.025)

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change both."""
        radius = rng.uniform(*self.radius)
        x, y = _around(surface, rng, 0.04)
        edge = np.hypot(x, y * np.float32(rng.uniform(1, 1.3))) - np.float32(radius)
        bored = wall(edge + 0.12 * radius * value_noise(rng, len(x), 40), 0.4 * radius)
        depth = np.minimum(bored * surface.body * np.float32(rng.uniform(*self.depth)), 0.9 * surface.height)
        return replace(surface, height=surface.height - depth, albedo=_coat(surface, bored, self.floor))


@dataclass(frozen=True, slots=True)
class BrokenEdge:
    """A piece broken off at the rim: the table shows where it was, behind it a rough, fresh face slopes down."""

    fresh: Colour
    size: Range = (0.055, 0.08)
    face: float = 0.02
    """Width of the sloping face."""

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change both."""
        inside = ndimage.binary_fill_holes(surface.body > 0.5)
        rim = np.flatnonzero(inside & ~ndimage.binary_erosion(inside))
        row, column = divmod(int(rim[rng.integers(len(rim))]), len(inside))
        x, y = Pose((column + 0.5) / len(inside) - 0.5, (row + 0.5) / len(inside) - 0.5).grid(len(inside))
        rough = fractal_noise(rng, len(inside), 14, 4)
        edge = np.hypot(x, y) - np.float32(rng.uniform(*self.size)) + 0.006 * rough
        left = np.clip(1 + edge / np.float32(self.face), 0, 1)
        height = np.minimum(surface.height, surface.height * left + 0.0015 * np.abs(rough) * (left > 0))
        gone = wall(edge + np.float32(self.face), 0.006)
        albedo = blend(_coat(surface, wall(edge, 0.006), self.fresh), gone, surface.table)
        return replace(surface, height=height, albedo=albedo, body=surface.body * (1 - gone))


@dataclass(frozen=True, slots=True)
class ForeignBody:
    """A small angular piece of something else that lies on the solid."""

    colour: Colour
    radius: Range = (0.024, 0.036)
    rise: Range = (0.012, 0.02)

    def __call__(self, surface: Surface, rng: np.random.Generator) -> Surface:
        """Change both."""
        radius = rng.uniform(*self.radius)
        x, y = _around(surface, rng, 0.04)
        y = y * np.float32(rng.uniform(1, 1.5))
        turns = np.sort(rng.uniform(0, 2 * np.pi, 7))
        facets = [x * np.float32(np.cos(t)) + y * np.float32(np.sin(t)) for t in turns]
        edge = np.maximum(np.max(facets, axis=0), np.hypot(x, y) - np.float32(0.3 * radius)) - np.float32(radius)
        piece = np.asarray(rounded(edge, 0.7 * radius) * np.float32(rng.uniform(*self.rise)), dtype=np.float32)
        colour = np.asarray(self.colour) * (1 + 0.1 * value_noise(rng, len(x), 40))[..., None]
        share = wall(edge, 0.006)
        return replace(
            surface,
            height=surface.height + piece * (surface.body > 0.5),
            albedo=_coat(surface, share, np.asarray(colour, dtype=np.float32)),
        )
