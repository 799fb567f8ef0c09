"""The ten demo products, the defects each can have, and how one image of a product comes about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from eagleray.arrays import Bools, Pixels
from eagleray.data.synthetic.camera import photograph
from eagleray.data.synthetic.consumables import bottle_cap, capsule, cracker
from eagleray.data.synthetic.defects import Crack, Crumb, Dent, Fibre, Pit, Scratch, Stain, SurfaceDefect
from eagleray.data.synthetic.drawing import Flaw, Picture
from eagleray.data.synthetic.hardware import circuit_board, hex_nut, pin_header
from eagleray.data.synthetic.textures import brushed_metal, denim, terrazzo, wood

_VISIBLE = 0.03
"""Change of a colour, 0 to 1, from which a pixel counts as defective."""
_MIN_SHARE = 0.0005
"""Share of the image that a defect must change; smaller ones are drawn again, a few times."""
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Product:
    """A product: how it is drawn and, for each defect, what paints it (None: the drawing itself shows it)."""

    draw: Callable[[int, np.random.Generator, Flaw | None], Picture]
    defects: Mapping[str, SurfaceDefect | None]


_RUST, _GREASE, _WATER, _BURN = (0.75, 0.5, 0.3), (0.4, 0.36, 0.26), (0.7, 0.64, 0.58), (0.5, 0.36, 0.26)
_DARK, _PALE, _BLUE = (0.12, 0.1, 0.1), (0.85, 0.84, 0.8), (0.2, 0.3, 0.6)

PRODUCTS: Mapping[str, Product] = {
    "bottle_cap": Product(
        bottle_cap,
        {
            "dent": Dent(),
            "misprint": None,
            "scratch": Scratch((-0.4, -0.25)),
            "smeared_print": None,
        },
    ),
    "brushed_metal": Product(
        brushed_metal,
        {
            "corrosion": Stain(_RUST),
            "dent": Dent(),
            "gouge": None,
            "scratch": Scratch((0.18, 0.32)),
        },
    ),
    "capsule": Product(
        capsule,
        {
            "crack": Crack((0.6, 0.85)),
            "dent": Dent((0.25, 0.4)),
            "faulty_imprint": None,
            "open_joint": None,
            "speck": Crumb((_DARK,)),
        },
    ),
    "circuit_board": Product(
        circuit_board,
        {
            "broken_trace": None,
            "fibre": Fibre((_PALE, _DARK)),
            "missing_part": None,
            "solder_bridge": None,
            "twisted_part": None,
        },
    ),
    "cracker": Product(
        cracker,
        {"broken_edge": None, "burn": Stain(_BURN), "crack": Crack(), "hair": Fibre((_DARK,)), "missing_dimple": None},
    ),
    "denim": Product(
        denim,
        {
            "hole": Pit((0.1, 0.1, 0.12), (0.016, 0.026)),
            "missing_thread": None,
            "stain": Stain(_GREASE),
            "thread_pull": None,
        },
    ),
    "hex_nut": Product(
        hex_nut,
        {
            "chipped_edge": None,
            "damaged_thread": None,
            "rust": Stain(_RUST),
            "scratch": Scratch((0.18, 0.32)),
        },
    ),
    "pin_header": Product(
        pin_header,
        {"bent_pin": None, "crumb": Crumb((_PALE, _BLUE), (0.01, 0.017)), "misplaced_pin": None, "short_pin": None},
    ),
    "terrazzo": Product(
        terrazzo,
        {"crack": Crack(), "lost_chip": None, "pit": Pit((0.22, 0.21, 0.2), (0.014, 0.024)), "stain": Stain(_GREASE)},
    ),
    "wood": Product(
        wood,
        {
            "crack": Crack(),
            "scratch": Scratch((-0.32, -0.18)),
            "stain": Stain(_WATER),
            "tear_out": None,
        },
    ),
}
"""Every product by name, sorted."""


def render(name: str, size: int, seed: np.random.SeedSequence, defect: str | None = None) -> tuple[Pixels, Bools]:
    """Draw and photograph one image of the product of that name, see `render_product`."""
    return render_product(PRODUCTS[name], size, seed, defect)


def render_product(
    product: Product, size: int, seed: np.random.SeedSequence, defect: str | None = None
) -> tuple[Pixels, Bools]:
    """Draw and photograph one image of a product.

    Returns:
        The image (size, size, 3) and its mask (size, size). The same seed without a defect gives the same image
        but for the defective pixels; the mask is where the two drawings differ visibly, before light and noise.
    """
    scene, camera, flaw = seed.spawn(3)
    clean = product.draw(size, np.random.default_rng(scene), None)
    rgb, mask = clean.rgb, np.zeros((size, size), dtype=np.bool_)
    flaw_rng = np.random.default_rng(flaw)
    for _ in range(_TRIES):
        if defect is None:
            break
        paint = product.defects[defect]
        if paint is None:
            rgb = product.draw(size, np.random.default_rng(scene), Flaw(defect, flaw_rng)).rgb
        else:
            rgb = paint(clean, flaw_rng)
        mask = np.abs(np.clip(rgb, 0, 1) - np.clip(clean.rgb, 0, 1)).max(axis=2) > _VISIBLE
        if mask.mean() >= _MIN_SHARE:
            break
    return photograph(rgb, np.random.default_rng(camera)), _annotate(mask)


def _annotate(changed: Bools) -> Bools:
    """Turn changed pixels into a mask as a person would draw it: gaps closed, holes filled."""
    closed = ndimage.binary_closing(np.pad(changed, 2), iterations=2)[2:-2, 2:-2]
    return np.asarray(ndimage.binary_fill_holes(closed), dtype=np.bool_)
