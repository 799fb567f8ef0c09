"""A category's pictures in memory, at the size and in the scale of a model."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from eagleray.data import RgbdCategory, RgbdSample
from eagleray.errors import BadImage, DataError, TooFewImages
from eagleray.fusion.images import RgbdImages, height_scale, heights
from eagleray.fusion.pictures import RgbdPicture, load_rgbd
from eagleray.storage import Skipped

_MAX_BAD_SHARE = 0.05
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class CategoryPictures:
    """One product."""

    name: str
    train: RgbdImages
    trains: tuple[RgbdSample, ...]
    """What `train` shows, in order."""
    validation: RgbdImages
    """Good pictures that no network learns from."""
    test: RgbdImages
    tests: tuple[RgbdSample, ...]
    """What `test` shows, in order."""
    skipped: tuple[Skipped, ...]
    """Files that could not be read."""


def load_category(
    category: RgbdCategory, size: int, *, plane_removal: bool, advance: Callable[[int], None]
) -> CategoryPictures:
    """Read a product's pictures, heights in the unit of their files; unreadable ones are left out and told.

    Raises:
        DataError: more than a twentieth cannot be read; it names the first of them.
        TooFewImages: fewer than two are left to learn from, or to validate with.
    """
    samples = (*category.train, *category.validation, *category.test)
    skipped: list[Skipped] = []

    def load(sample: RgbdSample) -> tuple[RgbdSample, RgbdImages | Skipped]:
        try:
            picture = load_rgbd(sample, size, plane_removal=plane_removal)
        except BadImage as error:
            found: RgbdImages | Skipped = Skipped(path=error.args[0], reason=error.args[1])
        else:
            found = as_images(picture)
        advance(1)
        return sample, found

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        loaded = list(threads.map(load, samples))
    skipped = [found for _, found in loaded if isinstance(found, Skipped)]
    if len(skipped) > _MAX_BAD_SHARE * len(samples):
        others = f"{skipped[0].reason} ({len(skipped)} of {len(samples)} pictures of {category.name!r} are unreadable)"
        raise DataError(skipped[0].path, others)
    parts: dict[str, list[tuple[RgbdSample, RgbdImages]]] = {"train": [], "validation": [], "test": []}
    for sample, found in loaded:
        if not isinstance(found, Skipped):
            parts[sample.sample.split].append((sample, found))
    for part in ("train", "validation"):
        if len(parts[part]) < _FEWEST:
            raise TooFewImages(category.name, len(parts[part]), _FEWEST, f"its {part} folder")
    train, validation, test = (_joined([images for _, images in found], size) for found in parts.values())
    return CategoryPictures(
        category.name,
        train,
        trains=tuple(sample for sample, _ in parts["train"]),
        validation=validation,
        test=test,
        tests=tuple(sample for sample, _ in parts["test"]),
        skipped=tuple(skipped),
    )


def as_images(picture: RgbdPicture) -> RgbdImages:
    """One picture as a set, heights in the unit of its file."""
    height_YX = heights(picture.depth_YX, picture.valid_YX)
    return RgbdImages(picture.color_YX3[None], height_YX[None], picture.valid_YX[None], picture.product_YX[None])


def _joined(parts: Sequence[RgbdImages], size: int) -> RgbdImages:
    if parts:
        return RgbdImages.joined(parts)
    shape = (0, size, size)
    none_NYX = np.zeros(shape, np.bool_)
    return RgbdImages(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.float32), none_NYX, none_NYX)


def common_scale(categories: Sequence[CategoryPictures]) -> float:
    """What all heights are divided by: the root of the categories' mean variance, of pictures to learn from."""
    return float(np.sqrt(np.mean([height_scale(category.train) ** 2 for category in categories])))
