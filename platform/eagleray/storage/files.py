"""Whole files under one root, local or on an object store: the only place that touches the outer world.

A file is there with all its bytes or not at all. Locally that takes a temporary name, fsync, a rename and an fsync of
the folder; an object store's put is atomic by itself. Every failure leaves here as a StoreError, translated once.
"""

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
from pyarrow import fs

from eagleray.errors import StoreError, StoreFull
from eagleray.filesystems import located, make_folder, reason_and_cure, without_secrets, write_whole

Data: TypeAlias = bytes | memoryview | pa.Buffer
"""Anything with contiguous bytes; never copied on the way to the disk."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST}
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_TEMPORARY = ".tmp"


class Files:
    """Files named by their path below the root, such as ``versions/1.json``."""

    def __init__(self, filesystem: fs.FileSystem, root: str, shown: str) -> None:
        self._is_local = isinstance(filesystem, fs.LocalFileSystem)
        # Mapped files cost no copy and stay valid when the name is replaced or deleted: the old bytes live on.
        self._fs = fs.LocalFileSystem(use_mmap=True) if self._is_local else filesystem
        self._root = root
        self._shown = shown

    @classmethod
    def at(cls, uri: str) -> "Files":
        """Open the root at a folder's path or at a URI that pyarrow.fs knows.

        Raises:
            StoreError: the URI is not one of pyarrow's, or its service does not answer.
        """
        shown = without_secrets(uri)
        if "://" not in uri:
            return cls(fs.LocalFileSystem(), uri, shown)
        with translated(shown):
            filesystem, root = located(uri)
        return cls(filesystem, root, shown)

    def place(self, name: str) -> str:
        """Where a file lies, for messages."""
        return f"{self._shown}/{name}"

    def make_folders(self, *names: str) -> None:
        """Make the root and these folders in it, but in a bucket, which needs none; those that exist stay."""
        for name in names:
            with translated(self.place(name)):
                make_folder(self._fs, self._path(name))

    def read(self, name: str) -> pa.Buffer | None:
        """All bytes of a file, memory-mapped where it is local; None where there is no such file."""
        with translated(self.place(name)):
            try:
                with self._fs.open_input_file(self._path(name)) as file:
                    return file.read_buffer()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: Data) -> None:
        """Write or replace a file; a reader sees the old bytes or the new ones, also after a power cut."""
        with translated(self.place(name)):
            if self._is_local:
                _write_durably(Path(self._path(name)), data)
                return
            write_whole(self._fs, self._path(name), data)

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file directly in a folder, temporary leftovers included, by its name below the root."""
        with translated(self.place(folder)):
            selector = fs.FileSelector(self._path(folder), allow_not_found=True)
            try:
                found = self._fs.get_file_info(selector)
            except FileNotFoundError:  # pyarrow looked twice, and another process made the folder in between
                found = self._fs.get_file_info(selector)
        return {f"{folder}/{info.base_name}".lstrip("/"): info.size for info in found if info.is_file}

    def existing(self, names: Iterable[str]) -> set[str]:
        """Those of some files that are there; one question each."""
        names = list(names)
        with translated(self._shown):
            found = self._fs.get_file_info([self._path(name) for name in names])
        return {name for name, info in zip(names, found, strict=True) if info.is_file}

    def delete(self, name: str) -> None:
        """Delete one file."""
        with translated(self.place(name)):
            self._fs.delete_file(self._path(name))

    def sync(self, folder: str) -> None:
        """Make the names in a local folder survive a power cut, those that another process wrote included."""
        if self._is_local:
            with translated(self.place(folder)):
                _sync_folder(Path(self._path(folder)))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process holds this root's lock, then hold it; it is let go when a process dies.

        Object stores have no locks, nor have some network shares: there one committing process is the users' rule.
        """
        if not self._is_local:
            yield
            return
        with translated(self.place("LOCK")):
            # Opened for writing because NFS grants an exclusive lock on nothing less.
            handle = os.open(self._path("LOCK"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with translated(self.place("LOCK")):
                _lock(handle)
            yield
        finally:
            os.close(handle)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def is_temporary(name: str) -> bool:
    """True for a file that a killed writer left behind."""
    base = name.rpartition("/")[2]
    return base.startswith(".") and base.endswith(_TEMPORARY)


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what the operating system or pyarrow raises into a StoreError that names the place and the cure."""
    try:
        yield
    except OSError as error:
        reason, cure = reason_and_cure(error)
        if error.errno in _FULL:
            cure = "free some space or raise the quota, then run the same command again"
            raise StoreFull(place, f"the disk takes no more bytes ({reason}); {cure}") from error
        if error.errno in _REFUSED:
            cure = "give this user the right to read and write here, or choose another folder"
            raise StoreError(place, f"access refused ({reason}); {cure}") from error
        if error.errno in _IN_THE_WAY:
            cure = "a file stands where a folder belongs: move it, or choose another folder"
        elif error.errno is not None:
            cure = "check that the place exists and is reachable"
        raise StoreError(place, f"cannot be used ({reason}); {cure}") from error
    except pa.ArrowException as error:
        reason, cure = reason_and_cure(error)
        raise StoreError(place, f"cannot be used ({reason}); {cure}") from error


def _write_durably(path: Path, data: Data) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what a network share answers that cannot sync folders
            raise
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
