"""Cloths that fill the picture: weaves and a knit in many colours, yarns and lights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from eagleray.arrays import AnyArray, Bools, Ints
from eagleray.data.synthetic.defects import Stain, SurfaceDefect
from eagleray.data.synthetic.drawing import Colour, Flaw, Picture, Pose
from eagleray.data.synthetic.lighting import DAYLIGHT, Light
from eagleray.data.synthetic.noise import fractal_noise, value_noise
from eagleray.data.synthetic.products import Product

# Y, X  pixels

Weave: TypeAlias = Callable[[Ints, Ints], Bools]
"""Where the warp lies on top, from the numbers of the warp and the weft thread at each pixel."""

_MARGIN = 1000  # threads drawn beyond the picture on each side, so that none has a negative number


def _plain(i: Ints, j: Ints) -> Bools:
    return np.asarray((i + j) % 2 == 0)


def _twill(i: Ints, j: Ints) -> Bools:
    return (i - j) % 4 < 2


def _herringbone(i: Ints, j: Ints) -> Bools:
    return (np.where(i % 16 < 8, i, -i - 1) - j) % 4 < 2


def _basket(i: Ints, j: Ints) -> Bools:
    return np.asarray((i // 2 + j // 2) % 2 == 0)


def _satin(i: Ints, j: Ints) -> Bools:
    return np.asarray((2 * i - j) % 5 != 0)


@dataclass(frozen=True, slots=True)
class Cloth:
    """A cloth; lengths along and across are counted in threads, or in stitches of a knit."""

    weave: Weave | None
    """None for a knit, whose yarn has the warp's colour."""
    warp: Colour
    weft: Colour
    threads: float
    """Threads per image side."""
    stripe: int = 0
    """Warp threads of each stripe that is dyed in the weft's colour, and between two of them; 0 for none."""
    turn: float = 0.0
    """Degrees by which the threads are turned."""
    yarn: float = 0.035
    """How much threads differ in brightness."""
    light: Light = DAYLIGHT


