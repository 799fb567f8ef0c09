"""The lamp over a surface: its brightness, its colour and the side it shines from."""

from dataclasses import dataclass

import numpy as np

from eagleray.arrays import Floats
from eagleray.data.synthetic.drawing import Colour
from eagleray.data.synthetic.noise import relief

# Y, X  pixels


@dataclass(frozen=True, slots=True)
class Light:
    """A lamp."""

    exposure: float = 1.0
    """Factor on all brightness."""
    cast: Colour = (1.0, 1.0, 1.0)
    """Colour of white under this lamp."""
    angle: float = 45.0
    """Degrees, clockwise from x: the direction in which rising slopes, and that side of the picture, are brighter."""
    fall: float = 0.1
    """How much brighter one side of the picture is than the other, as a share."""

    def relief(self, height_YX: Floats) -> Floats:
        """Brightness that this light gives to a surface's slopes, see `noise.relief`."""
        return relief(height_YX, float(np.deg2rad(self.angle)))

    def shine(self, rgb: Floats) -> Floats:
        """Colours (Y, X, 3) under this light."""
        axis = np.linspace(-0.5, 0.5, len(rgb), dtype=np.float32)
        turn = np.deg2rad(self.angle)
        side = np.float32(np.cos(turn)) * axis[None, :] + np.float32(np.sin(turn)) * axis[:, None]
        white = np.asarray(self.cast, dtype=np.float32) * np.float32(self.exposure)
        return np.asarray(rgb * (1 + np.float32(self.fall) * side)[..., None] * white, dtype=np.float32)


DAYLIGHT = Light()
"""White light from one corner."""
