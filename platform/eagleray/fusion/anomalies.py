"""Made-up anomalies of colour and depth, with exact masks: what the networks of `eagleray.fusion` learn from.

Source: EasyNet (Chen et al. 2023), the anomaly generator of 3D-ADNAS, which blends a texture into the picture where
Perlin noise is above 0.5 and writes the noise's own value into the depth there, always in both and at the same place.
3D-ADNAS does not say more. This is our reading of it, and where it goes further:

- a third of the anomalies are in colour only, a third in depth only, the rest in both, as real ones are;
- beside textures, colour takes a jitter of the picture itself or a patch of another place of it; rims are soft or hard;
- depth takes a bump or a dent in the shape of the noise above its cut, of a height drawn log-uniformly in the unit of
  the product (noise as it is would be as high as the whole product), or loses its points;
- half of the regions are one blob, for noise seldom gives a small single one;
- an asked-for anomaly is always there and can be seen, and the mask holds what has changed, nothing else.

Shapes, beside the legend of eagleray.arrays: P points of a region, T textures.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from eagleray.arrays import AnyArray, Bools, Floats, Ints, Pixels
from eagleray.config import check_at_least, check_one_of, check_share
from eagleray.errors import ConfigError
from eagleray.fusion.perlin import Region, draw_blob, draw_perlin_region
from eagleray.fusion.textures import generate_textures, read_textures

_MOST_SCALE = 8  # 256 cells a side
_LARGEST_FAINTEST = 64.0  # grey levels; few draws change a picture by more
_TRIES = 8
_LEAST_SEEN = 0.5  # share of a region below which its colours are drawn again
_SQUARE = 4  # pixels
_BRIGHTER = 80.0  # grey levels
_SOFTEST, _HARDEST = 1.0, 0.1  # share of the profile over which an anomaly rises to its full strength


@dataclass(frozen=True, kw_only=True, slots=True)
class AnomalyConfig:
    """What anomalies are made up for training and validation."""

    share: float = 0.5
    """Of the pictures, those that get an anomaly."""
    modalities: Literal["color+depth", "color", "depth"] = "color+depth"
    """Where anomalies are: in colour, in depth or in both at once, a third each; or all in one of them."""
    perlin_scales: tuple[int, int] = (0, 5)
    """Perlin noise has 2 to the power of these cells a side, lowest and highest."""
    areas: tuple[float, float] = (0.001, 0.2)
    """Lowest and highest share of the picture that an anomaly covers; one of colour may be seen on half of that."""
    blobs: float = 0.5
    """Share of anomalies that are a single blob; the others are all that Perlin noise has above 0.5."""
    heights: tuple[float, float] = (0.05, 1.5)
    """Lowest and highest bump or dent, in deviations of the product's own heights."""
    holes: float = 0.2
    """Share of the anomalies in depth that are missing points."""
    opacity: tuple[float, float] = (0.2, 1.0)
    """Lowest and highest share of a texture in its mix with the picture; the papers' 1 - beta."""
    faintest: float = 6.0
    """Change of colour, in grey levels on average over a few pixels, below which nothing counts as changed."""
    textures: str | None = None
    """Folder of pictures that textures are taken from; without one they are drawn."""
    num_textures: int = 40
    """Textures drawn, or read at most."""
    texture_seed: int = 0
    """Draws the textures, or chooses among the user's."""

    def __post_init__(self) -> None:
        check_share("--anomalies.share", self.share)
        check_one_of("--anomalies.modalities", self.modalities, ("color+depth", "color", "depth"))
        _check_range("perlin-scales", self.perlin_scales, 0, _MOST_SCALE)
        _check_range("areas", self.areas, 1e-6, 1)
        check_share("--anomalies.blobs", self.blobs)
        _check_range("heights", self.heights, 1e-3, 1e3)
        check_share("--anomalies.holes", self.holes)
        _check_range("opacity", self.opacity, 0, 1)
        if not 0 < self.faintest <= _LARGEST_FAINTEST:
            raise ConfigError("--anomalies.faintest", f"above 0, at most {_LARGEST_FAINTEST:g}", self.faintest)
        check_at_least("--anomalies.num-textures", self.num_textures, 1)
        check_at_least("--anomalies.texture-seed", self.texture_seed, 0)


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A picture with an anomaly, or as it was."""

    color_YX3: Pixels
    height_YX: Floats
    valid_YX: Bools
    mask_YX: Bools
    """Where one of the three has changed; nowhere in a picture left as it was."""


class AnomalyGenerator:
    """Puts at most one anomaly into a picture; what it draws depends on the generator it is given only."""

    def __init__(self, config: AnomalyConfig, size: int, textures_TYX3: Pixels | None = None) -> None:
        """Args:
            config: what is made.
            size: sides of the pictures.
            textures_TYX3: textures of that size; None reads or draws those that the configuration asks for.

        Raises:
            DataError: the folder of textures is not there or holds no pictures.
            BadImage: a texture cannot be read.
        """
        self._config, self._size = config, size
        both = config.modalities == "color+depth"
        self._touched = ("color", "depth", "color+depth") if both else (config.modalities,)
        if textures_TYX3 is None and config.textures is not None:
            textures_TYX3 = read_textures(config.textures, size, config.num_textures, config.texture_seed)
        elif textures_TYX3 is None:
            textures_TYX3 = generate_textures(config.num_textures, size, config.texture_seed)
        self._textures_TP3 = textures_TYX3.reshape(len(textures_TYX3), size * size, 3)

    def corrupt(
        self,
        color_YX3: Pixels,
        height_YX: Floats,
        valid_YX: Bools,
        rng: np.random.Generator,
        where_YX: Bools | None = None,
    ) -> Corrupted:
        """Put an anomaly into the picture, or leave it as it is.

        Args:
            color_YX3: 0 to 255.
            height_YX: towards the camera, in deviations of the product's heights; 0 where there is no point.
            valid_YX: where there is a point. An anomaly lies there; without any the picture stays as it is.
            rng: draws whether, where and what.
            where_YX: points that an anomaly may touch, such as the product's; all valid ones by default.

        Returns:
            New arrays where something has changed, else the ones given. The points of a hole are no longer valid and
            their height is 0.
        """
        mask_YX = np.zeros(valid_YX.shape, np.bool_)  # in rows, whatever the order of what is given
        allowed_YX = valid_YX if where_YX is None else valid_YX & where_YX
        if rng.random() >= self._config.share or not allowed_YX.any():
            return Corrupted(color_YX3, height_YX, valid_YX, mask_YX)
        region = self._draw_region(allowed_YX, rng)
        changed_P = np.zeros(len(region.points_P), np.bool_)
        touched = self._touched[rng.integers(len(self._touched))]
        if "color" in touched:
            old_P3 = color_YX3.reshape(-1, 3)[region.points_P]
            new_P3 = self._paint(color_YX3, old_P3, region, rng)
            color_YX3 = _replaced(color_YX3, region.points_P, new_P3)
            changed_P |= (new_P3 != old_P3).any(1)
        if "depth" in touched:
            changed_P[:] = True
            if rng.random() < self._config.holes:
                height_YX = _replaced(height_YX, region.points_P, np.float32(0))
                valid_YX = _replaced(valid_YX, region.points_P, np.False_)
            else:
                height_P = height_YX.reshape(-1)[region.points_P] + self._draw_bump(region, rng)
                height_YX = _replaced(height_YX, region.points_P, height_P)
        mask_YX.reshape(-1)[region.points_P] = changed_P
        return Corrupted(color_YX3, height_YX, valid_YX, mask_YX)

    def _draw_region(self, valid_YX: Bools, rng: np.random.Generator) -> Region:
        if rng.random() < self._config.blobs:
            return draw_blob(rng, valid_YX, self._config.areas)
        return draw_perlin_region(rng, valid_YX, self._config.perlin_scales, self._config.areas)

    def _draw_bump(self, region: Region, rng: np.random.Generator) -> Floats:
        """Change of height at each point of the region: up for a bump, down for a dent."""
        lowest, highest = self._config.heights
        height = lowest * (highest / lowest) ** rng.random() * rng.choice((-1, 1))
        return np.float32(height) * _softened(region, rng.uniform(_HARDEST, _SOFTEST))

    def _paint(self, color_YX3: Pixels, old_P3: Pixels, region: Region, rng: np.random.Generator) -> Pixels:
        """Other colours for the region; where they could not be told from the old ones, the old ones."""
        before_P3 = old_P3.astype(np.float32)
        for _ in range(_TRIES):
            after_P3, strength = self._draw_colors(color_YX3, before_P3, region, rng)
            if rng.random() < 0.5:
                mix_P1 = strength * _softened(region, rng.uniform(_HARDEST, _SOFTEST))[:, None]
            else:
                mix_P1 = np.full((1, 1), strength, np.float32)
            mixed_P3 = np.rint(np.clip(before_P3 + mix_P1 * (after_P3 - before_P3), 0, 255))
            seen_P = self._seen(np.abs(mixed_P3 - before_P3).mean(1), region.points_P)
            if np.count_nonzero(seen_P) >= _LEAST_SEEN * len(seen_P):
                return np.where(seen_P[:, None], mixed_P3, before_P3).astype(np.uint8)
        return old_P3 ^ np.uint8(128)  # half the range away from any grey level

    def _draw_colors(
        self, color_YX3: Pixels, before_P3: Floats, region: Region, rng: np.random.Generator
    ) -> tuple[Floats, float]:
        """A jittered texture, the picture itself jittered or another place of it; and how much of it is mixed in."""
        kind = rng.integers(3)
        if kind == 0:
            return _jittered(before_P3, rng), 1.0
        elsewhere_P = self._elsewhere(region.points_P, rng)
        if kind == 1:
            return color_YX3.reshape(-1, 3)[elsewhere_P].astype(np.float32), 1.0
        texture_P3 = self._textures_TP3[rng.integers(len(self._textures_TP3))]
        return _jittered(texture_P3[elsewhere_P].astype(np.float32), rng), rng.uniform(*self._config.opacity)

    def _seen(self, change_P: Floats, points_P: Ints) -> Bools:
        """Points in squares of 4 x 4 pixels where the mean change is enough.

        Not each point on its own: where one texture lies on another, single pixels are alike by chance.
        """
        rows_P = points_P // self._size
        columns_P = points_P - rows_P * self._size
        square_P = rows_P // _SQUARE * self._size + columns_P // _SQUARE
        total = np.bincount(square_P, change_P)
        seen = total >= self._config.faintest * np.bincount(square_P)
        return np.asarray(seen[square_P])

    def _elsewhere(self, points_P: Ints, rng: np.random.Generator) -> Ints:
        """The same points after a random shift of the picture, which goes on at its other side, and mirroring."""
        rows_P = points_P // self._size
        columns_P = points_P - rows_P * self._size
        if rng.random() < 0.5:
            rows_P, columns_P = columns_P, rows_P
        (down, right), (turn_y, turn_x) = rng.integers(0, self._size, 2), rng.choice((-1, 1), 2)
        return np.asarray(
            (turn_y * rows_P + down) % self._size * self._size + (turn_x * columns_P + right) % self._size
        )


def _jittered(color_P3: Floats, rng: np.random.Generator) -> Floats:
    """Other brightness and contrast, half the time another hue, at random; may leave 0 to 255."""
    mean_3 = color_P3.mean(0)
    color_P3 = (color_P3 - mean_3) * np.float32(2 ** rng.uniform(-1, 1)) + mean_3
    if rng.random() < 0.5:  # turn colours about the axis of greys
        angle, grey_P1 = rng.uniform(-np.pi, np.pi), color_P3.mean(1, keepdims=True)
        across_P3 = (np.roll(color_P3, 1, 1) - np.roll(color_P3, -1, 1)) * np.float32(np.sin(angle) / np.sqrt(3))
        color_P3 = grey_P1 + np.float32(np.cos(angle)) * (color_P3 - grey_P1) + across_P3
    return np.asarray(color_P3 + np.float32(rng.uniform(-_BRIGHTER, _BRIGHTER)))


def _softened(region: Region, softness: float) -> Floats:
    """Strength in (0, 1] of an anomaly that is at full strength where the profile is at least `softness`."""
    return np.asarray(np.minimum(region.profile_P / np.float32(softness), np.float32(1)))


def _replaced(image: AnyArray, points_P: Ints, values: Any) -> AnyArray:
    """A copy with other values at these points of the flat picture."""
    copy = image.copy()
    copy.reshape(-1, *image.shape[2:])[points_P] = values
    return copy


def _check_range(name: str, bounds: tuple[float, float], low: float, high: float) -> None:
    if not low <= bounds[0] <= bounds[1] <= high:
        field = f"--anomalies.{name}"
        raise ConfigError(field, f"two numbers, lowest first, from {low:g} to {high:g}", bounds)
