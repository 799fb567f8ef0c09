"""Three things one swallows or opens: a bottle cap, a capsule and a cracker."""

import numpy as np
from scipy import ndimage

from eagleray.arrays import Floats
from eagleray.data.synthetic.drawing import (
    Flaw,
    Painter,
    Picture,
    Pose,
    blend,
    box,
    cover,
    polar,
    print_on,
    text_strip,
)
from eagleray.data.synthetic.noise import fractal_noise, relief, value_noise


def bottle_cap(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """A red screw cap from above, turned any way, with printing in a ring; flaws: misprint, smeared_print."""
    pose = Pose.jitter(rng, 0.02, np.pi)
    x, y = pose.grid(size)
    radius, turn = polar(x, y)
    ribs = 0.006 * np.cos(turn * np.float32(2 * np.pi * 90))
    outline = np.asarray(radius - 0.4 - ribs * (radius > 0.38), dtype=np.float32)
    ink = print_on(text_strip("EAGLERAY · MINERAL WATER · PLEASE RECYCLE · ", 32), turn, (0.315 - radius) / 0.055)
    ink = ink + cover(np.abs(radius - 0.335) - np.float32(0.004)) + cover(np.abs(radius - 0.235) - np.float32(0.004))
    ink = np.clip(ink + cover(radius - np.float32(0.07)) + cover(np.abs(radius - 0.17) - np.float32(0.008)), 0, 1)
    if flaw is not None:
        where, half = flaw.rng.uniform(0, 1), flaw.rng.uniform(0.02, 0.04)
        sector = np.clip(half + 0.01 - np.abs((turn - where + 0.5) % 1 - 0.5), 0, 0.01) * 100 * (radius > 0.225)
        other = ndimage.gaussian_filter(ink, 0.012 * size) if flaw.kind == "smeared_print" else 0.12 * ink
        ink = ink + sector * (other - ink)
    edge = np.asarray(np.clip((radius - 0.365) / 0.035, 0, 1), dtype=np.float32)
    hoop = np.exp(-(((radius - 0.352) / 0.006) ** 2))
    height = -0.02 * edge**2 + 0.002 * hoop.astype(np.float32) + 0.012 * ribs * edge
    light = relief(np.asarray(height, dtype=np.float32), rng.uniform(0.5, 1.1))
    tone = 1 + 0.35 * light + 0.02 * fractal_noise(rng, size, 30, 3) + 0.03 * value_noise(rng, size, 3)
    red = np.asarray((0.66, 0.16, 0.15)) * rng.uniform(0.95, 1.05)
    cap = blend(np.asarray(tone[..., None] * red, dtype=np.float32), ink * np.float32(0.9), (0.8, 0.6, 0.56))
    body = cover(outline)
    return Picture(_on_table(size, rng, body, cap, (0.72, 0.72, 0.7)), cover(outline + np.float32(0.05)))


def _on_table(
    size: int, rng: np.random.Generator, body: Floats, rgb: Floats, colour: tuple[float, float, float]
) -> Floats:
    """Lay a product with its shadow on a plain table."""
    table = (1 + 0.008 * fractal_noise(rng, size, 16))[..., None] * np.asarray(colour)
    shadow = ndimage.gaussian_filter(np.roll(body, round(0.015 * size), axis=(0, 1)), 0.015 * size)
    return blend(np.asarray(table * (1 - 0.35 * shadow[..., None]), dtype=np.float32), body, rgb)


def capsule(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """A two-part capsule on a white tray; flaws: faulty_imprint, open_joint."""
    pose = Pose.jitter(rng, 0.02, 0.15)
    x, y = pose.grid(size)
    reach, thick = 0.22, 0.13
    joint = np.float32(0.02)
    lid = x > joint
    thickness = np.where(lid, np.float32(thick), np.float32(thick - 0.008))
    shape = np.hypot(np.maximum(np.abs(x) - np.float32(reach), 0), y)
    outline = np.asarray(shape - thickness, dtype=np.float32)
    gap = np.exp(-(((x - joint) / 0.004) ** 2))
    strip = printed = text_strip("250", 48)
    if flaw is not None and flaw.kind == "faulty_imprint":
        start = int(flaw.rng.integers(0, strip.shape[1] // 2))
        printed = strip.copy()
        printed[:, start : start + int(flaw.rng.integers(24, 44))] *= 0.2
    if flaw is not None and flaw.kind == "open_joint":
        wide, middle = flaw.rng.uniform(0.012, 0.02), flaw.rng.uniform(-0.07, 0.07)
        gap = gap + 2 * np.exp(-(((x - joint - 0.004) / wide) ** 2) - ((y - middle) / 0.03) ** 2)
    ink = print_on(printed, (x + 0.17) / 0.11, (y + 0.035) / 0.07) + print_on(
        strip, (x - 0.1) / 0.11, (y + 0.035) / 0.07
    )
    across = np.clip(shape / thickness, 0, 1)
    dome = np.sqrt(1 - 0.98 * across**2)
    gloss = np.exp(-(((y + 0.05) / 0.012) ** 2)) * (np.abs(x) < reach) * 0.18
    tone = 0.45 + 0.55 * dome + 0.015 * fractal_noise(rng, size, 20, 3) - 0.25 * gap
    gelatine = np.where(lid[..., None], (0.78, 0.42, 0.16), (0.88, 0.84, 0.72)) * rng.uniform(0.97, 1.03, 3)
    rgb = np.asarray(tone[..., None] * gelatine + gloss[..., None], dtype=np.float32)
    rgb = blend(rgb, np.clip(ink, 0, 1) * np.float32(0.75), (0.18, 0.16, 0.15))
    inner = cover(outline + np.float32(0.02))
    return Picture(_on_table(size, rng, cover(outline), rgb, (0.84, 0.85, 0.86)), inner)


def cracker(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """A baked square with a scalloped edge and dimples, turned any way; flaws: broken_edge, missing_dimple."""
    pose = Pose.jitter(rng, 0.02, np.pi)
    x, y = pose.grid(size)
    wave = 0.007 * (np.cos(x * np.float32(2 * np.pi / 0.056)) + np.cos(y * np.float32(2 * np.pi / 0.056)))
    outline = box(x, y, 0.62, 0.62, 0.04) + wave + 0.004 * value_noise(rng, size, 8)
    if flaw is not None and flaw.kind == "broken_edge":
        along, side = flaw.rng.uniform(-0.28, 0.28), int(flaw.rng.integers(4))
        place = Pose(angle=side * np.pi / 2).place([(along, 0.315)])[0]
        bite = np.hypot(x - place[0], y - place[1]) + 0.01 * value_noise(flaw.rng, size, 24)
        outline = np.maximum(outline, flaw.rng.uniform(0.04, 0.06) - bite)
    dimples = Painter(size, pose)
    skip = int(flaw.rng.integers(25)) if flaw is not None and flaw.kind == "missing_dimple" else -1
    for k in range(25):
        dx, dy = rng.normal(0, 0.0025, 2)
        radius = 0.0105 * float(rng.normal(1, 0.06))
        if k != skip:
            dimples.disc((k % 5 - 2) * 0.112 + dx, (k // 5 - 2) * 0.112 + dy, radius)
    holes = ndimage.gaussian_filter(dimples.result(), 0.002 * size)
    crust = np.exp(outline / 0.03) * 0.22
    blisters = fractal_noise(rng, size, 9, 5)
    height = 0.003 * blisters - 0.012 * ndimage.gaussian_filter(holes, 0.008 * size) + 0.01 * cover(outline + 0.012, 10)
    light = relief(np.asarray(height, dtype=np.float32), 0.8)
    tone = 0.95 + 0.3 * light - np.clip(crust, 0, 0.25) - 0.03 * np.clip(blisters - 0.8, 0, 2) - 0.6 * holes
    dough = np.asarray((0.84, 0.66, 0.4)) * rng.uniform(0.96, 1.04)
    rgb = np.asarray(np.maximum(tone, 0.05)[..., None] ** np.asarray((1.0, 1.25, 1.6)) * dough, dtype=np.float32)
    return Picture(_on_table(size, rng, cover(outline), rgb, (0.32, 0.36, 0.4)), cover(outline + np.float32(0.015)))
