"""Five solids: a biscuit with chocolate chips, a bolt, a gear, a potato and a moulded tray."""

import numpy as np

from eagleray.arrays import AnyArray
from eagleray.data.synthetic.drawing import blend, box, cover, polar
from eagleray.data.synthetic.noise import fractal_noise, value_noise
from eagleray.data.synthetic.solid_surface import Surface, lay, on_table, rounded, tinted, wall

# Y, X  pixels


def biscuit(size: int, rng: np.random.Generator) -> Surface:
    """A baked disc, browner towards its edge, with glossy chips strewn over it."""
    x, y, scale = lay(rng, size, 0.035, 0.2, 0.04)
    edge = np.hypot(x, y) - np.float32(0.315) + 0.007 * value_noise(rng, size, 6)
    body = cover(edge, 1.5)
    dough = 0.07 * rounded(edge, 0.09) + 0.0035 * value_noise(rng, size, 9) + 0.0012 * fractal_noise(rng, size, 24, 3)
    crumbs = 1 + 0.1 * fractal_noise(rng, size, 20, 4)
    browned = 1 - 0.45 * np.exp(np.minimum(edge, 0) / np.float32(0.045))
    colour = tinted(crumbs * browned, (0.56, 0.33, 0.14), rng, 0.06)
    for x0, y0 in _strewn(rng, 11, 0.25, 0.085):
        radius, stretch = rng.uniform(0.02, 0.031), rng.uniform(1, 1.35)
        chip = np.hypot(x - np.float32(x0), (y - np.float32(y0)) * np.float32(stretch)) - np.float32(radius)
        dough = dough + np.float32(rng.uniform(0.012, 0.018)) * rounded(chip, radius)
        colour = blend(colour, cover(chip, 2), (0.06, 0.03, 0.018))
    return on_table(rng, dough * scale, colour, body, 0.12)


