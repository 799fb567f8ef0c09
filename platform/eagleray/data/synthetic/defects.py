"""Defects that lie on a surface, whatever the product: each paints itself at a random place of the product's body.

Lengths are in image sides, tones in shares of full brightness; a range is drawn from uniformly.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from scipy import ndimage

from eagleray.arrays import AnyArray, Floats
from eagleray.data.synthetic.drawing import Colour, Painter, Picture, Pose, blend, cover
from eagleray.data.synthetic.noise import value_noise

# Y, X  pixels

Range: TypeAlias = tuple[float, float]


class SurfaceDefect(Protocol):
    """Paints one defect and returns the new colours, (Y, X, 3)."""

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        ...


def _spot(picture: Picture, rng: np.random.Generator, margin: float) -> tuple[float, float]:
    """A random place on the body, at least about `margin` away from its edge where the body is large enough."""
    size = len(picture.body)
    inner = ndimage.minimum_filter(picture.body, 2 * round(margin * size) + 1, mode="constant") > 0.95
    places = np.flatnonzero(inner if inner.any() else picture.body >= picture.body.max())
    row, column = divmod(int(places[rng.integers(len(places))]), size)
    return (column + 0.5) / size - 0.5, (row + 0.5) / size - 0.5


def _local_grid(picture: Picture, rng: np.random.Generator, margin: float) -> tuple[Floats, Floats]:
    return Pose(*_spot(picture, rng, margin), rng.uniform(0, 2 * np.pi)).grid(len(picture.body))


def _walk(rng: np.random.Generator, length: float, steps: int, bend: float) -> AnyArray:
    """A path (steps + 1, 2) about the origin whose direction wanders by `bend` radians a step."""
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, bend, steps))
    points = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0) * (length / steps)
    points = np.concatenate([np.zeros((1, 2)), points])
    return np.asarray(points - points[steps // 2])


@dataclass(frozen=True, slots=True)
class Scratch:
    """A thin, slightly bent line, brighter or darker than the surface, that fades in and out."""

    tone: Range
    length: Range = (0.08, 0.22)
    width: Range = (0.004, 0.008)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        size = len(picture.body)
        painter = Painter(size, Pose(*_spot(picture, rng, 0.02)))
        painter.stroke(_walk(rng, rng.uniform(*self.length), 6, 0.12), rng.uniform(*self.width))
        pressure = np.clip(0.75 + 0.35 * value_noise(rng, size, 24), 0.2, 1)
        line = ndimage.gaussian_filter(painter.result(), 0.0015 * size) * picture.body * pressure
        return np.asarray(picture.rgb + np.float32(rng.uniform(*self.tone)) * line[..., None])


@dataclass(frozen=True, slots=True)
class Crack:
    """A jagged dark line with a bright lip on one side."""

    depth: Range = (0.45, 0.75)
    length: Range = (0.09, 0.2)
    width: Range = (0.004, 0.007)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        size = len(picture.body)
        painter = Painter(size, Pose(*_spot(picture, rng, 0.02)))
        painter.stroke(_walk(rng, rng.uniform(*self.length), 12, 0.5), rng.uniform(*self.width))
        line = painter.result() * picture.body
        lip = np.roll(line, (1, 1), axis=(0, 1)) * (1 - line) * picture.body
        depth = np.float32(rng.uniform(*self.depth))
        return np.asarray(picture.rgb * (1 - depth * line[..., None]) + 0.12 * depth * lip[..., None])


@dataclass(frozen=True, slots=True)
class Stain:
    """A blot with an uneven edge that tints what lies under it."""

    colour: Colour
    strength: Range = (0.4, 0.7)
    radius: Range = (0.03, 0.06)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        radius = rng.uniform(*self.radius)
        x, y = _local_grid(picture, rng, radius)
        uneven = value_noise(rng, len(picture.body), 28)
        edge = np.hypot(x, y * np.float32(rng.uniform(1, 1.6))) + 0.25 * radius * uneven - radius
        blot = (
            np.clip(0.5 - edge / np.float32(0.5 * radius), 0, 1)
            * picture.body
            * np.float32(rng.uniform(*self.strength))
        )
        return blend(picture.rgb, blot, picture.rgb * np.asarray(self.colour, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Dent:
    """A shallow hollow: one flank catches the light, the other lies in shade."""

    depth: Range = (0.15, 0.28)
    radius: Range = (0.022, 0.045)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        radius = rng.uniform(*self.radius)
        x, y = _local_grid(picture, rng, radius)
        y = y * np.float32(rng.uniform(1, 1.8))
        flank = x / np.float32(radius) * np.exp(-(x * x + y * y) / np.float32(radius * radius))
        shade = np.float32(2 * rng.uniform(*self.depth)) * flank * picture.body
        return np.asarray(picture.rgb + shade[..., None] * (0.3 + picture.rgb))


@dataclass(frozen=True, slots=True)
class Pit:
    """A small round hole or bubble, dark, with a bright far rim."""

    colour: Colour
    radius: Range = (0.012, 0.022)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        radius = rng.uniform(*self.radius)
        x, y = _local_grid(picture, rng, radius)
        edge = np.hypot(x, y * np.float32(rng.uniform(1, 1.4))) - np.float32(radius)
        rim = cover(np.abs(edge) - 0.003, 2) * np.clip(x / np.float32(radius), 0, 1) * picture.body
        rgb = picture.rgb + 0.2 * rim[..., None]
        return blend(rgb, cover(edge, 2) * picture.body * np.float32(rng.uniform(0.6, 0.9)), self.colour)


@dataclass(frozen=True, slots=True)
class Fibre:
    """A hair or a loose thread that lies on the surface, with a faint shadow."""

    colours: tuple[Colour, ...]
    length: Range = (0.08, 0.2)
    width: Range = (0.003, 0.005)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        size = len(picture.body)
        painter = Painter(size, Pose(*_spot(picture, rng, 0.02)))
        painter.stroke(_walk(rng, rng.uniform(*self.length), 14, 0.25), rng.uniform(*self.width))
        hair = painter.result()
        shadow = ndimage.shift(hair, 0.006 * size, order=1)
        rgb = picture.rgb * (1 - 0.15 * shadow[..., None])
        return blend(rgb, hair * np.float32(rng.uniform(0.5, 0.8)), self.colours[int(rng.integers(len(self.colours)))])


@dataclass(frozen=True, slots=True)
class Crumb:
    """A few grains of foreign matter close together."""

    colours: tuple[Colour, ...]
    radius: Range = (0.007, 0.013)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Floats:
        """Paint on a copy of the picture."""
        size = len(picture.body)
        painter = Painter(size, Pose(*_spot(picture, rng, 0.03)))
        for _ in range(int(rng.integers(1, 4))):
            radius = rng.uniform(*self.radius)
            turns = np.sort(rng.uniform(0, 2 * np.pi, 7))
            outline = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(0.7, 1.2, (7, 1)) * radius
            painter.polygon(outline + rng.normal(0, 0.015, 2))
        grains = painter.result()
        shadow = ndimage.gaussian_filter(ndimage.shift(grains, 0.006 * size, order=1), 0.004 * size)
        rgb = picture.rgb * (1 - 0.25 * shadow[..., None])
        return blend(rgb, grains * np.float32(0.8), self.colours[int(rng.integers(len(self.colours)))])
