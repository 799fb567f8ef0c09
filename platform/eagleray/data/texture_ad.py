"""Reader for categories with subclasses, some of which only appear in test, as in the Texture AD benchmark.

    <root>/<category>/<subclass>/train/good/*                          good images; a subclass without train/ is unseen
    <root>/<category>/<subclass>/test/good/*                           good images held out
    <root>/<category>/<subclass>/test/<defect>/*                       defective images
    <root>/<category>/<subclass>/ground_truth/<defect>/<stem>_mask.*   masks

So each category is a data set in the layout of MVTec AD, and each subclass one of its categories. Source: Lei et al.
2024 (Adapted-MoE), "Datasets and Metrics".
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from eagleray.data.files import choose, data_root, list_folders
from eagleray.data.listing import Folder
from eagleray.data.mvtec_ad import read_category
from eagleray.data.sample import SubclassedCategory
from eagleray.errors import DataError, EagleRayWarning
from eagleray.uris import Uri


def is_texture_ad(root: str | Path | Uri) -> bool:
    """Whether some folder two levels below `root` has train/ or test/ while the folder above it has neither."""
    categories = [folder for folder in list_folders(data_root(root)) if not _is_subclass(folder)]
    return any(_is_subclass(folder) for category in categories for folder in list_folders(category))


def read_texture_ad(root: str | Path | Uri, categories: Sequence[str] = ()) -> tuple[SubclassedCategory, ...]:
    """Read the chosen categories, in the given order, or all of them; subclasses are sorted by name.

    `root` must be the folder above the categories. One category alone, with its subclasses directly in `root`, is
    refused: where all of them have train/ it cannot be told from a root in the layout of MVTec AD.

    A sample's `category` is the name of its subclass. Images are not decoded, see `read_mvtec_ad`.

    Raises:
        DataError: no category; a category without a subclass, or with none to learn from; a subclass whose train/ has
            no good image; a wrong mask, see `read_mvtec_ad`.
        UnknownClass: a name in `categories` that is not there.
    """
    path = data_root(root)
    folders = {folder.name: folder for folder in list_folders(path)}
    if not folders:
        raise DataError(str(path), "no category found; good images belong in <category>/<subclass>/train/good")
    return tuple(_read_subclasses(name, folder) for name, folder in choose(folders, categories, path).items())


def _is_subclass(folder: Folder) -> bool:
    return (folder / "train").is_dir() or (folder / "test").is_dir()


def _read_subclasses(name: str, folder: Folder) -> SubclassedCategory:
    if _is_subclass(folder):
        raise DataError(str(folder), "is a subclass, not a category; give the folder above its category")
    found = list_folders(folder)
    subclasses = [inner for inner in found if _is_subclass(inner)]
    if not subclasses:
        raise DataError(str(folder), "has no subclass; put good images into <subclass>/train/good")
    for inner in found:
        if inner not in subclasses:
            warnings.warn(f"{inner}: skipped, it has neither train/ nor test/", EagleRayWarning, stacklevel=3)
    category = SubclassedCategory(
        name,
        tuple(read_category(inner.name, inner, needs_train=(inner / "train").is_dir()) for inner in subclasses),
    )
    if not category.seen:
        raise DataError(str(folder), "has no subclass to learn from; put good images into <subclass>/train/good")
    return category
