"""Pictures and the pens that draw on them: poses, antialiased edges, polygons, strokes and print.

Positions and lengths are in image sides measured from the picture's middle: x to the right and y downwards, both from
-0.5 to 0.5. So a drawing looks the same at every resolution. Colours are RGB, 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from eagleray.arrays import AnyArray, Floats

# Y, X  pixels

Colour: TypeAlias = tuple[float, float, float]

_FINE = 4  # strokes are drawn this many times larger and averaged down


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing before the camera: colours (Y, X, 3) and, 0 to 1, how far each pixel is part of the product (Y, X)."""

    rgb: Floats
    body: Floats


@dataclass(frozen=True, slots=True)
class Flaw:
    """A defect that the drawing itself must show, such as a missing part, and the randomness that shapes it."""

    kind: str
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a product lies: moved by (dx, dy), turned by `angle` radians."""

    dx: float = 0.0
    dy: float = 0.0
    angle: float = 0.0

    @classmethod
    def jitter(cls, rng: np.random.Generator, shift: float, angle: float) -> "Pose":
        """A uniformly random pose within +-shift and +-angle."""
        dx, dy, turn = rng.uniform(-1, 1, 3)
        return cls(dx * shift, dy * shift, turn * angle)

    def grid(self, size: int) -> tuple[Floats, Floats]:
        """The product's own x and y at every pixel, each (size, size)."""
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
        x, y = axis[None, :] - np.float32(self.dx), axis[:, None] - np.float32(self.dy)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return np.asarray(cos * x + sin * y, dtype=np.float32), np.asarray(cos * y - sin * x, dtype=np.float32)

    def place(self, points: ArrayLike) -> AnyArray:
        """Picture positions (n, 2) of points given in the product's own x and y."""
        x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.stack([cos * x - sin * y + self.dx, sin * x + cos * y + self.dy], axis=1)


def cover(distance_YX: AnyArray, softness: float = 1.0) -> Floats:
    """Share of each pixel inside a shape, from the signed distance to its edge (inside is negative).

    `softness` is the width of the edge in pixels.
    """
    return np.asarray(np.clip(0.5 - distance_YX * (len(distance_YX) / softness), 0, 1), dtype=np.float32)


def box(x: Floats, y: Floats, width: float, height: float, corner: float = 0.0) -> Floats:
    """Signed distance to a rectangle about the origin with rounded corners."""
    dx, dy = np.abs(x) - np.float32(width / 2 - corner), np.abs(y) - np.float32(height / 2 - corner)
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(corner), dtype=np.float32)


def blend(rgb: Floats, coverage_YX: Floats, colour: Colour | Floats) -> Floats:
    """Lay a colour, or another picture, over `rgb` where the coverage says so."""
    return np.asarray(rgb + coverage_YX[..., None] * (np.asarray(colour, dtype=np.float32) - rgb), dtype=np.float32)


def flat(size: int, colour: Colour) -> Floats:
    """A picture of one colour, (size, size, 3)."""
    return np.broadcast_to(np.asarray(colour, dtype=np.float32), (size, size, 3)).copy()


class Painter:
    """Fills polygons, discs and strokes on a coverage map or a colour picture, antialiased, in a product's own pose."""

    def __init__(self, size: int, pose: Pose | None = None, background: Colour | None = None) -> None:
        self._side = size * _FINE
        self._pose = pose or Pose()
        if background is None:
            self._image = Image.new("L", (self._side, self._side))
        else:
            self._image = Image.new("RGB", (self._side, self._side), _bytes(background))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: ArrayLike, colour: Colour | float = 1.0) -> None:
        """Fill the polygon through `points` (n, 2)."""
        self._draw.polygon(self._corners(points), fill=_bytes(colour))

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour | float = 1.0) -> None:
        """Fill a rectangle about (x, y)."""
        a, b = width / 2, height / 2
        self.polygon([(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)], colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour | float = 1.0) -> None:
        """Fill a disc about (x, y)."""
        (centre,) = self._corners([(x, y)])
        self._draw.circle(centre, radius * self._side, fill=_bytes(colour))

    def stroke(self, points: ArrayLike, width: float, colour: Colour | float = 1.0) -> None:
        """Draw a line through `points` (n, 2)."""
        self._draw.line(
            self._corners(points), fill=_bytes(colour), width=max(1, round(width * self._side)), joint="curve"
        )

    def result(self) -> Floats:
        """What was drawn: (Y, X) for a coverage map, (Y, X, 3) for a colour picture, 0 to 1."""
        return np.asarray(self._image.reduce(_FINE), dtype=np.float32) / np.float32(255)

    def _corners(self, points: ArrayLike) -> list[tuple[float, float]]:
        return [(x, y) for x, y in ((self._pose.place(points) + 0.5) * self._side - 0.5).tolist()]


def _bytes(colour: Colour | float) -> int | tuple[int, ...]:
    if isinstance(colour, tuple):
        return tuple(round(255 * min(max(c, 0.0), 1.0)) for c in colour)
    return round(255 * colour)


def text_strip(text: str, height: int) -> Floats:
    """Printed text as a coverage map, (height, length of the text in pixels)."""
    font = ImageFont.load_default(size=height * 0.8)
    strip = Image.new("L", (max(1, round(font.getlength(text))), height))
    ImageDraw.Draw(strip).text((0, height / 2), text, fill=255, font=font, anchor="lm")
    return np.asarray(strip, dtype=np.float32) / np.float32(255)


def print_on(strip: Floats, along: Floats, across: Floats) -> Floats:
    """Coverage (Y, X) of a strip printed on a surface whose coordinates along and across the strip run from 0 to 1."""
    rows, columns = strip.shape
    where = np.stack([across * rows - 0.5, along * columns - 0.5])
    return np.asarray(ndimage.map_coordinates(strip, where, order=1, cval=0.0, output=np.float32))


def polar(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Radius, and angle as a share of a full turn (0 to 1), at every pixel."""
    turn = np.arctan2(y, x) / np.float32(2 * np.pi) + np.float32(0.5)
    return np.hypot(x, y), np.asarray(turn, dtype=np.float32)


def pick(rng: np.random.Generator, choices: Sequence[Colour]) -> Colour:
    """One of the colours."""
    return choices[int(rng.integers(len(choices)))]
