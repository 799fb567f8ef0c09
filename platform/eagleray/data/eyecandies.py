"""Reader for the layout of Eyecandies.

    <root>/<Category>/train/data/<id>_image_0.png ... <id>_image_5.png   one scene in six lights
    <root>/<Category>/train/data/<id>_depth.png                          16-bit distances, scaled to 0 ... 65535
    <root>/<Category>/train/data/<id>_info_depth.yaml                    normalization: {min: ..., max: ...}, in metres
    <root>/<Category>/train/data/<id>_normals.png                        surface normals, not required
    <root>/<Category>/val/data/*                                         as train: good pictures to choose a network by
    <root>/<Category>/test_public/data/*                                 as train, with these two files more:
        <id>_metadata.yaml                                               anomalous: 0 or 1, and 0 or 1 for each kind
        <id>_mask.png                                                    mask, one or none

A root that itself holds train/data is one category, named after its folder. Without val/, a fifth of train is held out
(`hold_out`). train/ and val/ hold good pictures by definition, so their metadata are not read, nor are masks of good
pictures. test_private/ has no labels and is left alone. Of the lights, image_0 is all four spotlights, image_1 to
image_4 one of them each (bottom, right, top, left) and image_5 all of them with the light at the camera. Source:
Bonfiglioli et al. 2022 (Eyecandies), and the data set's page.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from eagleray.data.files import list_images
from eagleray.data.rgbd import RgbdCategory, RgbdSample, category_folders, has_category, hold_out
from eagleray.data.sample import GOOD, Sample
from eagleray.data.sizes import check_mask_size
from eagleray.errors import ConfigError, DataError

LIGHTS = tuple(f"image_{number}" for number in range(6))
_MARKER = "train/data"
_KINDS = ("bumps", "colors", "dents", "normals")


def is_eyecandies(root: str | Path) -> bool:
    """Whether `root`, or any folder in it, has a train/data folder."""
    return has_category(root, _MARKER)


def read_eyecandies(
    root: str | Path, categories: Sequence[str] = (), *, light: str = "image_5"
) -> tuple[RgbdCategory, ...]:
    """Read the chosen categories, in the given order, or all of them, sorted by name.

    A defective picture's `defect` is its kinds of anomaly joined by "+", such as "bumps+dents". Only metadata and the
    headers of masks and of their pictures are read; depth is checked when it is loaded (`load_depth`).

    Args:
        root: the folder above the categories, or one category's folder.
        categories: names; empty for all.
        light: which colour picture of a scene to take; the default, all lights, is that of the authors' own converter.

    Raises:
        ConfigError: no such light.
        DataError: no category; a category without good pictures to learn from or to validate on; a file missing;
            wrong metadata; a mask that is unreadable or has another size than its picture.
        UnknownClass: a name in `categories` that is not there.
    """
    if light not in LIGHTS:
        raise ConfigError("light", f"one of {', '.join(LIGHTS)}", light)
    folders = category_folders(root, categories, _MARKER)
    return tuple(_read_category(name, folder, light) for name, folder in folders.items())


def read_depth_range(path: str | Path) -> tuple[float, float]:
    """Read the distances, in metres, that 0 and 65535 of a depth picture stand for.

    Raises:
        DataError: the file is missing, is no such YAML file, or its max is not above its min.
    """
    path = Path(path)
    inner = _read_mapping(path, ("normalization",))["normalization"]
    limits = _check_keys(path, inner, ("min", "max"))
    nearest, farthest = limits["min"], limits["max"]
    for value in (nearest, farthest):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(str(path), f"min and max must be finite numbers, got {value!r}; restore the file")
    if farthest <= nearest:
        raise DataError(str(path), f"max ({farthest:g}) must be above min ({nearest:g}); restore the file")
    return float(nearest), float(farthest)


def _read_category(name: str, folder: Path, light: str) -> RgbdCategory:
    train = _read_part(folder / "train/data", name, "train", light)
    if not train:
        raise DataError(str(folder), f"has no picture to learn from; put <id>_{light}.png into {_MARKER}")
    if (folder / "val").is_dir():
        validation = _read_part(folder / "val/data", name, "validation", light)
        if not validation:
            raise DataError(
                str(folder / "val"),
                f"has no data/<id>_{light}.png; add some, or delete the folder to hold out a fifth of train",
            )
    else:
        train, validation = hold_out(folder, train)
    return RgbdCategory(name, train, validation, _read_part(folder / "test_public/data", name, "test", light))


def _read_part(
    folder: Path, category: str, split: Literal["train", "validation", "test"], light: str
) -> tuple[RgbdSample, ...]:
    names = [path.name for path in list_images(folder)]
    ends = (f"_{light}.png", "_depth.png")
    scenes = sorted({name.removesuffix(end) for name in names for end in ends if name.endswith(end)})
    return tuple(_read_scene(folder / scene, category, split, light) for scene in scenes)


def _read_scene(scene: Path, category: str, split: Literal["train", "validation", "test"], light: str) -> RgbdSample:
    color, depth, normals, mask = (Path(f"{scene}_{end}.png") for end in (light, "depth", "normals", "mask"))
    depth_range = Path(f"{scene}_info_depth.yaml")
    for path in (color, depth, depth_range):
        if not path.is_file():
            raise DataError(str(path), f"is missing; restore it or delete all files {scene.name}_* beside it")
    defect = _read_defect(Path(f"{scene}_metadata.yaml")) if split == "test" else GOOD
    has_mask = defect != GOOD and mask.is_file()
    if has_mask:
        check_mask_size(color, mask)
    return RgbdSample(
        Sample(str(color), category, split, int(defect != GOOD), defect, str(mask) if has_mask else None),
        depth=str(depth),
        depth_range=str(depth_range),
        normals=str(normals) if normals.is_file() else None,
    )


def _read_defect(path: Path) -> str:
    metadata = _read_mapping(path, ("anomalous",), _KINDS)
    for key, value in metadata.items():
        if not isinstance(value, int) or value not in (0, 1):
            raise DataError(str(path), f"{key} must be 0 or 1, got {value!r}; restore the file")
    kinds = [kind for kind in _KINDS if metadata.get(kind)]
    if kinds and not metadata["anomalous"]:
        raise DataError(str(path), f"anomalous is 0 but {kinds[0]} is 1; restore the file")
    return ("+".join(kinds) or "anomalous") if metadata["anomalous"] else GOOD


def _read_mapping(path: Path, required: tuple[str, ...], others: tuple[str, ...] = ()) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), f"cannot be read ({error.strerror}); restore the file") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(str(path), "is not valid YAML; restore the file") from error
    return _check_keys(path, content, required, others)


def _check_keys(path: Path, content: Any, required: tuple[str, ...], others: tuple[str, ...] = ()) -> dict[str, Any]:
    expected = ", ".join((*required, *others))
    if not isinstance(content, dict):
        raise DataError(str(path), f"must map {expected} to values, got {type(content).__name__}; restore the file")
    for key in required:
        if key not in content:
            raise DataError(str(path), f"has no key {key!r}; restore the file")
    for key in content:
        if key not in (*required, *others):
            raise DataError(str(path), f"unknown key {key!r}, expected {expected}; restore the file")
    return content
