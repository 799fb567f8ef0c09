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
from eagleray.data.source import NamedBytes, Source, name_of, open_source
from eagleray.errors import ConfigError, DataError

LIGHTS = tuple(f"image_{number}" for number in range(6))
_MARKER = "train/data"
_KINDS = ("bumps", "colors", "dents", "normals")
_MOST_BYTES = 4096
"""Of a stranger's YAML file: reading one takes time with its length, and these have three lines."""


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


def read_depth_range(source: str | Path | NamedBytes) -> tuple[float, float]:
    """Read the distances, in metres, that 0 and 65535 of a depth picture stand for.

    Raises:
        DataError: the file is missing, is no such YAML file, or its max is not above its min.
    """
    source = source if isinstance(source, NamedBytes) else str(source)
    inner = _read_mapping(source, ("normalization",))["normalization"]
    limits = _check_keys(source, inner, ("min", "max"))
    nearest, farthest = limits["min"], limits["max"]
    for value in (nearest, farthest):
        if not _is_finite(value):
            raise _damaged(source, f"min and max must be finite numbers, got {_shown(value)}")
    if farthest <= nearest:
        raise _damaged(source, f"max ({farthest:g}) must be above min ({nearest:g})")
    return float(nearest), float(farthest)


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


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
    metadata = _read_mapping(str(path), ("anomalous",), _KINDS)
    for key, value in metadata.items():
        if not isinstance(value, int) or value not in (0, 1):
            raise _damaged(str(path), f"{key} must be 0 or 1, got {_shown(value)}")
    kinds = [kind for kind in _KINDS if metadata.get(kind)]
    if kinds and not metadata["anomalous"]:
        raise _damaged(str(path), f"anomalous is 0 but {kinds[0]} is 1")
    return ("+".join(kinds) or "anomalous") if metadata["anomalous"] else GOOD


def _read_mapping(source: Source, required: tuple[str, ...], others: tuple[str, ...] = ()) -> dict[str, Any]:
    if isinstance(source, NamedBytes) and len(source.data) > _MOST_BYTES:
        raise _damaged(source, f"has {len(source.data):,} bytes, and a few lines are expected")
    try:
        with open_source(source) as stream:
            text = stream.read().decode()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("an alias")  # a few of them can stand for gigabytes
        content = yaml.safe_load(text)
    except OSError as error:
        raise _damaged(source, f"cannot be read ({error.strerror})") from error
    except Exception as error:  # what is no YAML makes PyYAML raise errors of its own and Python's
        raise _damaged(source, "is not valid YAML") from error
    return _check_keys(source, content, required, others)


def _check_keys(
    source: Source, content: Any, required: tuple[str, ...], others: tuple[str, ...] = ()
) -> dict[str, Any]:
    expected = ", ".join((*required, *others))
    if not isinstance(content, dict):
        raise _damaged(source, f"must map {expected} to values, got {type(content).__name__}")
    for key in required:
        if key not in content:
            raise _damaged(source, f"has no key {key!r}")
    for key in content:
        if key not in (*required, *others):
            raise _damaged(source, f"unknown key {_shown(key)}, expected {expected}")
    return content


def _shown(value: object) -> str:
    try:
        return f"{value!r:.60}"
    except ValueError:  # Python writes no whole numbers of thousands of digits
        return "one of thousands of digits"


def _damaged(source: Source, problem: str) -> DataError:
    cure = "restore the file" if isinstance(source, str) else "send the file as it was written"
    return DataError(name_of(source), f"{problem}; {cure}")
