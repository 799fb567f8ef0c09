"""Features of any number of products that lie to each other as the default embedder's do; no picture behind them.

What they were measured on: 19 products (nine of real photographs, ten generated), 384 px. Two products' mean embeddings
lie 1.47 apart (median), and their differences fall off over directions as 1/i does: as many count as if 25 counted
alike. A picture lies about 0.17 from its product's mean, a patch 1.2 from its picture's. Beside that, products come in
families, whose members lie a tenth to a half as far apart as two families do: some are all but twins.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eagleray.arrays import Floats
from eagleray.features import FeaturesConfig

DIM = 472
APART, WITHIN, PATCHES = 1.47, 0.17, 1.2
"""Distances of two products, of a picture from its product and of a patch from its picture."""
ORIGIN = 0.69
"""Length of the mean embedding of all products."""
ALIKE = (0.1, 0.5)
"""How far members of a family lie apart, as a share of `APART`."""
_PATCH_DIRECTIONS = 96
UNTAUGHT = 60_000
"""Products from this number on have no family among those before."""


class ProductRange:
    """Products by their number, pictures of each by theirs; all drawn from the seed and the two numbers."""

    def __init__(self, seed: int, family: int) -> None:
        self._seed, self._family = seed, family
        rng = np.random.default_rng([seed, 0])
        self._turn_DD = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
        self._origin_D = ORIGIN * rng.standard_normal(DIM) / DIM**0.5
        self._product = lru_cache(8)(self._draw_product)

    def centre(self, product: int) -> Floats:
        """Mean embedding (D,) of a product."""
        family_rng = np.random.default_rng([self._seed, 1, product // self._family])
        own_rng = np.random.default_rng([self._seed, 2, product])
        share = own_rng.uniform(*ALIKE)
        family_D, own_D = self._decaying(family_rng), self._decaying(own_rng)
        drawn_D = self._origin_D + APART / 2**0.5 * ((1 - share**2) ** 0.5 * family_D + share * own_D)
        centre_D: Floats = drawn_D.astype(np.float32)
        return centre_D

    def picture(self, product: int, number: int, grid: int) -> Floats:
        """Patches (H, W, D) of a picture; its mean embedding does not depend on the size of the grid."""
        centre_D, directions_JD = self._product(product)
        rng = np.random.default_rng([self._seed, 4, product, number])
        mean_D = centre_D + (WITHIN * self._decaying(rng)).astype(np.float32)
        patches_PD = rng.standard_normal((grid * grid, _PATCH_DIRECTIONS), np.float32) @ directions_JD
        patches_PD += mean_D - patches_PD.mean(axis=0)
        return patches_PD.reshape(grid, grid, DIM)

    def _draw_product(self, product: int) -> tuple[Floats, Floats]:
        """Mean embedding, and the directions in which the product's patches vary."""
        rng = np.random.default_rng([self._seed, 3, product])
        directions_JD = rng.standard_normal((_PATCH_DIRECTIONS, DIM)) / DIM**0.5
        directions_JD *= PATCHES * _shares(_PATCH_DIRECTIONS)[:, None]
        return self.centre(product), directions_JD.astype(np.float32)

    def _decaying(self, rng: np.random.Generator) -> Any:
        """A vector of length one on average, most of it in few directions."""
        return (rng.standard_normal(DIM) * _shares(DIM)) @ self._turn_DD


def _shares(number: int) -> Any:
    """Deviations by direction whose squares fall off as 1/i and sum to 1."""
    shares_J = np.arange(1, number + 1) ** -0.5
    return shares_J / np.linalg.norm(shares_J)


@dataclass(frozen=True)
class SyntheticExtractor:
    """Opens a range of products where a pool expects a backbone."""

    products: ProductRange
    grid: int
    config: FeaturesConfig = field(default_factory=lambda: FeaturesConfig(image_size=32))

    def open(self, *, device: str = "cpu") -> "SyntheticEmbedder":
        """The embedder; it computes on the CPU."""
        return SyntheticEmbedder(self.products, self.grid)


@dataclass(frozen=True)
class SyntheticEmbedder:
    """Patches that follow from a picture's colour: red and green number its product, blue the picture."""

    products: ProductRange
    grid: int

    def embed(self, image_YX3: Any) -> Floats:
        """Patches (H, W, D)."""
        red, green, blue = (int(value) for value in image_YX3[0, 0])
        return self.products.picture(256 * red + green, blue, self.grid)


def write_picture(path: Path, product: int, number: int) -> Path:
    """A picture of a single colour, which `SyntheticEmbedder` reads the product and the picture's number from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (product // 256, product % 256, number)).save(path)
    return path