def bolt(size: int, rng: np.random.Generator) -> Surface:
    """A bolt of yellow zinc with a rounded head, lying on its side, its thread to the right."""
    x, y, scale = lay(rng, size, 0.035, 0.22, 0.03)
    shank, head = 0.068, 0.115
    along = (x + np.float32(0.1) * y) * np.float32(1 / 0.026) + np.float32(rng.uniform())
    groove = np.abs(2 * (along - np.floor(along)) - 1)
    threaded = wall(np.abs(x - np.float32(0.19)) - np.float32(0.17), 0.02)
    tip = np.clip((np.float32(0.36) - x) / np.float32(0.025), 0, 1)
    radius = np.where(x < 0.36, shank - 0.007 * threaded * groove - 0.018 * (1 - tip), 0)
    cap = head * rounded(-(x + np.float32(0.35)), 0.12) * (x < -0.21)
    radius = np.asarray(np.maximum(radius * (x > -0.3), cap), dtype=np.float32)
    body = cover(np.abs(y) - radius, 1.5) * (radius > 0)
    height = head + np.sqrt(np.maximum(radius**2 - y**2, 0))
    tone = 1 + 0.05 * fractal_noise(rng, size, 6, 4) + 0.03 * value_noise(rng, size, size // 3, 12)
    tone = tone - 0.25 * threaded * groove
    return on_table(rng, height * scale, tinted(tone, (0.5, 0.38, 0.16), rng), body, 0.3)


def gear(size: int, rng: np.random.Generator) -> Surface:
    """A turned steel gear with a hub, a recessed web with five holes, and a bore with a keyway."""
    x, y, scale = lay(rng, size, 0.03, 0.3, 0.025)
    r, turn = polar(x, y)
    beat = np.abs(2 * ((turn * 20) % 1) - 1) * 2 - 1
    outer = r - np.float32(0.325) - 0.02 * np.clip(1.7 * beat, -1, 1)
    openings = np.minimum(r - np.float32(0.062), box(x, y + np.float32(0.065), 0.032, 0.05))
    for angle in np.arange(5) * (2 * np.pi / 5):
        x0, y0 = np.float32(0.19 * np.cos(angle)), np.float32(0.19 * np.sin(angle))
        openings = np.minimum(openings, np.hypot(x - x0, y - y0) - np.float32(0.036))
    solid = np.maximum(outer, -openings)
    body = cover(solid, 1.5)
    web = wall(np.abs(r - np.float32(0.19)) - np.float32(0.068), 0.02)
    bevel = 0.008 * (1 - rounded(solid, 0.014))
    height = 0.085 - 0.03 * web + 0.018 * wall(r - np.float32(0.12), 0.014) - bevel
    turned = value_noise(rng, 512, 400)[0][np.minimum((r * 700).astype(np.intp), 511)]
    tone = 1 + 0.05 * turned * (1 - 0.6 * web) + 0.05 * fractal_noise(rng, size, 5, 4)
    return on_table(rng, height * scale, tinted(tone, (0.2, 0.207, 0.22), rng), body, 0.6)


def potato(size: int, rng: np.random.Generator) -> Surface:
    """A washed potato: no two have the same outline, bumps and eyes."""
    x, y, scale = lay(rng, size, 0.035, 0.35, 0.06)
    length, width = rng.uniform(0.33, 0.37), rng.uniform(0.245, 0.275)
    across = y / np.float32(width) / (1 + np.float32(rng.uniform(-0.35, 0.35)) * x)
    rho = np.hypot(x / np.float32(length), across) * (1 + 0.035 * value_noise(rng, size, 4))
    body = cover((rho - 1) * np.float32(width), 1.5)
    height = 0.17 * np.sqrt(np.maximum(1 - rho**2, 0)) + 0.004 * value_noise(rng, size, 7)
    height = height + 0.0005 * fractal_noise(rng, size, 30, 3)
    freckles = np.clip(value_noise(rng, size, size // 4) - 1.3, 0, 1)
    tone = 1 + 0.07 * fractal_noise(rng, size, 5, 5) - 0.35 * freckles
    for x0, y0 in _strewn(rng, 6, 0.22, 0.13):
        spread = ((x - np.float32(x0)) / np.float32(0.016)) ** 2 + ((y - np.float32(0.7 * y0)) / np.float32(0.009)) ** 2
        eye = np.exp(-spread)
        height, tone = height - 0.006 * eye, tone - 0.35 * eye
    return on_table(rng, height * scale, tinted(tone, (0.55, 0.4, 0.2), rng, 0.06), body, 0.05)


def tray(size: int, rng: np.random.Generator) -> Surface:
    """A moulded plastic tray with a rim, six pockets and ribs between them."""
    x, y, scale = lay(rng, size, 0.03, 0.1, 0.02)
    outer = box(x, y, 0.74, 0.56, 0.06)
    body = cover(outer, 1.5)
    beside = np.where(np.abs(x) < 0.1125, x, np.abs(x) - np.float32(0.225))
    pocket = box(beside, np.abs(y) - np.float32(0.1225), 0.19, 0.21, 0.035)
    sunk = rounded(pocket, 0.035)
    lip = wall(np.abs(outer + np.float32(0.014)) - np.float32(0.009), 0.012)
    height = 0.062 + 0.014 * lip - 0.045 * sunk - 0.01 * (1 - rounded(outer, 0.015))
    height = height + np.float32(rng.normal(0, 0.004)) * (x * x - np.float32(0.04)) + 0.0006 * value_noise(rng, size, 4)
    grain = 1 + 0.03 * fractal_noise(rng, size, 4, 3) + 0.04 * value_noise(rng, size, size // 2)
    return on_table(rng, height * scale, tinted(grain, (0.2, 0.33, 0.4), rng), body, 0.16)


def _strewn(rng: np.random.Generator, number: int, reach: float, apart: float) -> AnyArray:
    """Up to `number` places (n, 2) within `reach` of the middle, no two closer than `apart`."""
    places: list[AnyArray] = []
    for turn, r in rng.uniform(size=(4 * number, 2)):
        place = reach * np.sqrt(r) * np.asarray((np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)))
        if len(places) < number and all(np.hypot(*(place - other)) >= apart for other in places):
            places.append(place)
    return np.stack(places)
