"""Sheets of metal that fill the picture: brushed, rolled, blasted, hammered, knurled or anodised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from eagleray.arrays import Floats
from eagleray.data.synthetic.defects import Dent, Pit, Scratch, Stain, SurfaceDefect
from eagleray.data.synthetic.drawing import Colour, Flaw, Picture, Pose
from eagleray.data.synthetic.lighting import DAYLIGHT, Light
from eagleray.data.synthetic.noise import fractal_noise, value_noise
from eagleray.data.synthetic.products import Product

# Y, X  pixels


@dataclass(frozen=True, slots=True)
class Metal:
    """A metal sheet."""

    finish: "Finish"
    tint: Colour
    """Colour of a spot that reflects as much as its surroundings."""
    scale: float
    """Grains, dimples or ridges per image side; of streaks, across them."""
    depth: float = 0.04
    """How much the finish changes the brightness."""
    turn: float = 0.0
    """Degrees by which streaks and ridges are turned."""
    gloss: float = 0.1
    """How bright the soft reflection of a lamp is."""
    light: Light = DAYLIGHT


Finish: TypeAlias = Callable[[Metal, int, np.random.Generator], Floats]
"""Draws the change of brightness that a finish gives, (Y, X), about 0 and about 1 strong."""


def draw_metal(metal: Metal, size: int, rng: np.random.Generator, _flaw: Flaw | None) -> Picture:
    """Draw a piece of a sheet; all its defects lie on the surface."""
    texture = metal.finish(metal, size, rng)
    place = Pose.jitter(rng, 0.25, 0.1)
    _, y = Pose(place.dx, place.dy, place.angle + np.deg2rad(metal.turn)).grid(size)
    reflection = np.exp(-((y / np.float32(rng.uniform(0.25, 0.4))) ** 2))
    uneven = 0.012 * value_noise(rng, size, 3) + 0.008 * fractal_noise(rng, size, size // 4, 2)
    tone = 1 + np.float32(metal.depth) * texture + np.float32(metal.gloss) * reflection + uneven
    rgb = np.asarray(tone[..., None] * np.asarray(metal.tint, dtype=np.float32), dtype=np.float32)
    return Picture(metal.light.shine(rgb), np.ones((size, size), dtype=np.float32))


def _turned(field_YX: Floats, degrees: float, size: int, jitter: Pose) -> Floats:
    """A picture (size, size) of a larger square field that was turned."""
    x, y = Pose(jitter.dx, jitter.dy, jitter.angle + np.deg2rad(degrees)).grid(size)
    middle = np.float32((len(field_YX) - 1) / 2)
    where = np.stack([y, x]) * np.float32(size) + middle
    return np.asarray(ndimage.map_coordinates(field_YX, where, np.float32, order=1, mode="reflect"))


def _streaks(rng: np.random.Generator, side: int, lines: int, length: int) -> Floats:
    """Noise along x: `lines` streaks, each changing `length` times."""
    fine, coarse = value_noise(rng, side, lines, length), value_noise(rng, side, max(2, lines // 3), 2 * length)
    return np.asarray(0.8 * fine + 0.5 * coarse, dtype=np.float32)


def brushed(metal: Metal, size: int, rng: np.random.Generator) -> Floats:
    """Fine lines in one direction."""
    side = round(1.5 * size)
    return _turned(_streaks(rng, side, round(1.5 * metal.scale), 6), metal.turn, size, Pose.jitter(rng, 0.02, 0.03))


def rolled(metal: Metal, size: int, rng: np.random.Generator) -> Floats:
    """Soft bands in one direction with short flecks along them."""
    side = round(1.5 * size)
    bands = _streaks(rng, side, round(1.5 * metal.scale), 2)
    flecks = np.clip(value_noise(rng, side, side // 3, round(metal.scale)) - 1.2, 0, 2)
    return _turned(np.asarray(0.7 * bands - flecks), metal.turn, size, Pose.jitter(rng, 0.02, 0.03))


def ground(metal: Metal, size: int, rng: np.random.Generator) -> Floats:
    """Crossing sets of lines, as a grinding disc leaves them."""
    side = round(1.5 * size)
    lines = [_streaks(rng, side, round(1.5 * metal.scale), 4) for _ in range(2)]
    turns = (metal.turn - 28, metal.turn + 28)
    sets = [_turned(f, t, size, Pose.jitter(rng, 0.02, 0.05)) for f, t in zip(lines, turns, strict=True)]
    return np.asarray(0.7 * (sets[0] + sets[1]), dtype=np.float32)


def blasted(metal: Metal, size: int, rng: np.random.Generator) -> Floats:
    """Grains without a direction, lit from one side."""
    height = fractal_noise(rng, size, round(metal.scale), 2) * np.float32(0.35 / metal.scale)
    return metal.light.relief(height)


def hammered(metal: Metal, size: int, rng: np.random.Generator) -> Floats:
    """Shallow round dimples side by side."""
    step = size / metal.scale
    margin, cells = round(step), round(metal.scale) + 2
    side = size + 2 * margin
    corners = np.moveaxis(np.indices((cells, cells)), 0, 2)
    middles = (corners + rng.uniform(0.15, 0.85, corners.shape)) * step
    rows, columns = np.minimum(middles.astype(np.int64), side - 1).reshape(-1, 2).T
    away = np.ones((side, side), dtype=np.bool_)
    away[rows, columns] = False
    distance = ndimage.distance_transform_edt(away)[margin:-margin, margin:-margin] / size
    bowl = ndimage.gaussian_filter(np.asarray(distance**2 * metal.scale, dtype=np.float32), 0.05 * step)
    return metal.light.relief(bowl)


def knurled(metal: Metal, size: int, rng: np.random.Generator) -> Floats:
    """Diamonds between two sets of grooves."""
    place = Pose.jitter(rng, 0.1, 0.02)
    x, y = Pose(place.dx, place.dy, place.angle + np.deg2rad(metal.turn)).grid(size)
    wave = np.float32(np.pi * metal.scale)
    worn = 1 + 0.08 * value_noise(rng, size, round(metal.scale))
    height = np.abs(np.sin(wave * (x + 0.6 * y))) * np.abs(np.sin(wave * (x - 0.6 * y))) * worn
    return metal.light.relief(np.asarray(np.sqrt(height) * 0.35 / metal.scale, dtype=np.float32))


_STEEL = (0.55, 0.56, 0.58)
_ALUMINIUM = (0.66, 0.67, 0.67)
_ZINC = (0.5, 0.54, 0.57)
_BRASS = (0.62, 0.52, 0.32)
_BLACK = (0.26, 0.26, 0.27)
_BLUE = (0.26, 0.34, 0.5)

METALS: Mapping[str, Metal] = {
    "anodised_black": Metal(blasted, _BLACK, 90, 0.1, gloss=0.15),
    "anodised_blue": Metal(blasted, _BLUE, 80, 0.12, light=Light(1.05, angle=-30)),
    "blasted_aluminium": Metal(blasted, _ALUMINIUM, 70, 0.16, gloss=0.05),
    "brushed_brass": Metal(brushed, _BRASS, 200, light=Light(angle=100)),
    "brushed_steel": Metal(brushed, _STEEL, 220),
    "ground_steel": Metal(ground, _STEEL, 160, 0.045, light=Light(0.9)),
    "hammered_zinc": Metal(hammered, _ZINC, 20, 0.2, gloss=0.06),
    "knurled_steel": Metal(knurled, _STEEL, 22, 0.25, gloss=0.06),
    "rolled_aluminium": Metal(rolled, _ALUMINIUM, 70, 0.04),
}
"""Subclasses to learn from."""

UNSEEN_METALS: Mapping[str, Metal] = {
    "anodised_red": Metal(
        blasted, (0.54, 0.13, 0.12), 62, 0.15, gloss=0.12, light=Light(1.05, (1.05, 0.97, 0.95), -120, 0.15)
    ),
    "brushed_copper": Metal(brushed, (0.68, 0.4, 0.28), 150, 0.09, 50, 0.25, Light(0.9, (1.05, 1.0, 0.9), 160, 0.35)),
    "hammered_bronze": Metal(
        hammered, (0.46, 0.34, 0.16), 17, 0.2, gloss=0.1, light=Light(0.9, (1.1, 1.0, 0.85), -140, 0.15)
    ),
    "rolled_titanium": Metal(rolled, (0.42, 0.36, 0.46), 54, 0.1, -40, 0.25, Light(0.75, (0.95, 0.95, 1.1), 200, 0.35)),
}
"""Subclasses that only appear in test: other colours, somewhat coarser, turned and in other light."""

_DEFECTS: Mapping[str, SurfaceDefect | None] = {
    "dent": Dent((0.17, 0.28), (0.022, 0.034)),
    "pit": Pit((0.14, 0.14, 0.14), (0.013, 0.02)),
    "scratch": Scratch((0.14, 0.26), (0.12, 0.22), (0.006, 0.009)),
    "stain": Stain((0.72, 0.6, 0.44), (0.5, 0.75), (0.032, 0.05)),
}


def metal_product(metal: Metal) -> Product:
    """What draws a metal sheet, and its defects."""
    return Product(partial(draw_metal, metal), _DEFECTS)
