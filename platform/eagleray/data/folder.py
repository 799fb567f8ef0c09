"""Reader for plain folders of good images, and the rule that picks a reader."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from eagleray.data.files import choose, data_root, list_folders, list_images
from eagleray.data.mvtec_ad import is_mvtec_ad, read_mvtec_ad
from eagleray.data.sample import GOOD, Category, Sample
from eagleray.errors import DataError, EagleRayWarning
from eagleray.uris import Uri


def open_dataset(root: str | Path | Uri, categories: Sequence[str] = ()) -> tuple[Category, ...]:
    """Read a data set, choosing the reader by this rule.

    The MVTec AD layout where the root or any folder directly in it has a train/ folder (`read_mvtec_ad`), else
    folders of good images (`read_folder`).

    Raises:
        DataError: there is nothing usable, see the two readers.
        UnknownClass: a name in `categories` that is not there.
    """
    path = data_root(root)
    return read_mvtec_ad(path, categories) if is_mvtec_ad(path) else read_folder(path, categories)


def read_folder(root: str | Path | Uri, categories: Sequence[str] = ()) -> tuple[Category, ...]:
    """Read good images only: images directly in `root` are one category, else each folder of images is one.

    Raises:
        DataError: no image in `root` nor in a folder directly in it.
        UnknownClass: a name in `categories` that is not there.
    """
    path = data_root(root)
    images = {folder: list_images(folder) for folder in (path, *list_folders(path))}
    holders = {folder.name: folder for folder in images if images[folder] and folder != path}
    if images[path]:
        if holders:
            warnings.warn(
                f"{path}: it holds images, so the images in its folders ({', '.join(holders)}) are skipped",
                EagleRayWarning,
                stacklevel=2,
            )
        holders = {path.name: path}
    if not holders:
        raise DataError(str(path), "no image in it or in its folders; expected good images (png, jpg, bmp, tif, webp)")
    return tuple(
        Category(name, tuple(Sample(str(image), name, "train", 0, GOOD, None) for image in images[folder]), ())
        for name, folder in choose(holders, categories, path).items()
    )
