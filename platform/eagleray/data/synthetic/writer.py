"""Writes demo products to disk in the layout of MVTec AD."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eagleray.arrays import AnyArray
from eagleray.config import check_at_least
from eagleray.data.synthetic.products import PRODUCTS, render
from eagleray.errors import DataError, UnknownClass

_README = """# Generated demo data

These images were drawn by `eagleray.data.synthetic.write_products`, they are no photographs. They are for trying things
out and for tests: **never report a figure measured on them as a benchmark result.**

The layout is that of MVTec AD. The same parameters give the same bytes with the same version of the software:

```json
{parameters}
```
"""


def write_products(
    root: str | Path,
    *,
    seed: int = 0,
    num_train: int = 40,
    num_test_good: int = 12,
    num_test_defective: int = 18,
    image_size: int = 256,
    classes: Sequence[str] = (),
) -> None:
    """Generate demo data, never to be reported as a benchmark, in the layout of MVTec AD with pixel masks.

    Each image has a seed of its own, so fewer images or fewer classes are a part of more, byte for byte. Defective
    images take the product's defects in turn.

    Args:
        root: an empty or a new folder.
        seed: another seed, other images.
        num_train: good images to learn from, per class.
        num_test_good: good images to test on, per class.
        num_test_defective: defective images, per class, over all its defects.
        image_size: side of the square images in pixels.
        classes: names from `PRODUCTS`; all of them where empty.

    Raises:
        ConfigError: a number out of range.
        DataError: the folder is not empty or cannot be written to.
        UnknownClass: a name that is not in `PRODUCTS`.
    """
    counts = (num_train, num_test_good, num_test_defective)
    _check_numbers(seed, counts, image_size)
    names = tuple(classes) or tuple(PRODUCTS)
    for name in names:
        if name not in PRODUCTS:
            raise UnknownClass(name, tuple(PRODUCTS), "the demo data")
    folder = Path(root)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise DataError(str(folder), "is not empty; give a new folder for the demo data, or delete this one")
        folder.mkdir(parents=True, exist_ok=True)
        _write_readme(folder, seed, counts, image_size, names)
        for name in names:
            _write_class(folder / name, seed, counts, image_size)
    except OSError as error:
        problem = (
            f"cannot write the demo data ({error.strerror or error}); free disk space or choose another folder, and "
            f"delete what was written"
        )
        raise DataError(str(error.filename or folder), problem) from error


def _check_numbers(seed: int, counts: tuple[int, int, int], image_size: int) -> None:
    num_train, num_test_good, num_test_defective = counts
    check_at_least("seed", seed, 0)
    check_at_least("num_train", num_train, 1)
    check_at_least("num_test_good", num_test_good, 0)
    check_at_least("num_test_defective", num_test_defective, 0)
    check_at_least("image_size", image_size, 32)


def _write_readme(
    folder: Path, seed: int, counts: tuple[int, int, int], image_size: int, names: tuple[str, ...]
) -> None:
    num_train, num_test_good, num_test_defective = counts
    parameters = {
        "seed": seed,
        "num_train": num_train,
        "num_test_good": num_test_good,
        "num_test_defective": num_test_defective,
        "image_size": image_size,
        "classes": names,
    }
    text = _README.format(parameters=json.dumps(parameters, indent=2))
    (folder / "DEMO_DATA.md").write_text(text, encoding="utf-8")


def _write_class(folder: Path, seed: int, counts: tuple[int, int, int], size: int) -> None:
    """Write one product; the folder bears its name."""
    num_train, num_test_good, num_test_defective = counts
    for number in range(num_train):
        _write_good(folder / "train" / "good", folder.name, seed, "train", number, size)
    for number in range(num_test_good):
        _write_good(folder / "test" / "good", folder.name, seed, "test", number, size)
    for number in range(num_test_defective):
        _write_defective(folder, folder.name, seed, number, size)


def _seed(seed: int, name: str, part: str, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(f"{name}/{part}".encode()), number])


def _write_good(folder: Path, name: str, seed: int, part: str, number: int, size: int) -> None:
    pixels, _ = render(name, size, _seed(seed, name, part, number))
    _save(pixels, folder / f"{number:03d}.png")


def _write_defective(folder: Path, name: str, seed: int, number: int, size: int) -> None:
    defects = tuple(PRODUCTS[name].defects)
    defect, stem = defects[number % len(defects)], f"{number // len(defects):03d}"
    pixels, mask = render(name, size, _seed(seed, name, "defective", number), defect)
    _save(pixels, folder / "test" / defect / f"{stem}.png")
    _save(np.where(mask, np.uint8(255), np.uint8(0)), folder / "ground_truth" / defect / f"{stem}_mask.png")


def _save(image: AnyArray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)
