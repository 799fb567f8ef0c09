"""What lies between a product and its file: light, lens and sensor; good images differ by these too."""

import numpy as np
from scipy import ndimage

from eagleray.arrays import Floats, Pixels


def photograph(rgb: Floats, rng: np.random.Generator) -> Pixels:
    """Take a picture (Y, X, 3) of colours 0 to 1: slanting light, colour cast, blur and sensor noise."""
    size = len(rgb)
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slant_x, slant_y = rng.normal(0, 0.05, 2).astype(np.float32)
    light = 1 + slant_x * axis[None, :] + slant_y * axis[:, None] - 0.06 * (axis[None, :] ** 2 + axis[:, None] ** 2)
    cast = rng.normal(1, 0.006, 3).astype(np.float32) * np.float32(rng.uniform(0.97, 1.03))
    blur = rng.uniform(0.0016, 0.002) * size
    seen = ndimage.gaussian_filter(rgb, (blur, blur, 0), truncate=3) * light[..., None] * cast
    noise = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(rng.uniform(0.004, 0.006))
    return np.asarray(np.clip(seen + noise, 0, 1) * 255 + 0.5, dtype=np.uint8)
