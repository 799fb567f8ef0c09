"""The model store: content-addressed blobs, numbered manifests that name them, and one pointer that is the truth.

    <root>/blobs/<sha256>       immutable bytes; equal content is stored once
    <root>/versions/<n>.json    a manifest, from 1 upwards
    <root>/CURRENT              {"version": the one in use, "latest": the highest number committed}
    <root>/PUBLISHED            {"version": the one that running services answer with}; absent until the first publish
    <root>/LOCK                 empty; held while CURRENT moves

A commit writes blobs, then the manifest, then replaces CURRENT: whatever moment it dies at, CURRENT names a complete
version. A manifest above ``latest`` was never committed (its writer died before CURRENT moved), so nobody can have
served it and the next commit of that number replaces it. Going back moves ``version`` only: ``latest`` stays, so the
next commit takes a fresh number, names the older version as its parent, and overwrites nothing.
"""

import dataclasses
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from eagleray.errors import StoreCorrupt, StoreError, StoreMissing
from eagleray.filesystems import without_secrets
from eagleray.storage.files import Data, Files, is_temporary
from eagleray.storage.manifest import Manifest, Pointer, Published, from_bytes, lost, to_bytes
from eagleray.uris import Place

_CURRENT = "CURRENT"
_PUBLISHED = "PUBLISHED"