def draw_cloth(cloth: Cloth, size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Draw a piece of cloth; flaws: missing_thread, slub (a thick place in a thread), thread_pull."""
    place = Pose.jitter(rng, 0.05, 0.03)
    x, y = Pose(place.dx, place.dy, place.angle + np.deg2rad(cloth.turn)).grid(size)
    slack = np.float32(0.1 / cloth.threads)
    u: AnyArray = (x + slack * value_noise(rng, size, 5)) * np.float32(cloth.threads) + _MARGIN
    v: AnyArray = (y + slack * value_noise(rng, size, 5)) * np.float32(cloth.threads) + _MARGIN
    tones = 1 + np.float32(cloth.yarn) * rng.standard_normal((2, 2 * _MARGIN), dtype=np.float32)
    hair = 1 + np.float32(cloth.yarn) * (
        0.6 * value_noise(rng, size, size // 3) + 0.25 * fractal_noise(rng, size, 3, 2)
    )
    gain: AnyArray = np.ones_like(u)
    if flaw is not None:
        u, v, gain = _disturb(flaw, u, v, cloth.threads)
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    if cloth.weave is None:
        height, tone, dyed = _stitches(u - i, v), tones[1][j] * gain, np.zeros(i.shape, dtype=np.bool_)
    else:
        on_top = cloth.weave(i, j)
        height = _threads(u - i, v - j, on_top)
        tone = np.where(on_top, tones[0][i], tones[1][j] * gain)
        dyed = ~on_top
        if cloth.stripe:
            dyed = dyed | (i // cloth.stripe % 2 == 1)
    light = cloth.light.relief(np.asarray(height * np.float32(0.12 / cloth.threads), dtype=np.float32))
    colours = np.asarray([cloth.warp, cloth.weft], dtype=np.float32)
    shade = tone * hair * (0.55 + 0.45 * height + light)
    rgb = colours[dyed.astype(np.int64)] * shade[..., None]
    return Picture(cloth.light.shine(np.asarray(rgb, dtype=np.float32)), np.ones((size, size), dtype=np.float32))


def _threads(across_warp: AnyArray, across_weft: AnyArray, on_top: AnyArray) -> AnyArray:
    """Height, 0 to 1, of threads that are round and dip under where they cross; positions run from 0 to 1."""
    warp, weft = np.sin(np.pi * across_warp), np.sin(np.pi * across_weft)
    return np.where(on_top, warp * (0.7 + 0.3 * weft), weft * (0.7 + 0.3 * warp))


def _stitches(across: AnyArray, v: AnyArray) -> AnyArray:
    """Height, 0 to 1, of the two legs of each stitch, which form a V."""
    out = np.abs(2 * across - 1)
    leg = np.sqrt(np.sin(np.pi * np.clip(out, 0, 1)))
    return np.asarray(leg * (0.35 + 0.65 * np.abs(np.sin(np.pi * (v + 0.7 * out)))))


def _disturb(flaw: Flaw, u: AnyArray, v: AnyArray, threads: float) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Move threads about a random place, and say how bright the weft then is."""
    rng = flaw.rng
    u0, v0 = _MARGIN + rng.uniform(-0.38, 0.38, 2) * threads
    away_u, away_v = u - np.float32(u0), v - np.float32(v0)
    reach = np.float32(rng.uniform(0.05, 0.08) * threads)
    width = np.float32(min(1.4, 0.035 * threads))  # a defect of coarse cloth is no larger than one of fine cloth
    along = np.clip(reach + 0.5 - np.abs(away_u), 0, 1)
    gain: AnyArray = np.ones_like(u)
    if flaw.kind == "thread_pull":
        pull = width * np.float32(rng.choice([-1, 1]) * rng.uniform(0.8, 1.1))
        u = u + pull * np.exp(-((away_u / width) ** 2) - (away_v / (0.6 * reach)) ** 2)
    elif flaw.kind == "slub":
        thick = np.exp(-((away_u / (0.7 * reach)) ** 2) - (away_v / width) ** 2)
        v = v - np.float32(0.75) * width * np.tanh(away_v / width) * thick
        gain = 1 + np.float32(rng.uniform(0.4, 0.6)) * thick
    else:
        lost = (v >= np.floor(v0)) & (v < np.floor(v0) + max(1, round(0.03 * threads)))
        gain = 1 - np.float32(rng.uniform(0.5, 0.7)) * along * lost
    return u, v, gain


_WHITE = (0.86, 0.86, 0.84)
_CREAM = (0.8, 0.74, 0.62)
_SAND = (0.66, 0.57, 0.44)
_GREY = (0.56, 0.56, 0.56)
_SLATE = (0.3, 0.3, 0.3)
_SKY = (0.52, 0.63, 0.76)
_NAVY = (0.2, 0.25, 0.4)
_INDIGO = (0.28, 0.36, 0.52)
_OLIVE = (0.42, 0.44, 0.3)
_WINE = (0.45, 0.18, 0.2)

CLOTHS: Mapping[str, Cloth] = {
    "basket_sand": Cloth(_basket, _SAND, _CREAM, 56, yarn=0.05),
    "herringbone_grey": Cloth(_herringbone, _GREY, _SLATE, 60, light=Light(angle=-30)),
    "knit_navy": Cloth(None, _NAVY, _NAVY, 22, yarn=0.03, light=Light(1.15)),
    "knit_white": Cloth(None, _WHITE, _WHITE, 26, yarn=0.03, light=Light(0.9, angle=80)),
    "plain_cream": Cloth(_plain, _CREAM, _CREAM, 48, light=Light(0.95, (1.0, 0.99, 0.96), 60)),
    "plain_sky": Cloth(_plain, _SKY, _WHITE, 58),
    "satin_wine": Cloth(_satin, _WINE, _WINE, 54, light=Light(1.2, angle=20, fall=0.2)),
    "stripe_olive": Cloth(_plain, _OLIVE, _CREAM, 52, stripe=6),
    "twill_indigo": Cloth(_twill, _INDIGO, _GREY, 54),
    "twill_sand": Cloth(_twill, _SAND, _SAND, 46, light=Light(0.9, angle=120)),
}
"""Subclasses to learn from."""

UNSEEN_CLOTHS: Mapping[str, Cloth] = {
    "basket_orange": Cloth(
        _basket, (0.85, 0.45, 0.16), (0.9, 0.6, 0.25), 46, turn=8, light=Light(1.0, (1.08, 1.0, 0.85), -60, 0.15)
    ),
    "herringbone_teal": Cloth(
        _herringbone, (0.16, 0.48, 0.46), (0.36, 0.66, 0.6), 56, turn=-5, light=Light(0.8, (0.9, 1.0, 1.1), 150, 0.15)
    ),
    "knit_rose": Cloth(
        None, (0.88, 0.5, 0.62), (0.88, 0.5, 0.62), 18, turn=10, yarn=0.03, light=Light(1.1, angle=-90, fall=0.15)
    ),
    "plain_charcoal": Cloth(
        _plain,
        (0.3, 0.29, 0.31),
        (0.24, 0.24, 0.27),
        42,
        turn=25,
        yarn=0.045,
        light=Light(0.95, (1.0, 0.98, 1.05), 200, 0.15),
    ),
}
"""Subclasses that only appear in test: other colours, somewhat coarser, turned and in other light."""

_DEFECTS: Mapping[str, SurfaceDefect | None] = {
    "missing_thread": None,
    "slub": None,
    "stain": Stain((0.62, 0.53, 0.4), (0.6, 0.85), (0.035, 0.055)),
    "thread_pull": None,
}


def cloth_product(cloth: Cloth) -> Product:
    """What draws a cloth, and its defects."""
    return Product(partial(draw_cloth, cloth), _DEFECTS)
