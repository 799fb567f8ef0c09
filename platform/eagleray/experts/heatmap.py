"""Heat maps over pictures, in colours that mean the same for every picture of a class."""

from functools import cache

import numpy as np
from scipy import ndimage

from eagleray.arrays import Bools, Floats, Pixels

_FAINT, _FULL = 0.9, 1.4
"""Multiples of the limit at which colour begins and at which it is strongest: beyond, no product looks worse."""
_OPACITY = 0.55
"""Of all but the faintest colours; what is under them must stay visible, for it is the defect."""
_LINE, _HALO = (190, 0, 30), (255, 255, 255)
_LINE_SHARE = 1 / 256
"""Width of the line and of its halo, as a share of the picture's longer side."""


def overlay(picture_YX3: Pixels, map_YX: Floats, *, limit: float) -> Pixels:
    """Lay an anomaly map over its picture: yellow to red, with a line round what lies above the limit.

    Args:
        picture_YX3: RGB.
        map_YX: anomaly map of the picture's size; higher is more anomalous.
        limit: patch score from which on a patch of this class is worth a look. Colours are scaled by it, never by the
            picture itself, so that a good picture stays as it is and the same colour means the same everywhere.
    """
    ratio_YX = map_YX.astype(np.float32) / np.float32(max(limit, 1e-12))
    heat_YX = np.clip((ratio_YX - _FAINT) / (_FULL - _FAINT), 0, 1)
    opacity_YX1 = _OPACITY * np.minimum(3 * heat_YX, 1)[..., None]
    colour_YX3 = _palette()[(heat_YX * 255).astype(np.uint8)]
    blended_YX3: Pixels = (picture_YX3 + opacity_YX1 * (colour_YX3 - picture_YX3.astype(np.float32))).astype(np.uint8)
    _outline(blended_YX3, ratio_YX > 1)
    return blended_YX3


def _outline(picture_YX3: Pixels, inside_YX: Bools) -> None:
    """Draw a line along the inner edge of a region and a halo along its outer one, which show on any ground."""
    size = 2 * max(1, round(max(inside_YX.shape) * _LINE_SHARE)) + 1
    picture_YX3[ndimage.maximum_filter(inside_YX, size) & ~inside_YX] = _HALO
    picture_YX3[inside_YX & ~ndimage.minimum_filter(inside_YX, size)] = _LINE


@cache
def _palette() -> Pixels:
    from matplotlib import colormaps

    # The palest and the darkest end are left out: one is lost on white products, the other hides the defect.
    return np.asarray(colormaps["YlOrRd"](np.linspace(0.15, 0.85, 256), bytes=True)[:, :3], dtype=np.uint8)
