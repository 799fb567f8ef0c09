"""Synthetic anomalies: what a design is chosen on, so that no test picture ever chooses anything.

A region of a good picture is replaced by what does not belong there: another picture's surface, the picture's own from
elsewhere and turned, or its own in another tone. Regions are blobs, spots and strokes, from a five-hundredth to half
of the picture: a method that only finds small defects must not win.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from eagleray.arrays import Bools, Floats, Pixels
from eagleray.data.synthetic.noise import value_noise

_SMALLEST, _LARGEST = 0.002, 0.5
"""Shares of the picture; drawn evenly on a logarithmic scale."""


def add_anomaly(picture_YX3: Pixels, donors: Sequence[Pixels], rng: np.random.Generator) -> tuple[Pixels, Bools]:
    """A copy of a good picture with one anomaly, and its mask (Y, X).

    Args:
        picture_YX3: RGB.
        donors: good pictures of any size, whose surface may be pasted.
        rng: decides everything.
    """
    height, width = picture_YX3.shape[:2]
    share = float(np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST))))
    mask_YX = _region(rng, height, width, share)
    filling_YX3 = _filling(picture_YX3, donors, rng)
    opacity = rng.uniform(0.4, 1.0)
    soft_YX1 = ndimage.gaussian_filter(mask_YX.astype(np.float32), 0.004 * max(height, width))[..., None] * opacity
    blended = picture_YX3 + soft_YX1 * (filling_YX3 - picture_YX3.astype(np.float32))
    return np.clip(blended + 0.5, 0, 255).astype(np.uint8), mask_YX


def _region(rng: np.random.Generator, height: int, width: int, share: float) -> Bools:
    """A connected-looking region of about this share of the picture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y0, x0 = rng.uniform(0.1, 0.9) * height, rng.uniform(0.1, 0.9) * width
    angle = rng.uniform(0, np.pi)
    along = np.cos(angle) * (x - x0) + np.sin(angle) * (y - y0)
    across = -np.sin(angle) * (x - x0) + np.cos(angle) * (y - y0)
    stretch = rng.choice((1.0, 1.5, 8.0))  # spot, blob, stroke
    size = max(height, width)
    noise_YX = value_noise(rng, size, int(rng.integers(3, 12)))[:height, :width]
    distance_YX = np.hypot(along / stretch, across) / size + 0.02 * np.sqrt(share / 0.02) * noise_YX
    level = np.partition(distance_YX.ravel(), int(share * distance_YX.size))[int(share * distance_YX.size)]
    return np.asarray(distance_YX <= level)


def _filling(picture_YX3: Pixels, donors: Sequence[Pixels], rng: np.random.Generator) -> Floats:
    kind = rng.choice(("other", "own", "tone"))
    own_YX3 = picture_YX3.astype(np.float32)
    if kind == "tone":
        factors = rng.uniform(0.55, 0.9) if rng.random() < 0.5 else rng.uniform(1.1, 1.5)
        return np.asarray(own_YX3 * factors * rng.uniform(0.9, 1.1, 3).astype(np.float32))
    source = donors[int(rng.integers(len(donors)))].astype(np.float32) if kind == "other" else own_YX3
    turned = np.rot90(source, int(rng.integers(1, 4)))
    height, width = picture_YX3.shape[:2]
    rows = (np.arange(height) + int(rng.integers(turned.shape[0]))) % turned.shape[0]
    columns = (np.arange(width) + int(rng.integers(turned.shape[1]))) % turned.shape[1]
    return np.asarray(turned[rows][:, columns])
