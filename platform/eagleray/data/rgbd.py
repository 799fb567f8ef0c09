"""Pictures with colour and depth, one product's pictures, and what the readers of such data sets share."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eagleray.arrays import Ints
from eagleray.data.files import choose, data_root, list_folders
from eagleray.data.sample import Sample
from eagleray.errors import ConfigError, DataError, EagleRayWarning

_HELD_OUT = 0.2  # share of the train pictures that serve for validation where a data set has none
_FEWEST_HELD_OUT = 2  # as many as a category needs at least, to learn from and to validate with
_SPLITS = ("train", "test", "test_public")


@dataclass(frozen=True, slots=True)
class RgbdSample:
    """One colour picture with its depth, pixel for pixel; nothing is decoded."""

    sample: Sample
    """The colour picture."""
    depth: str
    """Absolute path: a TIFF of x, y, z (MVTec 3D-AD), or a 16-bit PNG (Eyecandies)."""
    depth_range: str | None = None
    """Absolute path of the YAML file with the distances that a PNG's 0 and 65535 stand for; None for a TIFF."""
    normals: str | None = None
    """Absolute path of the picture of surface normals, None where there is none."""


@dataclass(frozen=True, slots=True)
class RgbdCategory:
    """One product: good pictures to learn from, other good ones to choose a network by, and pictures to test on."""

    name: str
    train: tuple[RgbdSample, ...]
    validation: tuple[RgbdSample, ...]
    """Good pictures only; those of the data set, or else see `hold_out`."""
    test: tuple[RgbdSample, ...]

    def few_shot(self, shots: int, seed: int) -> "RgbdCategory":
        """Keep `shots` random pictures of train, in their order; of one seed, fewer shots are a part of more.

        Raises:
            ConfigError: `shots` is below 1 or above the number of train pictures.
        """
        count = len(self.train)
        if not 1 <= shots <= count:
            raise ConfigError("--shots", f"from 1 to {count}, the train pictures of {self.name!r}", shots)
        return replace(self, train=tuple(self.train[row] for row in draw_few(count, shots, seed)))


def draw_few(count: int, shots: int, seed: int) -> Ints:
    """Numbers of `shots` of `count` pictures, rising; of one seed, fewer shots are a part of more."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:shots])


def category_folders(root: str | Path, categories: Sequence[str], marker: str) -> dict[str, Path]:
    """Folders of the chosen categories by name, in the given order, or all of them, sorted by name.

    Args:
        root: the folder above the categories, or one category's folder.
        categories: names; empty for all.
        marker: the folder in a category that tells it from other folders, such as train/good/rgb.

    Raises:
        DataError: no category.
        UnknownClass: a name in `categories` that is not there.
    """
    path = data_root(root)
    if (path / marker).is_dir():
        folders = {path.name: path}
    else:
        folders = {folder.name: folder for folder in list_folders(path) if _is_category(folder, marker)}
    if not folders:
        raise DataError(str(path), f"no category found; good pictures belong in <category>/{marker}")
    return choose(folders, categories, path)


def has_category(root: str | Path, marker: str) -> bool:
    """Whether `root`, or any folder in it, has the folder `marker`."""
    path = data_root(root)
    return any((folder / marker).is_dir() for folder in (path, *list_folders(path)))


def _is_category(folder: Path, marker: str) -> bool:
    if (folder / marker).is_dir():
        return True
    if any((folder / split).is_dir() for split in _SPLITS):
        warnings.warn(f"{folder}: skipped, it has no {marker}/", EagleRayWarning, stacklevel=4)
    return False


def hold_out(folder: Path, train: Sequence[RgbdSample]) -> tuple[tuple[RgbdSample, ...], tuple[RgbdSample, ...]]:
    """Part a category without a validation folder into train and validation, always in the same way.

    A fifth of the pictures, at least two, evenly spread because neighbours were often taken one after the other.

    Raises:
        DataError: there are fewer than four pictures.
    """
    if (missing := 2 * _FEWEST_HELD_OUT - len(train)) > 0:
        told = f"{len(train)} good train pictures and none for validation, at least {2 * _FEWEST_HELD_OUT} are needed"
        raise DataError(str(folder), f"{told}; add {missing} or more")
    count = max(_FEWEST_HELD_OUT, round(_HELD_OUT * len(train)))
    held = {int((number + 0.5) * len(train) / count) for number in range(count)}
    validation = (picture for row, picture in enumerate(train) if row in held)
    return (
        tuple(picture for row, picture in enumerate(train) if row not in held),
        tuple(replace(picture, sample=replace(picture.sample, split="validation")) for picture in validation),
    )
