"""The rule that picks a reader for pictures with colour and depth."""

from collections.abc import Sequence
from pathlib import Path

from eagleray.data.eyecandies import is_eyecandies, read_eyecandies
from eagleray.data.mvtec_3d import is_mvtec_3d, read_mvtec_3d
from eagleray.data.rgbd import RgbdCategory
from eagleray.errors import DataError


def open_rgbd(root: str | Path, categories: Sequence[str] = ()) -> tuple[RgbdCategory, ...]:
    """Read a data set in the layout of MVTec 3D-AD (`read_mvtec_3d`), or else of Eyecandies (`read_eyecandies`).

    Raises:
        DataError: neither layout fits, or see the two readers.
        UnknownClass: a name in `categories` that is not there.
    """
    if is_mvtec_3d(root):
        return read_mvtec_3d(root, categories)
    if is_eyecandies(root):
        return read_eyecandies(root, categories)
    raise DataError(
        str(root),
        "no pictures with depth found; expected the layout of MVTec 3D-AD (<category>/train/good/rgb/*.png and "
        "xyz/*.tiff) or of Eyecandies (<Category>/train/data/<id>_{image_5.png,depth.png,info_depth.yaml})",
    )
