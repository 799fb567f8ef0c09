"""Three products of metal and electronics: a hexagon nut, a pin header and a circuit board."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from eagleray.arrays import AnyArray, Floats
from eagleray.data.synthetic.drawing import Colour, Flaw, Painter, Picture, Pose, blend, cover, flat, polar
from eagleray.data.synthetic.noise import fractal_noise, relief, value_noise


def hex_nut(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """A steel nut from above, turned any way, on a dark belt; flaws: chipped_edge, damaged_thread."""
    pose = Pose.jitter(rng, 0.03, np.pi)
    x, y = pose.grid(size)
    radius, turn = polar(x, y)
    hexagon = np.max([np.abs(np.cos(a) * x + np.sin(a) * y) for a in np.deg2rad([0, 60, 120])], axis=0) - 0.3
    chamfer = np.asarray(radius - 0.325, dtype=np.float32)
    bore = np.asarray(0.165 - radius, dtype=np.float32)
    turned = np.interp(radius, np.linspace(0, 0.75, 200), rng.standard_normal(200)).astype(np.float32)
    brushed = 0.015 * turned + 0.012 * fractal_noise(rng, size, 30, 3)
    thread = 0.3 + 0.13 * np.sin((radius * 95 + turn) * np.float32(2 * np.pi)) + (0.165 - radius) * 1.2
    outline = np.maximum(hexagon, chamfer - 0.012)
    if flaw is not None and flaw.kind == "chipped_edge":
        angle = np.deg2rad(60 * flaw.rng.integers(6) + 30 + flaw.rng.normal(0, 8))
        depth, reach = flaw.rng.uniform(0.014, 0.026), 0.325
        chip = np.hypot(x - reach * np.cos(angle), y - reach * np.sin(angle)) + 0.006 * value_noise(flaw.rng, size, 30)
        outline = np.maximum(outline, depth - chip)
    if flaw is not None and flaw.kind == "damaged_thread":
        where, spread = flaw.rng.uniform(0, 1), flaw.rng.uniform(0.012, 0.03)
        away = np.abs((turn - where + 0.5) % 1 - 0.5)
        thread = thread + np.exp(-((away / spread) ** 2)) * 0.22 * value_noise(flaw.rng, size, 40)
    slope = np.clip((hexagon + 0.045) / 0.045, 0, 1) * 0.5 + np.clip((chamfer + 0.03) / 0.03, 0, 1)
    light = relief(np.asarray(-0.022 * slope - 0.012 * cover(bore - 0.012, 8), dtype=np.float32), rng.uniform(0.6, 1.0))
    tone = 0.58 + brushed + 0.4 * np.clip(light, -0.5, 0.5)
    tone = np.where(bore > 0, thread, tone)
    belt = 0.16 + 0.012 * fractal_noise(rng, size, 12)
    tone = np.where(radius < 0.128, belt, tone)
    body = cover(np.asarray(outline, dtype=np.float32)) * cover(np.asarray(0.128 - radius, dtype=np.float32))
    shadow = ndimage.gaussian_filter(np.roll(body, round(0.02 * size), axis=(0, 1)), 0.015 * size)
    rgb = (belt * (1 - 0.6 * shadow))[..., None] * np.asarray((1.0, 1.02, 1.06))
    metal = tone[..., None] * np.asarray((1.0, 0.99, 0.95))
    face = body * cover(np.asarray(bore + 0.015, dtype=np.float32))
    return Picture(blend(np.asarray(rgb, dtype=np.float32), body, np.asarray(metal, dtype=np.float32)), face)


_PINS, _PITCH = 10, 0.078


def pin_header(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Ten gilt pins in a black housing, from the side; flaws: bent_pin, short_pin, misplaced_pin."""
    pose = Pose.jitter(rng, 0.02, 0.025)
    lean, drop = rng.normal(0, 0.0012, _PINS), rng.normal(0, 0.0015, _PINS)
    which = -1
    if flaw is not None:
        which = int(flaw.rng.integers(_PINS))
        side = float(flaw.rng.choice([-1, 1]))
        lean[which] += side * flaw.rng.uniform(0.016, 0.026) if flaw.kind == "bent_pin" else 0
        drop[which] -= flaw.rng.uniform(0.05, 0.09) if flaw.kind == "short_pin" else 0
    pins, ridges = Painter(size, pose), Painter(size, pose)
    for k in range(_PINS):
        x = (k - (_PINS - 1) / 2) * _PITCH
        if flaw is not None and flaw.kind == "misplaced_pin" and k == which:
            x += side * flaw.rng.uniform(0.017, 0.026)
        for painter, half in ((pins, 0.013), (ridges, 0.006)):
            painter.polygon(_pin(x, half, lean[k], 0.3 + drop[k]))
    mat = 0.66 + 0.008 * fractal_noise(rng, size, 20) + 0.012 * value_noise(rng, size, 3)
    rgb = np.asarray(mat[..., None] * np.asarray((0.95, 0.99, 1.0)), dtype=np.float32)
    metal = pins.result()
    shadow = ndimage.gaussian_filter(np.roll(metal, round(0.012 * size), axis=(0, 1)), 0.008 * size)
    rgb = rgb * (1 - 0.35 * shadow[..., None])
    plating = 0.62 + 0.35 * ndimage.gaussian_filter(ridges.result(), 0.003 * size) + 0.02 * value_noise(rng, size, 60)
    gilt = plating[..., None] * np.asarray((1.0, 0.84, 0.5))
    rgb = blend(rgb, metal, np.asarray(gilt, dtype=np.float32))
    housing, plastic = _housing(size, rng, pose)
    return Picture(blend(rgb, housing, plastic), housing)


