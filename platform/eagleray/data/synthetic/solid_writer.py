"""Writes color and depth pictures of demo solids to disk, in the layout of MVTec 3D-AD or that of Eyecandies."""

import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from eagleray.config import check_at_least, check_one_of
from eagleray.data.synthetic.layout import Counts, check_numbers, choose_names, new_folder, write_readme
from eagleray.data.synthetic.solid_defects import Modality
from eagleray.data.synthetic.solid_files import save_eyecandies, save_mvtec_3d
from eagleray.data.synthetic.solid_render import Solid, daylight, shoot, six_lights
from eagleray.data.synthetic.solids import SOLIDS

SolidLayout: TypeAlias = Literal["mvtec_3d", "eyecandies"]
"""Layouts of data with depth."""

_MODALITIES: tuple[Modality, ...] = get_args(Modality)
_OFFICIAL = {"mvtec_3d": "MVTec 3D-AD", "eyecandies": "Eyecandies"}
_FOLDERS = {"train": "train", "validation": "val", "test": "test_public"}
_DIGITS = {"train": 3, "validation": 2, "test": 2}
"""How wide Eyecandies writes the numbers of its pictures, where that is enough."""


class _Picture(NamedTuple):
    """A picture to be made: it is number `number` of its split and defect, and that seeds it."""

    split: Literal["train", "validation", "test"]
    defect: str | None
    number: int

    def seed(self, seed: int, solid: str) -> np.random.SeedSequence:
        """What makes it unlike every other picture."""
        return np.random.SeedSequence([seed, zlib.crc32(f"{solid}/{self.split}/{self.defect}".encode()), self.number])


def write_solids(
    root: str | Path,
    *,
    seed: int = 0,
    num_train: int = 40,
    num_validation: int = 10,
    num_test_good: int = 24,
    num_test_defective: int = 24,
    image_size: int = 256,
    classes: Sequence[str] = (),
    layout: SolidLayout = "mvtec_3d",
) -> None:
    """Generate color and depth pictures of solids, never to be reported as a benchmark, with pixel masks.

    Each picture has a seed of its own, so fewer pictures or fewer classes are a part of more; in the layout of MVTec
    3D-AD, which has a folder for each defect, they have the same names too. They stay in a hidden folder in
    `root` until the last one is written.

    Args:
        root: an empty or a new folder.
        seed: another seed, other pictures.
        num_train: good pictures to learn from, per class.
        num_validation: good pictures to validate with, per class.
        num_test_good: good pictures to test on, per class.
        num_test_defective: defective pictures per class and modality: so many with defects that show in color only,
            as many in depth only and as many in both. The defects of a modality take turns.
        image_size: side of the square pictures in pixels.
        classes: names from `SOLIDS`; all of them where empty.
        layout: "mvtec_3d" has organised points with gaps, "eyecandies" six lights, gapless depth and normals.

    Raises:
        ConfigError: a number out of range, or an unknown layout.
        DataError: the folder is not empty or cannot be written to.
        UnknownClass: a name that is not in `SOLIDS`.
    """
    counts = Counts(num_train, num_test_good, num_test_defective)
    check_numbers(seed, counts, image_size)
    check_at_least("num_validation", num_validation, 0)
    check_one_of("layout", layout, get_args(SolidLayout))
    names = choose_names(classes, SOLIDS)
    parameters = {"seed": seed, **counts._asdict(), "num_validation": num_validation, "image_size": image_size}
    parameters |= {"classes": names, "layout": layout}
    write = _write_mvtec_3d if layout == "mvtec_3d" else _write_eyecandies
    with _finished(root) as folder:
        write_readme(folder, "write_solids", _described(names, layout), parameters)
        for name in names:
            write(folder / name, name, list(_pictures(SOLIDS[name], counts, num_validation)), seed, image_size)


@contextmanager
def _finished(root: str | Path) -> Iterator[Path]:
    """A folder to write in whose entries move to `root` when all is written; gone if anything goes wrong."""
    with new_folder(root) as folder, tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        yield Path(partial)
        for entry in sorted(Path(partial).iterdir()):
            entry.rename(folder / entry.name)


def _described(names: Sequence[str], layout: SolidLayout) -> str:
    lines = [f"The layout is that of {_OFFICIAL[layout]}; lengths are in metres. Defects, by what shows them:\n"]
    for name in names:
        groups = (f"{modality}: {', '.join(_defects(SOLIDS[name], modality))}" for modality in _MODALITIES)
        lines.append(f"- {name}: {'; '.join(groups)}")
    return "\n".join(lines) + "\n\n"


def _defects(solid: Solid, modality: Modality) -> tuple[str, ...]:
    return tuple(name for name, defect in solid.defects.items() if defect.shows == modality)


def _pictures(solid: Solid, counts: Counts, num_validation: int) -> Iterator[_Picture]:
    yield from (_Picture("train", None, number) for number in range(counts.num_train))
    yield from (_Picture("validation", None, number) for number in range(num_validation))
    yield from (_Picture("test", None, number) for number in range(counts.num_test_good))
    for modality in _MODALITIES:
        kinds = _defects(solid, modality)
        for number in range(counts.num_test_defective):
            yield _Picture("test", kinds[number % len(kinds)], number // len(kinds))


def _write_mvtec_3d(folder: Path, name: str, pictures: Sequence[_Picture], seed: int, size: int) -> None:
    for picture in pictures:
        shot = shoot(SOLIDS[name], size, picture.seed(seed, name), daylight, picture.defect)
        into = folder / picture.split / (picture.defect or "good")
        save_mvtec_3d(into, f"{picture.number:03d}", shot, truth=picture.split == "test")


def _write_eyecandies(folder: Path, name: str, pictures: Sequence[_Picture], seed: int, size: int) -> None:
    for split, group in groupby(pictures, lambda picture: picture.split):
        of_split = list(group)
        digits = max(_DIGITS[split], len(str(len(of_split) - 1)))
        for place, picture in enumerate(of_split):
            shot = shoot(SOLIDS[name], size, picture.seed(seed, name), six_lights, picture.defect)
            save_eyecandies(folder / _FOLDERS[split] / "data", f"{place:0{digits}d}", shot)
