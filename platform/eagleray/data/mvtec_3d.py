"""Reader for the layout of MVTec 3D-AD.

    <root>/<category>/train/good/rgb/<stem>.png         good pictures
    <root>/<category>/train/good/xyz/<stem>.tiff        their points: x, y and z of each pixel
    <root>/<category>/validation/good/{rgb,xyz}/*       good pictures to choose a network by
    <root>/<category>/test/good/{rgb,xyz}/*             good pictures held out
    <root>/<category>/test/<defect>/{rgb,xyz,gt}/*      defective pictures; any has one mask gt/<stem>.png or none

A root that itself holds train/good/rgb is one category, named after its folder. Without a validation folder, a fifth
of train is held out (`hold_out`). Masks under test/good/gt are not read: a good picture has no defective pixel. Folders
of other names (such as calibration/) are left alone. Source: Bergmann et al. 2022 (MVTec 3D-AD).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from eagleray.data.files import list_folders, list_images
from eagleray.data.rgbd import RgbdCategory, RgbdSample, category_folders, has_category, hold_out
from eagleray.data.sample import GOOD, Sample
from eagleray.data.sizes import check_mask_size
from eagleray.errors import DataError

_MARKER = "train/good/rgb"
_TIFF = (".tif", ".tiff")


def is_mvtec_3d(root: str | Path) -> bool:
    """Whether `root`, or any folder in it, has a train/good/rgb folder."""
    return has_category(root, _MARKER)


def read_mvtec_3d(root: str | Path, categories: Sequence[str] = ()) -> tuple[RgbdCategory, ...]:
    """Read the chosen categories, in the given order, or all of them, sorted by name.

    Only the headers of masks and of their pictures are read; points are checked when they are loaded (`load_depth`).

    Raises:
        DataError: no category; a category without good pictures to learn from or to validate on; a colour picture
            without its points, or points or a mask without their colour picture; a mask that is unreadable or has
            another size than its picture.
        UnknownClass: a name in `categories` that is not there.
    """
    return tuple(_read_category(*item) for item in category_folders(root, categories, _MARKER).items())


def _read_category(name: str, folder: Path) -> RgbdCategory:
    train = _read_part(folder / "train" / GOOD, name, "train")
    if not train:
        raise DataError(str(folder), f"has no good picture; put good pictures into {_MARKER}")
    if (folder / "validation").is_dir():
        validation = _read_part(folder / "validation" / GOOD, name, "validation")
        if not validation:
            raise DataError(
                str(folder / "validation"),
                "has no picture in good/rgb; add some, or delete the folder to hold out a fifth of train",
            )
    else:
        train, validation = hold_out(folder, train)
    tested = (_read_part(part, name, "test") for part in list_folders(folder / "test"))
    return RgbdCategory(name, train, validation, tuple(picture for part in tested for picture in part))


def _read_part(folder: Path, category: str, split: Literal["train", "validation", "test"]) -> tuple[RgbdSample, ...]:
    """Pictures of one split and one defect, each with its points and, if it is defective, its mask."""
    defect = folder.name
    colors, points = _by_stem(folder / "rgb"), _by_stem(folder / "xyz", _TIFF)
    masks = {} if defect == GOOD else _by_stem(folder / "gt")
    for stem, color in colors.items():
        if stem not in points:
            missing = folder / "xyz" / f"{stem}.tiff"
            raise DataError(str(color), f"a colour picture without its points {missing}; restore or delete one")
    for kind, paths in (("points", points), ("a mask", masks)):
        for stem, path in paths.items():
            if stem not in colors:
                missing = folder / "rgb" / f"{stem}.png"
                raise DataError(str(path), f"{kind} without the colour picture {missing}; restore or delete one")
    for stem, mask in masks.items():
        check_mask_size(colors[stem], mask)
    return tuple(
        RgbdSample(
            Sample(
                str(color),
                category,
                split,
                int(defect != GOOD),
                defect,
                str(masks[stem]) if stem in masks else None,
            ),
            depth=str(points[stem]),
        )
        for stem, color in colors.items()
    )


def _by_stem(folder: Path, extensions: tuple[str, ...] = ()) -> dict[str, Path]:
    """Pictures of a folder by their names without extension; of the given extensions only, if there are any."""
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if extensions and path.suffix.lower() not in extensions:
            continue
        if path.stem in found:
            raise DataError(str(path), f"has the same name as {found[path.stem].name} beside it; delete one of the two")
        found[path.stem] = path
    return found
