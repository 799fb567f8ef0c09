"""Files at URIs that pyarrow.fs knows, such as s3://bucket/folder/name, beside those at paths.

Passwords and options are no part of a `Uri`: it is shown in messages and results, and any worker may have to open it.
Services take them from the environment of each process (docs/operations.md, "Data and results in a bucket").
"""

import contextlib
import copy
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from eagleray.errors import ConfigError
from eagleray.filesystems import explained, located, make_folder, without_secrets, write_whole

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 16
"""Requests under way: a bucket answers each in tens of milliseconds, and many of them as fast as one."""
_HEADER_BYTES = 65_536
"""Read of a picture whose size is asked for, at a time."""


class Uri:
    """A file or folder, with as much of `pathlib.Path` as is asked of it; characters like % are escaped in its text.

    A file that is missing raises FileNotFoundError, as a path does; anything else that goes wrong is a `UriError`.

    Raises:
        ConfigError: the text has a password or options, or names no place.
    """

    def __init__(self, text: str) -> None:
        scheme, _, rest = text.partition("://")
        if not rest.strip("/"):
            raise ConfigError("a URI", "scheme://bucket or scheme://bucket/folder", text)
        service, slash, path = rest.partition("/")
        if ":" in service.rpartition("@")[0] or "?" in rest:
            expected = "without password and options, which results would show: the environment has them"
            raise ConfigError("a URI", f"{expected} (docs/operations.md)", without_secrets(text))
        self._text = f"{scheme}://{service}{slash}{escaped(unquote(path))}".rstrip("/")

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Uri({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Uri) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __truediv__(self, name: str) -> Self:
        return self._at(f"{self._text}/{escaped(name)}")

    @property
    def name(self) -> str:
        """The last part, unescaped."""
        return unquote(self._text.rpartition("/")[2])

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Self:
        """The folder that it lies in."""
        return self._at(self._text.rpartition("/")[0])

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return not self._is(fs.FileType.NotFound)

    def is_file(self) -> bool:
        """Whether there is a file."""
        return self._is(fs.FileType.File)

    def is_dir(self) -> bool:
        """Whether there is a folder; in a bucket, whether anything lies below."""
        return self._is(fs.FileType.Directory)

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Make the folder where there is none, with those above it; a bucket needs none."""
        with self.reached() as (filesystem, path):
            make_folder(filesystem, path)

    def walk(self) -> Iterator[tuple[str, bool]]:
        """Everything below, as the path below this folder and whether it is a file."""
        with self.reached() as (filesystem, path):
            found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        for info in found:
            yield info.path[len(path) :].strip("/"), info.is_file

    def glob(self, pattern: str) -> Iterator[Self]:
        """Files below that a pattern of as many parts names; none where there is no such folder."""
        with contextlib.suppress(FileNotFoundError):
            for below, is_file in self.walk():
                same = below.count("/") == pattern.count("/") and PurePosixPath(below).match(pattern)
                if is_file and same:
                    yield self / below

    def unlink(self) -> None:
        """Delete the file."""
        with self.reached() as (filesystem, path):
            filesystem.delete_file(path)

    def read_bytes(self) -> bytes:
        """All of a file."""
        with self.reached() as (filesystem, path), filesystem.open_input_file(path) as file:
            return bytes(file.readall())

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of a file, decoded."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> None:
        """Write or replace a file, as `write_whole` does."""
        with self.reached() as (filesystem, path):
            write_whole(filesystem, path, data)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write or replace a file."""
        self.write_bytes(text.encode(encoding))

    def _at(self, text: str) -> Self:
        other = copy.copy(self)
        other._text = text
        return other

    def _is(self, kind: fs.FileType) -> bool:
        with self.reached() as (filesystem, path):
            return bool(filesystem.get_file_info(path).type == kind)

    @contextlib.contextmanager
    def reached(self) -> Iterator[tuple[fs.FileSystem, str]]:
        """Its file system and the path there; errors inside are told as those of this place."""
        with explained(self._text):
            yield located(self._text)


Place: TypeAlias = Path | Uri
"""Where files lie."""


def place(where: str | Place) -> Place:
    """The path or URI that a text means; file:///folder is a path.

    Raises:
        ConfigError: see `Uri`.
    """
    if not isinstance(where, str):
        return where
    if where.startswith("file://"):
        parts = urlsplit(where)
        if parts.netloc:
            raise ConfigError("a file's URI", "file:///folder", where)
        return Path(unquote(parts.path))
    return Uri(where) if is_uri(where) else Path(where)


def escaped(name: str) -> str:
    """A name as part of a URI."""
    return name.replace("%", "%25").replace("?", "%3F")


def absolute(where: Place) -> Place:
    """The same place for processes in other working directories."""
    return where if isinstance(where, Uri) else where.resolve()


def quoted(where: str) -> str:
    """A URI as programs take it that are stricter than we are; a path as it is."""
    return quote(where, safe=":/@?=&%") if is_uri(where) else where


def changed_ns(where: Place) -> int:
    """When a file was written last, in nanoseconds since 1970; services count in seconds."""
    if isinstance(where, Path):
        return where.stat().st_mtime_ns
    with where.reached() as (filesystem, path):
        return int(filesystem.get_file_info(path).mtime_ns)


def is_uri(where: object) -> bool:
    """Whether a text, path or URI is a URI."""
    return "://" in str(where)


def picture_file(where: str | Place, *, header: bool = False) -> str | io.BytesIO | io.BufferedReader:
    """What Pillow opens: the path as it is, or the bytes at a URI; with `header`, read no further than it asks for.

    Raises:
        FileNotFoundError: nothing is at the URI.
        UriError: it cannot be read, which says nothing about the picture.
    """
    text = str(where)
    if not is_uri(text):
        return text
    if not header:
        return _Fetched(Uri(text).read_bytes(), text)
    with explained(text):
        filesystem, path = located(text)
        return io.BufferedReader(_Remote(filesystem.open_input_file(path), text), _HEADER_BYTES)


def overlapped(function: Callable[[Item], Result], places: Sequence[Item]) -> Iterator[Result]:
    """As `map`, in order; where the places are URIs, many at a time, for each is a wait for the network."""
    if not places or not is_uri(places[0]):
        yield from map(function, places)
        return
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(function, places)


class _Fetched(io.BytesIO):
    """A file's bytes that Pillow calls by their URI, not by their address in memory, which differs from run to run."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self._name = name

    def __repr__(self) -> str:
        return repr(self._name)


class _Remote(io.RawIOBase):
    """A file that is read piece by piece."""

    def __init__(self, file: pa.NativeFile, where: str) -> None:
        self._file, self._where = file, where

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with explained(self._where):
            return int(self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())
