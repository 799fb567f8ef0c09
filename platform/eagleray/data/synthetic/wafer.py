"""Close-ups of wafers that fill the picture: bare silicon under films of many colours, and grids of dies."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from scipy import ndimage

from eagleray.arrays import AnyArray, Floats
from eagleray.data.synthetic.defects import Crumb, Scratch, Stain, SurfaceDefect
from eagleray.data.synthetic.drawing import Colour, Flaw, Painter, Picture, Pose, blend, box, cover
from eagleray.data.synthetic.lighting import DAYLIGHT, Light
from eagleray.data.synthetic.noise import fractal_noise, value_noise
from eagleray.data.synthetic.products import Product

# Y, X  pixels


@dataclass(frozen=True, slots=True)
class Dies:
    """The grid of dies on a wafer; each has the same blocks of circuits."""

    width: float
    """From one die to the next, in image sides."""
    height: float
    """The same downwards."""
    metal: Colour
    """Colour of the densest blocks."""
    layout: int
    """Another number, another arrangement of blocks."""
    street: float = 0.008
    """Width of the cut between two dies, in image sides."""


@dataclass(frozen=True, slots=True)
class Wafer:
    """A wafer."""

    film: Colour
    """Colour of the film, or of the silicon."""
    dies: Dies | None = None
    """None for a wafer without a pattern."""
    fringes: float = 0.04
    """How much interference tints the film where its thickness changes."""
    grain: float = 0.008
    """How rough the surface looks."""
    turn: float = 0.0
    """Degrees by which the wafer is turned."""
    light: Light = DAYLIGHT


def draw_wafer(wafer: Wafer, size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Draw a part of a wafer; flaw: missing_block (one die lacks a block of its circuits)."""
    shift, twist = (0.5, 0.012) if wafer.dies else (0.5, 0.1)
    place = Pose.jitter(rng, shift, twist)
    x, y = Pose(place.dx, place.dy, place.angle + np.deg2rad(wafer.turn)).grid(size)
    thickness = rng.uniform(0, 0.3) + np.float32(rng.uniform(0.1, 0.25)) * x + 0.05 * value_noise(rng, size, 3)
    order = np.asarray(thickness[..., None] + np.asarray((0, 1 / 3, 2 / 3)), dtype=np.float32)
    tint = 1 + np.float32(wafer.fringes) * np.cos(np.float32(2 * np.pi) * order)
    polish = value_noise(rng, size, size // 2, 6) + fractal_noise(rng, size, size // 4, 2)
    surface = 1 + np.float32(wafer.grain) * polish
    rgb = np.asarray(np.asarray(wafer.film, dtype=np.float32) * tint, dtype=np.float32)
    if wafer.dies:
        rgb = _pattern(wafer.dies, wafer.film, rgb, x, y, flaw)
    lit = wafer.light.shine(np.asarray(rgb * surface[..., None], dtype=np.float32))
    return Picture(lit, np.ones((size, size), dtype=np.float32))


def _pattern(dies: Dies, film: Colour, rgb: Floats, x: Floats, y: Floats, flaw: Flaw | None) -> Floats:
    """Lay the dies over the film: a tile holds one, and the picture repeats it."""
    size = len(rgb)
    blocks = _blocks(dies)
    tile = _tile(dies, film, blocks, round(size * max(dies.width, dies.height)))
    across, down = x / np.float32(dies.width) + 1000, y / np.float32(dies.height) + 1000  # positive, a die a unit
    where = np.stack([down % 1, across % 1]) * len(tile) - 0.5
    ratio = [ndimage.map_coordinates(tile[..., c], where, np.float32, order=1, mode="grid-wrap") for c in range(3)]
    rgb_dies = np.asarray(rgb * np.stack(ratio, axis=2), dtype=np.float32)
    if flaw is None:
        return rgb_dies
    return blend(rgb_dies, _missing(dies, blocks, across, down, flaw.rng), rgb)


def _blocks(dies: Dies) -> AnyArray:
    """Middle, width, height (shares of a die, from its middle) and density, 0 to 1, of each block: (n, 5)."""
    rng = np.random.default_rng(dies.layout)
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(2, 5))
    blocks = []
    for left, right in pairwise(_cuts(rng, columns)):
        for top, bottom in pairwise(_cuts(rng, rows)):
            width, height = right - left - 0.035, bottom - top - 0.035
            blocks.append(((left + right) / 2, (top + bottom) / 2, width, height, rng.uniform(0.25, 1)))
    return np.asarray(blocks)


def _cuts(rng: np.random.Generator, parts: int) -> list[float]:
    """Where to cut the inside of a die into parts that are unequal but none of them narrow."""
    shares = rng.uniform(0.4, 1, parts)
    return [-0.43, *(0.86 * np.cumsum(shares / shares.sum()) - 0.43).tolist()]


