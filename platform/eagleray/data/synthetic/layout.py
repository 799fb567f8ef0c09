"""What the generators share on disk: a new folder with its readme, and one product in the layout of MVTec AD."""

import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from eagleray.arrays import AnyArray
from eagleray.config import check_at_least
from eagleray.data.synthetic.products import Product, render_product
from eagleray.errors import DataError, UnknownClass

_README = """# Generated demo data

These images were drawn by `eagleray.data.synthetic.{function}`, they are no photographs. They are for trying things
out and for tests: **never report a figure measured on them as a benchmark result.**

{layout} The same parameters give the same bytes with the same version of the software:

```json
{parameters}
```
"""


class Counts(NamedTuple):
    """How many images of each kind a product gets."""

    num_train: int
    num_test_good: int
    num_test_defective: int


def check_numbers(seed: int, counts: Counts, image_size: int) -> None:
    """Raise ConfigError where a number is out of range."""
    check_at_least("seed", seed, 0)
    check_at_least("num_train", counts.num_train, 1)
    check_at_least("num_test_good", counts.num_test_good, 0)
    check_at_least("num_test_defective", counts.num_test_defective, 0)
    check_at_least("image_size", image_size, 32)


def choose_names(names: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """The given names, or all known ones where none is given; UnknownClass where one is not known."""
    for name in names:
        if name not in known:
            raise UnknownClass(name, tuple(known), "the demo data")
    return tuple(names) or tuple(known)


@contextmanager
def new_folder(root: str | Path) -> Iterator[Path]:
    """Make an empty folder to write in; DataError where it is not empty or what is done in it cannot be written."""
    folder = Path(root)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise DataError(str(folder), "is not empty; give a new folder for the demo data, or delete this one")
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        problem = (
            f"cannot write the demo data ({error.strerror or error}); free disk space or choose another folder, and "
            f"delete what was written"
        )
        raise DataError(str(error.filename or folder), problem) from error


def write_readme(folder: Path, function: str, layout: str, parameters: Mapping[str, object]) -> None:
    """Say in DEMO_DATA.md that the data are generated, by which function and with which parameters."""
    text = _README.format(function=function, layout=layout, parameters=json.dumps(parameters, indent=2))
    (folder / "DEMO_DATA.md").write_text(text, encoding="utf-8")


def write_product(folder: Path, name: str, product: Product, seed: int, counts: Counts, size: int) -> None:
    """Write one product into its own folder; `name` seeds its images and tells them from every other product's."""
    for number in range(counts.num_train):
        _write_good(folder / "train" / "good", product, _seed(seed, name, "train", number), number, size)
    for number in range(counts.num_test_good):
        _write_good(folder / "test" / "good", product, _seed(seed, name, "test", number), number, size)
    for number in range(counts.num_test_defective):
        _write_defective(folder, product, _seed(seed, name, "defective", number), number, size)


def _seed(seed: int, name: str, part: str, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(f"{name}/{part}".encode()), number])


def _write_good(folder: Path, product: Product, seed: np.random.SeedSequence, number: int, size: int) -> None:
    pixels, _ = render_product(product, size, seed)
    _save(pixels, folder / f"{number:03d}.png")


def _write_defective(folder: Path, product: Product, seed: np.random.SeedSequence, number: int, size: int) -> None:
    defects = tuple(product.defects)
    defect, stem = defects[number % len(defects)], f"{number // len(defects):03d}"
    pixels, mask = render_product(product, size, seed, defect)
    _save(pixels, folder / "test" / defect / f"{stem}.png")
    _save(np.where(mask, np.uint8(255), np.uint8(0)), folder / "ground_truth" / defect / f"{stem}_mask.png")


def _save(image: AnyArray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)