def _pin(x: float, half: float, lean: float, end: float) -> list[tuple[float, float]]:
    """Outline of a pin at `x` whose tip, at height `end`, leans to one side; `half` is half its width."""
    knee, tip = x + 0.15 * lean, x + lean
    return [
        (x - half, -0.1),
        (x + half, -0.1),
        (knee + half, 0.08),
        (tip + half, end - 0.02),
        (tip + half * 0.4, end),
        (tip - half * 0.4, end),
        (tip - half, end - 0.02),
        (knee - half, 0.08),
    ]


def _housing(size: int, rng: np.random.Generator, pose: Pose) -> tuple[Floats, Floats]:
    """Coverage and colours of the moulded bar that holds the pins."""
    painter = Painter(size, pose)
    for k in range(_PINS):
        x = (k - (_PINS - 1) / 2) * _PITCH
        corner = 0.012
        left, right = x - _PITCH / 2, x + _PITCH / 2
        painter.polygon(
            [
                (left, -0.23 + corner),
                (left + corner, -0.23),
                (right - corner, -0.23),
                (right, -0.23 + corner),
                (right, -0.07 - corner),
                (right - corner, -0.07),
                (left + corner, -0.07),
                (left, -0.07 - corner),
            ]
        )
    cover_YX = painter.result()
    light = relief(0.006 * ndimage.gaussian_filter(cover_YX, 0.008 * size), 0.9)
    tone = 0.2 + 0.25 * light + 0.012 * fractal_noise(rng, size, 50, 3)
    return cover_YX, np.asarray(tone[..., None] * np.asarray((1.0, 1.0, 1.05)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part on the board: its place, its size and whether it is an IC (pins on two sides) or a two-pad part."""

    x: float
    y: float
    width: float
    height: float
    colour: Colour
    is_chip: bool


_BROWN, _BLACK, _GREY = (0.42, 0.34, 0.26), (0.14, 0.14, 0.15), (0.2, 0.2, 0.22)
_PARTS = (
    _Part(-0.2, -0.22, 0.2, 0.15, _BLACK, True),
    _Part(0.22, 0.1, 0.16, 0.2, _BLACK, True),
    _Part(-0.24, 0.2, 0.11, 0.11, _BLACK, True),
    *(_Part(0.08 + 0.11 * k, -0.34, 0.036, 0.06, _BROWN, False) for k in range(3)),
    *(_Part(0.08 + 0.11 * k, -0.2, 0.036, 0.06, _GREY, False) for k in range(3)),
    *(_Part(-0.05, 0.0 + 0.1 * k, 0.06, 0.036, _BROWN, False) for k in range(3)),
    *(_Part(-0.38 + 0.1 * k, 0.36, 0.036, 0.06, _GREY, False) for k in range(3)),
    *(_Part(0.05 + 0.13 * k, 0.35, 0.06, 0.036, _BROWN, False) for k in range(3)),
)
_TRACES = tuple(
    [(start_x, start_y), (start_x + run, start_y), (start_x + run + turn, start_y + turn), (end_x, start_y + turn)]
    for start_x, start_y, run, turn, end_x in (
        *((-0.1, -0.27 + 0.03 * k, 0.06 + 0.02 * k, 0.04, 0.42) for k in range(3)),
        *((-0.42, -0.06 + 0.028 * k, 0.12, 0.05, 0.1) for k in range(3)),
        *((-0.18, 0.17 + 0.028 * k, 0.04, 0.03, 0.13) for k in range(3)),
        *((-0.42, 0.27 + 0.025 * k, 0.1 + 0.02 * k, 0.02, 0.4) for k in range(2)),
    )
)
_VIAS = tuple((-0.41 + 0.205 * (k % 5), -0.43 + 0.86 * (k // 5)) for k in range(10))


def circuit_board(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """A green board with fixed lay-out; flaws: missing_part, twisted_part, solder_bridge, broken_trace."""
    pose = Pose.jitter(rng, 0.008, 0.012)
    mask_green, copper = (0.1, 0.33, 0.2), (0.15, 0.42, 0.26)
    painter = Painter(size, pose, background=(0.1, 0.2, 0.15))
    painter.rectangle(0, 0, 0.94, 0.94, mask_green)
    for trace in _TRACES:
        painter.stroke(trace, 0.011, copper)
    for x, y in _VIAS:
        painter.disc(x, y, 0.012, (0.45, 0.45, 0.3))
        painter.disc(x, y, 0.006, (0.1, 0.12, 0.1))
    small = [k for k, part in enumerate(_PARTS) if not part.is_chip]
    odd = -1
    if flaw is not None:
        odd = int(flaw.rng.choice(small))
        if flaw.kind == "broken_trace":
            _cut_trace(painter, flaw.rng, mask_green)
    for k, part in enumerate(_PARTS):
        twist, there = float(rng.normal(0, 0.02)), True
        nudge = rng.normal(0, 0.0012, 2)
        tone = float(rng.normal(1, 0.05))
        if flaw is not None and k == odd:
            there = flaw.kind != "missing_part"
            twist += float(flaw.rng.choice([-1, 1]) * flaw.rng.uniform(0.4, 0.7)) * (flaw.kind == "twisted_part")
        _solder(painter, part)
        if there:
            _mount(painter, part, twist, nudge, tone)
    if flaw is not None and flaw.kind == "solder_bridge":
        _bridge(painter, flaw.rng)
    rgb = painter.result()
    light = relief(0.004 * ndimage.gaussian_filter(rgb.mean(axis=2), 0.004 * size), 0.7)
    grain = 0.006 * fractal_noise(rng, size, 40, 3)
    body = flat(size, (1.0, 1.0, 1.0))[..., 0] * cover(np.max(np.abs(pose.grid(size)), axis=0) - np.float32(0.46))
    return Picture(np.asarray(rgb + (0.3 * light + grain)[..., None], dtype=np.float32), body)


_SOLDER = (0.6, 0.61, 0.6)


def _solder(painter: Painter, part: _Part) -> None:
    if part.is_chip:
        for k in range(_legs(part)):
            y = part.y + (k - (_legs(part) - 1) / 2) * 0.026
            for side in (-1, 1):
                painter.rectangle(part.x + side * (part.width / 2 + 0.012), y, 0.026, 0.012, _SOLDER)
        return
    along_x = part.width > part.height
    for side in (-1, 1):
        dx, dy = (side * part.width / 2, 0.0) if along_x else (0.0, side * part.height / 2)
        painter.rectangle(part.x + dx, part.y + dy, 0.04, 0.04, _SOLDER)


def _legs(part: _Part) -> int:
    return int(part.height / 0.026)


def _mount(painter: Painter, part: _Part, twist: float, nudge: AnyArray, tone: float) -> None:
    own = Pose(part.x + nudge[0], part.y + nudge[1], twist * (0.1 if part.is_chip else 1.0))
    a, b = part.width / 2, part.height / 2
    colour = (part.colour[0] * tone, part.colour[1] * tone, part.colour[2] * tone)
    painter.polygon(own.place([(-a, -b), (a, -b), (a, b), (-a, b)]), colour)
    if part.is_chip:
        ((x, y),) = own.place([(-a + 0.018, -b + 0.018)])
        painter.disc(x, y, 0.007, (0.4, 0.4, 0.4))


def _cut_trace(painter: Painter, rng: np.random.Generator, mask_green: Colour) -> None:
    trace = _TRACES[int(rng.integers(len(_TRACES)))]
    (x0, y), (x1, _) = trace[2], trace[3]
    x = x0 + (x1 - x0) * rng.uniform(0.1, 0.5)
    painter.rectangle(x, y, rng.uniform(0.03, 0.06), 0.016, mask_green)


def _bridge(painter: Painter, rng: np.random.Generator) -> None:
    chips = [part for part in _PARTS if part.is_chip]
    part = chips[int(rng.integers(len(chips)))]
    k = int(rng.integers(_legs(part) - 1))
    y = part.y + (k + 0.5 - (_legs(part) - 1) / 2) * 0.026
    side = float(rng.choice([-1, 1]))
    painter.rectangle(part.x + side * (part.width / 2 + 0.014), y, rng.uniform(0.035, 0.05), 0.05, _SOLDER)
