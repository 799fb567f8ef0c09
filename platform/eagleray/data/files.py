"""Image files and folders on disk: which names count, in which order, and what tells two images apart."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from eagleray.errors import BadImage, DataError, UnknownClass

IMAGE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Lower case; names are compared without regard to case."""


def data_root(root: str | Path) -> Path:
    """Check that `root` is a readable folder with something in it, and make it absolute.

    Workers on other machines may run in another working directory; links are kept, so a link names its category.

    Raises:
        DataError: it is missing, not a folder, not readable or empty.
    """
    path = Path(os.path.abspath(root))  # noqa: PTH100 (Path.absolute keeps "..", resolve follows links)
    if not path.exists():
        raise DataError(str(path), "no such folder; give --data the folder that holds the images")
    if not path.is_dir():
        raise DataError(str(path), "is a file; give --data the folder that holds the images")
    if not _visible(path):
        raise DataError(str(path), "the folder is empty; put images into it or give --data another folder")
    return path


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, sorted by name; none where there is no such folder."""
    return [path for path in _visible(folder) if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()]


def list_folders(folder: Path) -> list[Path]:
    """Folders directly in `folder`, sorted by name; none where there is no such folder."""
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(str(folder), f"cannot be read ({error.strerror}); check its permissions") from error
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError as error:  # no results file could hold it
            raise DataError(ascii(str(path)), "the name is not valid UTF-8; rename it") from error
    return paths


def choose(folders: dict[str, Path], names: Sequence[str], root: Path) -> dict[str, Path]:
    """Keep the folders called `names`, in that order; all of them where `names` is empty.

    Raises:
        UnknownClass: a name that is not there.
    """
    for name in names:
        if name not in folders:
            raise UnknownClass(name, tuple(folders), str(root))
    return {name: folders[name] for name in names} if names else folders


def image_digest(path: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the file's bytes: the same image under another name is the same.

    Raises:
        BadImage: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise BadImage(path, f"cannot be read ({error.strerror}); restore it or check its permissions") from error
