"""A folder in a bucket, listed once: a bucket tells a thousand names in the time of one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from eagleray.errors import DataError
from eagleray.uris import Uri, escaped


class ListedUri(Uri):
    """A file or folder below a root, known from a listing of that root.

    Args:
        text: the URI.
        folders: for the text of each folder, the names in it; whether each is a file.
    """

    def __init__(self, text: str, folders: Mapping[str, Mapping[str, bool]]) -> None:
        super().__init__(text)
        self._folders = folders

    def exists(self) -> bool:
        """Whether it was listed."""
        return self.is_dir() or self.is_file()

    def is_dir(self) -> bool:
        """Whether it was listed as a folder."""
        return str(self) in self._folders

    def is_file(self) -> bool:
        """Whether it was listed as a file."""
        return self._folders.get(str(self.parent), {}).get(self.name, False)

    def iterdir(self) -> Iterator["ListedUri"]:
        """What was listed directly in this folder."""
        for name in self._folders[str(self)]:
            yield self / name


Folder: TypeAlias = Path | ListedUri
"""What readers look through."""


def listed(root: Uri) -> ListedUri:
    """List everything below a folder.

    Raises:
        DataError: there is no such folder.
        UriError: the bucket cannot be used.
    """
    if isinstance(root, ListedUri):
        return root
    folders: dict[str, dict[str, bool]] = {str(root): {}}

    def note(below: str, is_file: bool) -> None:
        folder, _, name = below.rpartition("/")
        key = f"{root}/{escaped(folder)}" if folder else str(root)
        if key not in folders:  # not every service lists the folders that its names imply
            note(folder, False)
        folders.setdefault(key, {}).setdefault(name, is_file)
        if not is_file:
            folders.setdefault(f"{root}/{escaped(below)}", {})

    try:
        for below, is_file in root.walk():
            note(below, is_file)
    except FileNotFoundError as error:
        raise DataError(str(root), "no such folder; give --data the folder that holds the images") from error
    return ListedUri(str(root), folders)
