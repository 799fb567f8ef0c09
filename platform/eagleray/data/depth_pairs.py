"""Which depth file belongs to which colour picture, where both are given one by one and not as a data set."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from eagleray.data.rgbd import RgbdSample
from eagleray.data.sample import GOOD, Sample
from eagleray.errors import DataError

_TIFF = (".tif", ".tiff")
_DEPTH = "_depth"
_LIGHT = re.compile(r"(.+)_image_[0-5]")
_NO_PICTURE = re.compile(r"(.+)_(image_[0-4]|depth|normals|mask)")


def is_depth(path: Path) -> bool:
    """Whether a file in a folder of depth is taken for one: a TIFF (MVTec 3D-AD), or NNN_depth.png (Eyecandies)."""
    return path.suffix.lower() in _TIFF or path.name.endswith(f"{_DEPTH}.png")


def is_color(path: Path) -> bool:
    """Whether a file in a folder of colour pictures is taken for one.

    All are, but those of an Eyecandies scene that are not NNN_image_5.png: models learn from that light.
    """
    match = _NO_PICTURE.fullmatch(path.stem)
    return match is None or not path.with_name(f"{match[1]}{_DEPTH}.png").is_file()


def pair_depth(images: Sequence[Path], depths: Sequence[Path]) -> list[RgbdSample]:
    """Give each picture its depth; one picture and one depth belong together, whatever they are called.

    A picture NNN.png goes with the TIFF NNN.tiff (MVTec 3D-AD), NNN_image_5.png with NNN_depth.png (Eyecandies). Where
    several are of that name, the one in the picture's folder counts, or in a folder beside it, as rgb/ and xyz/ are.
    A depth that goes with no picture is left alone. No file is opened.

    Raises:
        DataError: a picture with no depth or with several, or a depth of another format, or without its YAML file.
    """
    known: dict[str, Path] = {}
    for path in depths:
        known.setdefault(os.path.abspath(path), path)  # noqa: PTH100 (links keep their names)
    if len(images) == len(known) == 1:
        return [_sample(images[0], *known.values())]
    by_name: dict[str, list[Path]] = {}
    for path in known.values():
        by_name.setdefault(path.stem if _is_tiff(path) else path.stem.removesuffix(_DEPTH), []).append(path)
    return [_sample(image, _depth_of(image, by_name)) for image in images]


def _depth_of(image: Path, by_name: dict[str, list[Path]]) -> Path:
    scene = _LIGHT.fullmatch(image.stem)
    names = {image.stem, scene[1] if scene else image.stem}
    found = [path for name in sorted(names) for path in by_name.get(name, ())]
    if len(found) > 1:
        found = [path for path in found if _is_beside(path, image)] or found
    if len(found) > 1:
        raise DataError(str(image), f"goes with both {found[0]} and {found[1]}; give --depth one of them alone")
    if not found:
        wanted = f"{scene[1]}{_DEPTH}.png" if scene else f"{image.stem}.tiff"
        raise DataError(str(image), f"has no depth; give its file {wanted} with a --depth of its own, or the folder")
    return found[0]


def _is_beside(path: Path, image: Path) -> bool:
    folder, ours = (Path(os.path.abspath(one)).parent for one in (path, image))  # noqa: PTH100
    return folder == ours or folder.parent == ours.parent


def _sample(image: Path, depth: Path) -> RgbdSample:
    depth_range = None
    if not _is_tiff(depth):
        if depth.suffix.lower() != ".png":
            raise DataError(str(depth), "is no depth; give --depth TIFFs of points, or 16-bit PNGs NNN_depth.png")
        depth_range = depth.with_name(f"{depth.stem.removesuffix(_DEPTH)}_info_depth.yaml")
        if not depth_range.is_file():
            raise DataError(str(depth), f"has no {depth_range.name} beside it; restore that file, or give a TIFF")
    sample = Sample(str(image), category="", split="test", label=0, defect=GOOD, mask=None)
    return RgbdSample(sample, str(depth), None if depth_range is None else str(depth_range))


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in _TIFF
