"""Images and folders, on disk or in a bucket: which names count, in which order, and what tells two images apart."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast, overload

from eagleray.data.listing import Folder, ListedUri, listed
from eagleray.errors import BadImage, DataError, UnknownClass
from eagleray.uris import Uri, overlapped, picture_file

IMAGE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Lower case; names are compared without regard to case."""

FolderT = TypeVar("FolderT", bound=Folder)


@overload
def data_root(root: str | Path) -> Path: ...
@overload
def data_root(root: Uri) -> ListedUri: ...
def data_root(root: str | Path | Uri) -> Folder:
    """Check that `root` is a readable folder with something in it, and make it absolute; a bucket's is listed.

    Workers on other machines may run in another working directory; links are kept, so a link names its category.

    Raises:
        DataError: it is missing, not a folder, not readable or empty.
        UriError: the bucket cannot be used.
    """
    if isinstance(root, Uri):
        return _not_empty(listed(root))
    path = Path(os.path.abspath(root))  # noqa: PTH100 (Path.absolute keeps "..", resolve follows links)
    if not path.exists():
        raise DataError(str(path), "no such folder; give --data the folder that holds the images")
    if not path.is_dir():
        raise DataError(str(path), "is a file; give --data the folder that holds the images")
    return _not_empty(path)


def _not_empty(root: FolderT) -> FolderT:
    if not _visible(root):
        raise DataError(str(root), "the folder is empty; put images into it or give --data another folder")
    return root


def list_images(folder: FolderT) -> list[FolderT]:
    """Image files directly in `folder`, sorted by name; none where there is no such folder."""
    return [path for path in _visible(folder) if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()]


def list_folders(folder: FolderT) -> list[FolderT]:
    """Folders directly in `folder`, sorted by name; none where there is no such folder."""
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: FolderT) -> list[FolderT]:
    if not folder.is_dir():
        return []
    try:
        paths = [cast(FolderT, path) for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(str(folder), f"cannot be read ({error.strerror}); check its permissions") from error
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError as error:  # no results file could hold it
            raise DataError(ascii(str(path)), "the name is not valid UTF-8; rename it") from error
    return sorted(paths, key=lambda path: path.name)


def choose(folders: dict[str, FolderT], names: Sequence[str], root: Folder) -> dict[str, FolderT]:
    """Keep the folders called `names`, in that order; all of them where `names` is empty.

    Raises:
        UnknownClass: a name that is not there.
    """
    for name in names:
        if name not in folders:
            raise UnknownClass(name, tuple(folders), str(root))
    return {name: folders[name] for name in names} if names else folders


def image_digests(paths: Sequence[str]) -> Iterator[str | BadImage]:
    """Of each image its digest, or why it has none.

    Raises:
        UriError: their bucket cannot be used.
    """
    return overlapped(_digest_or_error, paths)


def _digest_or_error(path: str) -> str | BadImage:
    try:
        return image_digest(path)
    except BadImage as error:
        return error


def image_digest(path: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the file's bytes: the same image under another name is the same.

    Raises:
        BadImage: the file cannot be read.
        UriError: its bucket cannot be used.
    """
    try:
        source = picture_file(path)
        with Path(source).open("rb") if isinstance(source, str) else source as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise BadImage(path, f"cannot be read ({error.strerror}); restore it or check its permissions") from error
