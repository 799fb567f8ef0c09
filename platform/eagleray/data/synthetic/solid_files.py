"""Writes pictures with depth to disk in the layout of MVTec 3D-AD or that of Eyecandies."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from eagleray.arrays import AnyArray
from eagleray.data.synthetic.solid_render import Shot

# Y, X  pixels

_KINDS = ("bumps", "colors", "dents", "normals")
"""Kinds of anomalies that Eyecandies tells apart."""


def save_mvtec_3d(folder: Path, name: str, shot: Shot, *, truth: bool) -> None:
    """Write rgb/NAME.png, xyz/NAME.tiff (metres, invalid points 0, 0, 0) and, if `truth`, gt/NAME.png."""
    (color,) = shot.colors
    _save(color, folder / "rgb" / f"{name}.png")
    (folder / "xyz").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "xyz" / f"{name}.tiff", shot.depth.points(), photometric="minisblack", metadata=None)
    if truth:
        _save(_mask(shot), folder / "gt" / f"{name}.png")


def save_eyecandies(folder: Path, name: str, shot: Shot) -> None:
    """Write the six pictures, depth with its range, normals, mask and metadata of one object into one folder."""
    for number, color in enumerate(shot.colors):
        _save(color, folder / f"{name}_image_{number}.png")
    low, high = float(shot.depth.distance.min()), float(shot.depth.distance.max())
    share = (shot.depth.distance.astype(np.float64) - low) / max(high - low, 1e-9)
    _save(np.asarray(share * 65535 + 0.5, dtype=np.uint16), folder / f"{name}_depth.png")
    _save(np.asarray((shot.normals + 1) * 127.5 + 0.5, dtype=np.uint8), folder / f"{name}_normals.png")
    _save(_mask(shot), folder / f"{name}_mask.png")
    flags = {"anomalous": int(bool(shot.kinds))} | {kind: int(kind in shot.kinds) for kind in _KINDS}
    _say(folder / f"{name}_info_depth.yaml", f"normalization:\n  max: {high!r}\n  min: {low!r}\n")
    _say(folder / f"{name}_metadata.yaml", "".join(f"{key}: {value}\n" for key, value in flags.items()))


def _mask(shot: Shot) -> AnyArray:
    return np.where(shot.mask, np.uint8(255), np.uint8(0))


def _save(image: AnyArray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)


def _say(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