class ModelStore:
    """One model's versions at a folder or URI; cheap to make, picklable, opened on first use.

    Any number of processes may read and put blobs at once. Commits exclude each other on a local disk; on an object
    store, where there is no lock, let one process commit.
    """

    def __init__(self, uri: str | Place) -> None:
        text = str(uri)
        # Absolute, because a worker that gets the store runs in another folder.
        self._uri = text if "://" in text else str(Path(text).absolute())
        # The version this object committed last. Nothing deletes what a version names, so the next commit checks only
        # what it adds: learning a class costs the same however many are known.
        self._committed: Manifest | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ModelStore, (self._uri,)

    def __repr__(self) -> str:
        return f"ModelStore({self.uri!r})"

    @classmethod
    def create(cls, uri: str | Place) -> "ModelStore":
        """Open the store at this place, making an empty one where there is none.

        Raises:
            StoreError: the place cannot be written, or holds a damaged store.
        """
        store = cls(uri)
        if store._pointer() is None:
            store._files.make_folders("blobs", "versions")
            with store._files.lock():
                if store._pointer() is None:  # nobody made it while we waited
                    store._move(Pointer())
        return store

    @classmethod
    def open(cls, uri: str | Place) -> "ModelStore":
        """Open an existing store; nothing is written.

        Raises:
            StoreMissing: there is none at this place.
        """
        store = cls(uri)
        store._require_pointer()
        return store

    @property
    def uri(self) -> str:
        """Where the store is, for messages and results: without credentials or options."""
        return without_secrets(self._uri)

    def put_blob(self, data: Data) -> str:
        """Store bytes and return their sha256; content that is already there is not written again.

        A damaged file of the same name is replaced, so learning again heals a store.

        Raises:
            StoreFull: no room; the store reads as before.
        """
        digest = hashlib.sha256(data).hexdigest()
        found = self._files.read(_blob(digest))
        if found is None or not found.equals(pa.py_buffer(data)):
            self._files.write(_blob(digest), data)
        return digest

    def get_blob(self, digest: str) -> pa.Buffer:
        """The bytes with this sha256, memory-mapped where the store is local; checked on every call.

        Raises:
            StoreCorrupt: the file is gone or its bytes have changed.
        """
        found = self._files.read(_blob(digest))
        if found is None:
            raise StoreCorrupt(self.blob_path(digest), f"this blob is gone; {_CURE}")
        if hashlib.sha256(found).hexdigest() != digest:
            raise StoreCorrupt(self.blob_path(digest), f"this blob does not match its sha256; {_CURE}")
        return found

    def blob_path(self, digest: str) -> str:
        """Where a blob lies, for messages."""
        return self._files.place(_blob(digest))

    def commit(self, manifest: Manifest) -> int:
        """Number a manifest, write it and make it the current version; its blobs must have been put before.

        Returns:
            The version number, one above the highest ever committed.

        Raises:
            StoreCorrupt: a blob that the manifest names is not there.
            StoreError: the manifest's parent is not the current version, because another run committed meanwhile.
        """
        self._check_blobs(manifest.digests(since=self._committed))
        with self._files.lock():
            pointer = self._require_pointer()
            if (manifest.parent or 0) != pointer.version:
                raise StoreError(
                    self._files.place(_CURRENT),
                    f"version {pointer.version} is current, but this run grew from version {manifest.parent or 0}: "
                    "another run wrote to this store meanwhile; let one run at a time write, then run again",
                )
            number = pointer.latest + 1
            # This process may rely on a blob that another one renamed into place and did not live to sync.
            self._files.sync("blobs")
            numbered = dataclasses.replace(manifest, version=number)
            self._files.write(_version(number), to_bytes(numbered))
            self._move(Pointer(version=number, latest=number))
        self._committed = numbered
        return number

    def current(self) -> Manifest | None:
        """The version in use; None in a store without any."""
        version = self._require_pointer().version
        return self.read(version) if version else None

    def versions(self) -> tuple[int, ...]:
        """Numbers of all committed versions, oldest first, those that were rolled back included."""
        return tuple(range(1, self._require_pointer().latest + 1))

    def read(self, version: int) -> Manifest:
        """The manifest of one committed version.

        Raises:
            StoreMissing: no such version was committed.
            StoreCorrupt: its manifest is gone or damaged.
            StoreVersion: it was written with another schema.
        """
        name = _version(version)
        latest = self._require_pointer().latest
        if not 1 <= version <= latest:
            known = f"it has 1 to {latest}" if latest else "it has none yet"
            raise StoreMissing(self.uri, f"no version {version} in this store; {known}")
        data = self._files.read(name)
        if data is None:
            raise lost(Manifest, self._files.place(name))
        manifest = from_bytes(Manifest, data, self._files.place(name))
        if manifest.version != version:
            raise StoreCorrupt(self._files.place(name), f"this manifest says version {manifest.version}; {_CURE}")
        return manifest

    def rollback(self, version: int) -> None:
        """Make a committed version the current one, older or newer; no version is lost.

        Raises:
            StoreError: there is no such version, or it is not whole.
        """
        self._check_blobs(self.read(version).digests())
        with self._files.lock():
            self._move(Pointer(version=version, latest=self._require_pointer().latest))

    def publish(self, version: int) -> None:
        """Have running services answer with a committed version, older or newer; learning goes on where it was.

        Raises:
            StoreError: there is no such version, or it is not whole. Blobs that the version published before has too
                are only looked for; of the others the hashes are checked.
        """
        digests = self.read(version).digests()
        for digest in sorted(digests - self._published_digests()):
            self.get_blob(digest)
        self._check_blobs(digests)
        self._files.write(_PUBLISHED, to_bytes(Published(version=version)))

    def published(self) -> int | None:
        """The version that was published last; None where none was.

        Raises:
            StoreCorrupt: the pointer is damaged.
        """
        data = self._files.read(_PUBLISHED)
        return None if data is None else from_bytes(Published, data, self._files.place(_PUBLISHED)).version

    def _published_digests(self) -> frozenset[str]:
        """Blobs of the published version; none where it cannot be told, for publishing is what mends that."""
        try:
            version = self.published()
            return self.read(version).digests() if version else frozenset()
        except StoreError:
            return frozenset()

    def remove_unused(self) -> int:
        """Delete what no committed version names: old blobs, and leftovers of killed runs.

        Not for a store that another run writes to: that run's blobs are named by no version yet, and its commit would
        fail (the store stays whole).

        Returns:
            Bytes freed.
        """
        with self._files.lock():
            versions = self.versions()
            kept = {_CURRENT, _PUBLISHED, *map(_version, versions)}
            for version in versions:
                kept.update(map(_blob, self.read(version).digests()))
            found = {**self._files.sizes("blobs"), **self._files.sizes("versions")}
            found.update((name, size) for name, size in self._files.sizes("").items() if is_temporary(name))
            unused = {name: size for name, size in found.items() if name not in kept}
            for name in unused:
                self._files.delete(name)
        return sum(unused.values())

    @cached_property
    def _files(self) -> Files:
        return Files.at(self._uri)

    def _pointer(self) -> Pointer | None:
        """What CURRENT says; None where there is no store."""
        data = self._files.read(_CURRENT)
        if data is not None:
            return from_bytes(Pointer, data, self._files.place(_CURRENT))
        manifests = [name for name in self._files.sizes("versions") if not is_temporary(name)]
        if manifests:  # every store begins with a CURRENT, so it was lost: do not begin again over its versions
            raise lost(Pointer, self._files.place(_CURRENT))
        return None

    def _require_pointer(self) -> Pointer:
        pointer = self._pointer()
        if pointer is None:
            raise StoreMissing(self.uri, "no model store here; give the folder a model was learned into (<out>/model)")
        return pointer

    def _move(self, pointer: Pointer) -> None:
        self._files.write(_CURRENT, to_bytes(pointer))

    def _check_blobs(self, digests: frozenset[str]) -> None:
        names = set(map(_blob, digests))
        # On an object store each question is a round trip, and so is each thousand names of a listing.
        found = self._files.existing(names) if len(names) <= _FEW else self._files.sizes("blobs").keys()
        if missing := names - found:
            raise StoreCorrupt(self._files.place(min(missing)), f"this blob is not there; {_CURE}")


_FEW = 16
_CURE = "restore the file from a backup, roll back to a version that does without it, or learn again"


def _blob(digest: str) -> str:
    return f"blobs/{digest}"


def _version(number: int) -> str:
    return f"versions/{number}.json"
