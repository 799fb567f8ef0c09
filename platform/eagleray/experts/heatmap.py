"""Heat maps over pictures, in colours that mean the same for every picture of a class."""

from functools import cache

import numpy as np

from eagleray.arrays import Floats, Pixels

_FULL = 2.0
"""Multiple of the threshold that gets the strongest colour."""
_OPACITY = 0.6


def overlay(picture_YX3: Pixels, map_YX: Floats, *, limit: float) -> Pixels:
    """Lay an anomaly map over its picture: clear below the threshold, from there on ever hotter and more opaque.

    Args:
        picture_YX3: RGB.
        map_YX: anomaly map of the picture's size; higher is more anomalous.
        limit: the threshold of the picture's class; colours are scaled by it, never by the picture itself, so that a
            good picture stays quiet.
    """
    heat_YX = np.clip((map_YX / max(limit, 1e-12) - 0.5) / (_FULL - 0.5), 0, 1)
    colour_YX3 = _palette()[(heat_YX * 255).astype(np.uint8)]
    opacity_YX1 = _OPACITY * np.sqrt(heat_YX)[..., None]
    return np.asarray(picture_YX3 * (1 - opacity_YX1) + colour_YX3 * opacity_YX1, dtype=np.uint8)


@cache
def _palette() -> Pixels:
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.arange(256), bytes=True)[:, :3], dtype=np.uint8)
