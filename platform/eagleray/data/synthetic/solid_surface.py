"""What lies before the colour and depth camera: a height over every pixel and the colour of what is there.

Lengths and heights are in picture sides, as in `drawing`; heights are measured up from the table, towards the camera.
Colours are shares of light thrown back (linear, 0 to 1), not display values.
"""

from dataclasses import dataclass

import numpy as np

from eagleray.arrays import AnyArray, Floats
from eagleray.data.synthetic.drawing import Colour, Pose, blend
from eagleray.data.synthetic.noise import fractal_noise, value_noise

# Y, X  pixels

_TABLE: Colour = (0.075, 0.08, 0.09)


@dataclass(frozen=True, slots=True)
class Surface:
    """A solid on a table, seen straight from above."""

    height: Floats
    """(Y, X), 0 on the table."""
    albedo: Floats
    """(Y, X, 3)."""
    body: Floats
    """(Y, X), 0 to 1: how far each pixel shows the solid and not the table."""
    table: Floats
    """(Y, X, 3), colour of the table, also under the solid."""
    gloss: float
    """Strength of the highlights, 0 is matt."""


def lay(rng: np.random.Generator, size: int, shift: float, angle: float, growth: float) -> tuple[Floats, Floats, float]:
    """A random pose: the solid's own x and y at every pixel, and how much larger than usual it is, as a factor."""
    x, y = Pose.jitter(rng, shift, angle).grid(size)
    scale = float(rng.uniform(1 - growth, 1 + growth))
    return x / np.float32(scale), y / np.float32(scale), scale


def on_table(rng: np.random.Generator, height: AnyArray, colour: Floats, body: Floats, gloss: float) -> Surface:
    """Put a solid on the table, which shows wherever `body` is 0."""
    size = len(body)
    cloth = 1 + 0.08 * value_noise(rng, size, size // 2) + 0.05 * fractal_noise(rng, size, 4, 3)
    table = np.asarray(cloth[..., None] * np.asarray(_TABLE, dtype=np.float32), dtype=np.float32)
    above = np.asarray(np.maximum(height, 0) * body, dtype=np.float32)
    return Surface(above, blend(table, body, colour), body, table, gloss)


def tinted(tone: AnyArray, colour: Colour, rng: np.random.Generator, spread: float = 0.04) -> Floats:
    """A colour (Y, X, 3) that varies in brightness by `tone` (Y, X) and, from one picture to the next, by `spread`."""
    mean = np.asarray(colour, dtype=np.float32) * rng.uniform(1 - spread, 1 + spread, 3).astype(np.float32)
    return np.asarray(tone[..., None] * mean, dtype=np.float32)


def wall(distance: AnyArray, width: float) -> Floats:
    """1 inside a shape and 0 outside, with an S-shaped flank `width` wide about its edge; inside is negative."""
    t = np.clip(0.5 - distance / np.float32(max(width, 2 / len(distance))), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def rounded(distance: AnyArray, radius: float) -> Floats:
    """0 at a shape's edge, rising like a quarter of a circle to 1 from `radius` inside it; inside is negative."""
    t = np.clip(-distance / np.float32(radius), 0, 1)
    return np.asarray(np.sqrt(t * (2 - t)), dtype=np.float32)
