"""Pictures that all contestants read: resized once, as PNG; and the masks that all are judged by."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from eagleray.arrays import Bools
from eagleray.data import Category
from eagleray.features import load_image, load_mask, resize


@dataclass(frozen=True, slots=True)
class Product:
    """One category, resized."""

    name: str
    train: list[str]
    test: list[str]
    labels: list[int]
    """1 is defective."""
    masks: list[str | None]
    """Of each test picture, of its size; none for good ones, and for defective ones nobody has masked."""

    def test_subset(self, most: int) -> list[int]:
        """Numbers of as many good as defective test pictures, the first of each, where there are enough."""
        halves = (most - most // 2, most // 2)
        kinds = [[i for i, found in enumerate(self.labels) if found == label] for label in (0, 1)]
        return sorted(i for numbers, half in zip(kinds, halves, strict=True) for i in numbers[:half])

    def load_masks(self) -> list[Bools | None]:
        return [None if path is None else load_mask(path) for path in self.masks]


def resized(category: Category, size: int, folder: Path) -> Product:
    """Write a category's pictures and masks at `size`; what an earlier run wrote is kept."""
    listed = folder / category.name / "product.json"
    if listed.exists():
        return Product(**json.loads(listed.read_text(encoding="utf-8")))
    masks: list[str | None] = []
    for number, sample in enumerate(category.test):
        path = folder / category.name / "mask" / f"{number:04d}.png"
        masks.append(_save_mask(load_mask(sample.mask), size, path) if sample.mask and sample.label else None)
    product = Product(
        category.name,
        _save_all([sample.path for sample in category.train], size, folder / category.name / "train"),
        _save_all([sample.path for sample in category.test], size, folder / category.name / "test"),
        [sample.label for sample in category.test],
        masks,
    )
    listed.write_text(json.dumps(asdict(product), indent=1) + "\n", encoding="utf-8")
    return product


def _save_all(paths: Sequence[str], size: int, folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, path in enumerate(paths):
        written.append(str(folder / f"{number:04d}.png"))
        Image.fromarray(resize(load_image(path), size)).save(written[-1], compress_level=1)
    return written


def _save_mask(mask_YX: Bools, size: int, path: Path) -> str:
    """The nearest pixel counts: a region does not grow, and stays the same whoever is judged by it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask_YX.astype(np.uint8) * 255)
    picture.resize((size, size), Image.Resampling.NEAREST).save(path)
    return str(path)
