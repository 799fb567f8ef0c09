"""The depth camera: distances with noise, a table that is never quite level, and points it cannot measure."""

from dataclasses import dataclass

import numpy as np

from eagleray.arrays import Bools, Floats
from eagleray.data.synthetic.noise import value_noise
from eagleray.data.synthetic.solid_light import hidden, slopes

# Y, X  pixels

SIDE_M = 0.1
"""Side of the picture on the table, in metres."""
DISTANCE_M = 0.5
"""From the camera to the table, in metres."""
DEPTH_NOISE = 0.0005
"""Standard deviation of a level surface's measured height, in picture sides: 0.05 mm."""

_TILT = 0.004
_PROJECTOR_ELEVATION = 68.0
_STEEP = 3.0


@dataclass(frozen=True, slots=True)
class Depth:
    """What the depth camera saw."""

    distance: Floats
    """(Y, X), in metres along the camera's axis, also where `valid` is false."""
    valid: Bools
    """(Y, X): false where a real camera gives no measurement."""

    def points(self) -> Floats:
        """Organised points (Y, X, 3) in metres: x to the right, y down, z away from the camera; 0, 0, 0 if invalid."""
        size = len(self.distance)
        ray = ((np.arange(size) + 0.5) / size - 0.5) * (SIDE_M / DISTANCE_M)
        xyz = np.stack([ray[None, :] * self.distance, ray[:, None] * self.distance, self.distance], axis=2)
        return np.asarray(xyz * self.valid[..., None], dtype=np.float32)


def measure(height: Floats, rng: np.random.Generator) -> Depth:
    """Measure a height field (picture sides above the table); steep slopes are noisier and often not seen at all.

    The random numbers drawn do not depend on the heights, so that an undamaged solid gets the same noise.
    """
    size = len(height)
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    tilt_x, tilt_y = rng.uniform(-_TILT, _TILT, 2).astype(np.float32)
    lift = np.float32(rng.normal(0, 0.002))
    slope = np.hypot(*slopes(height))
    noise = DEPTH_NOISE * rng.standard_normal(height.shape, dtype=np.float32) * (1 + 0.5 * np.minimum(slope, 4))
    luck = rng.uniform(size=height.shape).astype(np.float32)
    blind = value_noise(rng, size, size // 2) > 3.1
    level = height + tilt_x * axis[None, :] + tilt_y * axis[:, None] + lift + noise
    unseen = (hidden(height, 0.0, _PROJECTOR_ELEVATION, 0.2) > 0.5) | ((slope > _STEEP) & (luck < 0.6)) | blind
    return Depth(np.asarray(DISTANCE_M - SIDE_M * level, dtype=np.float32), ~unseen)
