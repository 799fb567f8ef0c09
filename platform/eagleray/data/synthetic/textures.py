"""Four surfaces that fill the picture: denim, brushed metal, wood and terrazzo."""

import numpy as np
from scipy import ndimage

from eagleray.data.synthetic.drawing import Flaw, Painter, Picture, Pose, cover
from eagleray.data.synthetic.noise import fractal_noise, relief, value_noise

_THREADS = 52  # per image side


def denim(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Blue warp over white weft in a 2/2 twill; flaws: thread_pull, missing_thread."""
    x, y = Pose.jitter(rng, 0.05, 0.03).grid(size)
    u = (x + 0.002 * value_noise(rng, size, 5)) * _THREADS + 1000
    v = (y + 0.002 * value_noise(rng, size, 5)) * _THREADS + 1000
    warp_tone, weft_tone = 1 + 0.04 * rng.standard_normal((2, 2000)).astype(np.float32)
    slub = 1 + 0.03 * value_noise(rng, size, 20, 80) + 0.03 * value_noise(rng, size, 80, 20)
    wear = 1 + 0.04 * fractal_noise(rng, size, 3)
    gap = np.ones_like(u)
    if flaw is not None:
        u0, v0 = 1000 + flaw.rng.uniform(-0.4, 0.4, 2) * _THREADS
        if flaw.kind == "thread_pull":
            pull = np.float32(flaw.rng.choice([-1, 1]) * flaw.rng.uniform(1.2, 1.9))
            u = u + pull * np.exp(-(((u - u0) / 2.0) ** 2) - ((v - v0) / flaw.rng.uniform(2, 5)) ** 2).astype(
                np.float32
            )
        else:
            half = flaw.rng.uniform(4, 9)
            gap = 1 - 0.65 * (np.floor(v) == np.floor(v0)) * np.clip(half + 0.5 - np.abs(u - u0), 0, 1)
    i, j = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)
    across_warp, across_weft = np.sin(np.pi * (u - i)), np.sin(np.pi * (v - j))
    warp = (0.7 + 0.3 * across_warp) * (0.85 + 0.15 * across_weft) * warp_tone[i]
    weft = (0.7 + 0.3 * across_weft) * (0.85 + 0.15 * across_warp) * weft_tone[j] * gap
    warp_on_top = (i - j) % 4 < 2
    tone = np.where(warp_on_top, warp, weft) * slub * wear
    colours = np.asarray([(0.46, 0.5, 0.58), (0.3, 0.38, 0.52)], dtype=np.float32)
    return _filled(colours[warp_on_top.astype(np.intp)] * tone[..., None])


def brushed_metal(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Steel brushed from side to side with a soft reflection; flaw: gouge (a torn streak along the brushing)."""
    _, y = Pose.jitter(rng, 0.3, 0.02).grid(size)
    streaks = value_noise(rng, size, size, 5) * 0.028 + value_noise(rng, size, size // 2, 12) * 0.018
    streaks = streaks + 0.012 * value_noise(rng, size, size // 4, 30)
    shine = 0.1 * np.exp(-((y / np.float32(rng.uniform(0.25, 0.4))) ** 2)) + 0.02 * value_noise(rng, size, 3)
    tone = np.asarray(0.55 + streaks + shine, dtype=np.float32)
    if flaw is not None:
        x0, y0 = flaw.rng.uniform(-0.4, 0.4, 2)
        length, width = flaw.rng.uniform(0.03, 0.08), flaw.rng.uniform(0.003, 0.006)
        own_x, own_y = Pose(x0, y0, flaw.rng.normal(0, 0.03)).grid(size)
        taper = np.clip(1 - np.abs(own_x) / np.float32(length), 0, 1)
        tear = cover(np.abs(own_y) - np.float32(width) * taper, 2) * (taper > 0)
        tone = tone - 0.2 * tear + 0.12 * np.roll(tear, round(0.008 * size), axis=0)
    return _filled(np.asarray(tone[..., None] * np.asarray((0.98, 1.0, 1.03)), dtype=np.float32))


def wood(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Planed oak with rings, fibres and pores along x; flaw: tear_out (a patch where fibres were pulled out)."""
    _, y = Pose.jitter(rng, 0.5, 0.06).grid(size)
    bend = 0.06 * value_noise(rng, size, 3, 2) + 0.008 * value_noise(rng, size, 12, 5)
    ring = (y + bend) * np.float32(rng.uniform(9, 13))
    late = (ring - np.floor(ring)) ** 2
    fibres = 0.03 * value_noise(rng, size, size // 2, 8) + 0.02 * value_noise(rng, size, size, 24)
    pores = np.clip(value_noise(rng, size, size // 2, 20) - 1.5, 0, 1)
    tone = 1 - 0.2 * ndimage.gaussian_filter(late, 0.004 * size) + fibres - 0.12 * pores
    if flaw is not None:
        own_x, own_y = Pose(flaw.rng.uniform(-0.4, 0.4), flaw.rng.uniform(-0.4, 0.4), flaw.rng.normal(0, 0.05)).grid(
            size
        )
        ragged = value_noise(flaw.rng, size, size // 3, 12)
        edge = np.hypot(own_x / 3, own_y) + 0.006 * ragged - np.float32(flaw.rng.uniform(0.012, 0.02))
        torn = cover(edge, 4)
        tone = tone * (1 - torn * (0.1 + 0.12 * np.abs(ragged))) + relief(0.002 * torn, 1.5)
    colour = np.asarray((0.72, 0.53, 0.36), dtype=np.float32) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    return _filled(np.asarray(tone[..., None] * colour, dtype=np.float32))


_CHIPS = ((0.82, 0.81, 0.78), (0.62, 0.58, 0.54), (0.55, 0.54, 0.53), (0.72, 0.62, 0.54), (0.64, 0.67, 0.67))


def terrazzo(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Stone chips in polished cement; flaw: lost_chip (the hollow that a chip leaves)."""
    painter = Painter(size, background=(0.74, 0.73, 0.7))
    for _ in range(230):
        outline = _chip(rng, rng.uniform(0.006, 0.028)) + rng.uniform(-0.53, 0.53, 2)
        shade = _CHIPS[int(rng.integers(len(_CHIPS)))]
        tone = float(rng.normal(1, 0.03))
        painter.polygon(outline, (shade[0] * tone, shade[1] * tone, shade[2] * tone))
    grain = 0.02 * fractal_noise(rng, size, 40, 3) + 0.012 * value_noise(rng, size, 4)
    rgb = painter.result() + grain[..., None]
    if flaw is not None:
        hollow = Painter(size)
        hollow.polygon(_chip(flaw.rng, flaw.rng.uniform(0.014, 0.024)) + flaw.rng.uniform(-0.42, 0.42, 2))
        depth = ndimage.gaussian_filter(hollow.result(), 0.003 * size)
        rough = 0.05 * value_noise(flaw.rng, size, 60)
        floor = np.asarray((0.5, 0.48, 0.45), dtype=np.float32) + rough[..., None]
        rgb = rgb + depth[..., None] * (floor - rgb) + relief(0.006 * depth, 0.8)[..., None]
    return _filled(np.asarray(rgb, dtype=np.float32))


def _chip(rng: np.random.Generator, radius: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    turns = np.sort(rng.uniform(0, 2 * np.pi, 6))
    return np.stack([np.cos(turns), np.sin(turns)], axis=1) * radius * rng.uniform(0.7, 1.2, (6, 1))


def _filled(rgb: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Picture:
    return Picture(rgb, np.ones(rgb.shape[:2], dtype=np.float32))
