"""The three demo categories of surfaces, with subclasses to learn from and subclasses that only appear in test."""

from collections.abc import Mapping
from dataclasses import dataclass

from eagleray.data.synthetic.cloth import CLOTHS, UNSEEN_CLOTHS, cloth_product
from eagleray.data.synthetic.metal import METALS, UNSEEN_METALS, metal_product
from eagleray.data.synthetic.products import Product
from eagleray.data.synthetic.wafer import UNSEEN_WAFERS, WAFERS, wafer_product


@dataclass(frozen=True, slots=True)
class Texture:
    """A category: subclasses by name, sorted."""

    seen: Mapping[str, Product]
    """They have good images to learn from."""
    unseen: Mapping[str, Product]
    """They have test images only."""


TEXTURES: Mapping[str, Texture] = {
    "cloth": Texture(
        seen={name: cloth_product(cloth) for name, cloth in CLOTHS.items()},
        unseen={name: cloth_product(cloth) for name, cloth in UNSEEN_CLOTHS.items()},
    ),
    "metal": Texture(
        seen={name: metal_product(metal) for name, metal in METALS.items()},
        unseen={name: metal_product(metal) for name, metal in UNSEEN_METALS.items()},
    ),
    "wafer": Texture(
        seen={name: wafer_product(wafer) for name, wafer in WAFERS.items()},
        unseen={name: wafer_product(wafer) for name, wafer in UNSEEN_WAFERS.items()},
    ),
}
"""Every category by name, sorted."""
