"""Reader for the layout of MVTec AD, which most inspection data sets share.

    <root>/<category>/train/good/*                          good images, the only part that is required
    <root>/<category>/test/good/*                           good images held out
    <root>/<category>/test/<defect>/*                       defective images
    <root>/<category>/ground_truth/<defect>/<stem>_mask.*   masks, also called <stem>.*; any image has one or none

A root that itself holds train/ is one category, named after its folder. Masks under ground_truth/good are not
read: a good image has no defective pixel. Source: Bergmann et al. 2019 (MVTec AD), supplementary readme.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from eagleray.data.files import choose, data_root, list_folders, list_images
from eagleray.data.listing import Folder
from eagleray.data.sample import GOOD, Category, Sample
from eagleray.data.sizes import check_mask_size
from eagleray.errors import DataError, EagleRayWarning
from eagleray.uris import Uri, overlapped


def is_mvtec_ad(root: str | Path | Uri) -> bool:
    """Whether `root`, or any folder in it, has a train/ folder."""
    path = data_root(root)
    return any((folder / "train").is_dir() for folder in (path, *list_folders(path)))


def read_mvtec_ad(root: str | Path | Uri, categories: Sequence[str] = ()) -> tuple[Category, ...]:
    """Read the chosen categories, in the given order, or all of them, sorted by name.

    Only the headers of masks and of their images are read. Images with an unreadable header are listed all the
    same: whoever decodes them counts them.

    Raises:
        DataError: no category; a category without a good image; a mask that is unreadable, has no image or has
            another size than its image.
        UnknownClass: a name in `categories` that is not there.
    """
    path = data_root(root)
    if (path / "train").is_dir():
        folders = {path.name: path}
    else:
        folders = {folder.name: folder for folder in list_folders(path) if _is_category(folder)}
    if not folders:
        raise DataError(str(path), "no category found; good images belong in <category>/train/good")
    return tuple(read_category(name, folder) for name, folder in choose(folders, categories, path).items())


def _is_category(folder: Folder) -> bool:
    if (folder / "train").is_dir():
        return True
    if (folder / "test").is_dir():
        warnings.warn(f"{folder}: skipped, it has test/ but no train/", EagleRayWarning, stacklevel=3)
    return False


def read_category(name: str, folder: Folder, *, needs_train: bool = True) -> Category:
    """Read and check one category's folder.

    Raises:
        DataError: no good image to learn from, unless `needs_train` is false; a wrong mask, see `read_mvtec_ad`.
    """
    train = tuple(_sample(path, name, "train") for path in list_images(folder / "train" / GOOD))
    if needs_train and not train:
        raise DataError(str(folder), "has no good image; put good images into train/good")
    test: list[Sample] = []
    tested = list_folders(folder / "test")
    for defect in tested:
        images = list_images(defect)
        masks = {} if defect.name == GOOD else _masks(folder / "ground_truth" / defect.name, images)
        test += [_sample(path, name, "test", masks.get(path)) for path in images]
    for masked in list_folders(folder / "ground_truth"):
        if masked.name not in {GOOD, *(defect.name for defect in tested)}:
            _masks(masked, [])  # a whole folder of masks without images
    return Category(name, train, tuple(test))


def _sample(path: Folder, category: str, split: Literal["train", "test"], mask: Folder | None = None) -> Sample:
    defect = path.parent.name
    return Sample(str(path), category, split, int(defect != GOOD), defect, None if mask is None else str(mask))


def _masks(folder: Folder, images: Sequence[Folder]) -> dict[Folder, Folder]:
    """Find and check the mask of each image; <stem>_mask goes before <stem>."""
    stems = {path.stem for path in images}
    by_stem = {path.stem: path for path in list_images(folder)}
    for stem, mask in by_stem.items():
        if stem not in stems and stem.removesuffix("_mask") not in stems:
            expected = folder.parent.parent / "test" / folder.name / stem.removesuffix("_mask")
            raise DataError(str(mask), f"a mask without its image {expected}.*; restore the image or delete the mask")
    found = {path: by_stem.get(f"{path.stem}_mask", by_stem.get(path.stem)) for path in images}
    masks = {path: mask for path, mask in found.items() if mask is not None}
    list(overlapped(lambda path: check_mask_size(path, masks[path]), list(masks)))
    return masks
