"""Random fields and the light that falls on them; every field is square, (size, size), float32."""

import numpy as np
from PIL import Image

from eagleray.arrays import Floats

# Y, X  pixels


def value_noise(rng: np.random.Generator, size: int, rows: int, columns: int | None = None) -> Floats:
    """Smooth noise about 0: normal values on a grid of rows x columns, bicubic in between."""
    grid = rng.standard_normal((rows, columns or rows), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def fractal_noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 4) -> Floats:
    """Noise about 0 with detail at every scale: each octave is twice as fine and half as strong."""
    layers = [value_noise(rng, size, cells * 2**k) * 0.5**k for k in range(octaves)]
    return np.asarray(np.sum(layers, axis=0), dtype=np.float32)


def relief(height_YX: Floats, angle: float) -> Floats:
    """Brightness that slanting light gives a surface: its slope towards `angle` (radians).

    Heights are in image sides, so a slope of 1 rises as far as it runs, at any resolution.
    """
    slope_y, slope_x = np.gradient(height_YX * np.float32(height_YX.shape[0]))
    return np.asarray(np.cos(angle) * slope_x + np.sin(angle) * slope_y, dtype=np.float32)