def _tile(dies: Dies, film: Colour, blocks: AnyArray, side: int) -> Floats:
    """One die with its streets, (side, side, 3), as factors on the colours of the film."""
    painter = Painter(side, background=(0.62, 0.62, 0.62))
    painter.rectangle(0, 0, 1 - dies.street / dies.width, 1 - dies.street / dies.height, (0.8, 0.8, 0.8))
    metal = np.asarray(dies.metal) / np.maximum(film, 0.05)
    for x, y, width, height, density in blocks.tolist():
        colour = 0.8 * (1 + density * (metal / metal.max() - 1)) * (0.8 + 0.35 * density)
        painter.rectangle(x, y, width, height, tuple(colour.tolist()))
        lines = int(width / (0.02 + 0.03 * density))
        for k in range(0, lines, 2):  # rows of cells inside the block
            at = x + width * ((k + 0.5) / lines - 0.5)
            painter.rectangle(at, y, width / lines, 0.92 * height, tuple((0.88 * colour).tolist()))
    return np.asarray(painter.result() / np.float32(0.8), dtype=np.float32)


def _missing(dies: Dies, blocks: AnyArray, across: Floats, down: Floats, rng: np.random.Generator) -> Floats:
    """Coverage (Y, X) of one block, or of a part of a large one, in one of the dies that lie in the picture."""
    small = np.minimum(blocks[:, 2:4] * (dies.width, dies.height), rng.uniform(0.065, 0.1, 2))
    area = small.prod(axis=1)
    which = int(rng.choice(len(blocks), p=area / area.sum()))
    row, column = (int(n) for n in rng.integers(round(0.15 * len(down)), round(0.85 * len(down)), 2))
    middle_x = np.floor(across[row, column]) + 0.5 + blocks[which, 0]
    middle_y = np.floor(down[row, column]) + 0.5 + blocks[which, 1]
    own_x = np.asarray((across - middle_x) * dies.width, dtype=np.float32)
    own_y = np.asarray((down - middle_y) * dies.height, dtype=np.float32)
    return cover(box(own_x, own_y, *small[which].tolist()), 2)


_SILICON = (0.5, 0.52, 0.55)
_BLUE = (0.3, 0.4, 0.62)
_VIOLET = (0.46, 0.34, 0.6)
_GOLD = (0.62, 0.54, 0.34)
_GREEN = (0.34, 0.5, 0.42)
_ALUMINIUM = (0.75, 0.76, 0.78)
_COPPER = (0.7, 0.52, 0.4)

WAFERS: Mapping[str, Wafer] = {
    "bare_blue": Wafer(_BLUE, fringes=0.1),
    "bare_silicon": Wafer(_SILICON, fringes=0.02, grain=0.014),
    "bare_violet": Wafer(_VIOLET, fringes=0.08, light=Light(1.1, angle=100)),
    "dies_blue": Wafer(_BLUE, Dies(0.17, 0.21, _ALUMINIUM, 1)),
    "dies_gold": Wafer(_GOLD, Dies(0.2, 0.16, _COPPER, 2), light=Light(0.95, angle=-20)),
    "dies_green": Wafer(_GREEN, Dies(0.14, 0.14, _ALUMINIUM, 3)),
    "dies_silicon": Wafer(_SILICON, Dies(0.23, 0.18, _COPPER, 4), fringes=0.02, light=Light(1.05, angle=140)),
    "dies_violet": Wafer(_VIOLET, Dies(0.16, 0.25, _GOLD, 5), fringes=0.06),
}
"""Subclasses to learn from."""

UNSEEN_WAFERS: Mapping[str, Wafer] = {
    "bare_copper": Wafer((0.62, 0.38, 0.26), fringes=0.1, grain=0.016, light=Light(1.05, (1.05, 1.0, 0.92), -120, 0.2)),
    "dies_magenta": Wafer(
        (0.7, 0.25, 0.5),
        Dies(0.22, 0.2, (0.5, 0.6, 0.8), 8, 0.01),
        turn=10,
        light=Light(0.85, (0.95, 0.95, 1.1), 200, 0.15),
    ),
    "dies_pale": Wafer(
        (0.72, 0.7, 0.56),
        Dies(0.13, 0.12, (0.45, 0.5, 0.45), 7),
        fringes=0.06,
        turn=-15,
        light=Light(1.1, (1.0, 1.02, 0.92), 180, 0.15),
    ),
    "dies_teal": Wafer(
        (0.18, 0.52, 0.5),
        Dies(0.25, 0.2, (0.6, 0.75, 0.4), 9, 0.01),
        turn=-8,
        light=Light(0.9, (0.9, 1.05, 1.0), -90, 0.15),
    ),
}
"""Subclasses that only appear in test: other colours, pitches and turns, in other light."""

_DEFECTS: Mapping[str, SurfaceDefect] = {
    "film_spot": Stain((0.5, 0.8, 1.25), (0.75, 1), (0.035, 0.055)),
    "particle": Crumb(((0.85, 0.85, 0.82), (0.12, 0.12, 0.12)), (0.009, 0.015)),
    "scratch": Scratch((0.18, 0.3), (0.12, 0.24), (0.006, 0.009)),
}


def wafer_product(wafer: Wafer) -> Product:
    """What draws a wafer, and its defects; only dies can lack a block."""
    defects = {**_DEFECTS, "missing_block": None} if wafer.dies else _DEFECTS
    return Product(partial(draw_wafer, wafer), dict(sorted(defects.items())))
