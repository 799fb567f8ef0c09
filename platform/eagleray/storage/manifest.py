"""What one version of a model consists of, as strict JSON: equal models give equal bytes.

A manifest names blobs by their sha256 and says what was learned from what; it holds no arrays. ``Pointer`` is the
content of the store's ``CURRENT`` file, ``Published`` that of its ``PUBLISHED``.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, TypeVar

from eagleray.config import from_json, to_json
from eagleray.errors import ConfigError, StoreCorrupt, StoreVersion

MODEL_SCHEMA = "eagleray.model/1"
STORE_SCHEMA = "eagleray.store/1"

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """One file that could not be learned from."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """One step of the stream: a class learned, updated with more images, or removed."""

    step: int
    """Position in the stream, from 1."""
    op: Literal["learn", "update", "remove"]
    class_name: str
    expert: int
    images: str | None = None
    """sha256 of the list of images learned in this step (`eagleray.storage.image_list`); None where there are none."""
    num_images: int = 0
    """Length of that list."""
    similarities: dict[str, float] = field(default_factory=dict)
    """What the assignment compared: similarity of the class to the closest candidates, higher is closer."""
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        if self.images is not None:
            _check_digest("images", self.images)

    @cached_property
    def text(self) -> bytes:
        """As JSON, which every later version repeats."""
        return _encoded(self)


@dataclass(frozen=True, kw_only=True)
class ClassEntry:
    """Where a class lives."""

    expert: int
    blob: str
    """sha256 of the class's content."""
    rows: int
    """Bank rows that the class holds."""
    num_images: int
    """Good images learned so far."""

    def __post_init__(self) -> None:
        _check_digest("blob", self.blob)

    @cached_property
    def text(self) -> bytes:
        """As JSON, which every later version repeats."""
        return _encoded(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One version of a model; the store numbers it when it is committed."""

    kind: str
    """The method that learned it, such as ``mecad``."""
    features: dict[str, Any]
    """The feature configuration, weights hash included."""
    config: dict[str, Any]
    """The method's configuration."""
    seed: int
    classes: dict[str, ClassEntry] = field(default_factory=dict)
    """By class name; the order of learning is in `history`, JSON keys are sorted."""
    blobs: dict[str, str] = field(default_factory=dict)
    """sha256 of further content by its name, such as ``router``."""
    history: tuple[Event, ...] = ()
    """All steps that led here, oldest first."""
    provenance: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    """Number in the store, from 1; 0 as long as it is not committed."""
    parent: int | None = None
    """The version this one grew from; None for the first."""
    schema: str = MODEL_SCHEMA

    def __post_init__(self) -> None:
        for name, digest in self.blobs.items():
            _check_digest(f"blobs.{name}", digest)

    def digests(self, since: "Manifest | None" = None) -> frozenset[str]:
        """Every blob that this version needs; with `since`, only what it adds to that earlier version."""
        known, past, named = (since.classes, since.history, since.blobs) if since else ({}, (), {})
        # Most entries are the very same objects, which is seen at once.
        new = {name: entry for name, entry in self.classes.items() if known.get(name) is not entry}
        banks = {entry.blob for name, entry in new.items() if name not in known or known[name].blob != entry.blob}
        shared = len(past) if self.history[: len(past)] == past else 0
        lists = {event.images for event in self.history[shared:] if event.images is not None}
        return frozenset({*banks, *lists, *self.blobs.values()} - {*named.values()})

    def successor(self, **changes: Any) -> "Manifest":
        """The uncommitted manifest that grows from this version, with these fields changed."""
        return dataclasses.replace(self, **{"parent": self.version, "version": 0, **changes})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointer:
    """The store's one truth: which version is in use and which numbers are taken."""

    version: int = 0
    """The version in use; 0 in a store without any."""
    latest: int = 0
    """The highest number ever committed; a manifest above it is the leftover of a crash."""
    schema: str = STORE_SCHEMA

    def __post_init__(self) -> None:
        if not 0 <= self.version <= self.latest:
            raise ConfigError("version", f"in 0 to latest ({self.latest})", self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The store's second pointer: which version running services answer with.

    A file of its own, because learning moves the other one: where there are no locks, publishing must not write over
    what a commit writes.
    """

    version: int
    schema: str = STORE_SCHEMA


Document = TypeVar("Document", Manifest, Pointer, Published)

_SCHEMAS = {Manifest: MODEL_SCHEMA, Pointer: STORE_SCHEMA, Published: STORE_SCHEMA}
_CURES = {
    Manifest: "restore it from a backup, roll back to another version, or learn again into a new folder",
    Pointer: f'restore it from a backup, or write {{"latest": N, "schema": "{STORE_SCHEMA}", "version": N}} into it, '
    "N being the highest number under versions/",
    Published: "publish a version again (eagleray publish)",
}


def to_bytes(document: Manifest | Pointer | Published) -> bytes:
    """JSON with sorted keys and a final newline, on one line: every commit writes all of it, and indenting is slow."""
    return b"".join(_pieces(document)) if isinstance(document, Manifest) else b"%s\n" % _encoded(document)


def _pieces(manifest: Manifest) -> Iterator[bytes]:
    """As `_encoded`, from the kept texts of classes and events: a commit turns into JSON only what it adds.

    In pieces, because at a few thousand classes every copy of the whole counts.
    """
    opening = b"{"
    for name in sorted(one.name for one in dataclasses.fields(manifest)):
        yield opening + _key(name)
        if name == "classes":
            lines = (_key(one) + manifest.classes[one].text for one in sorted(manifest.classes))
            yield from (b"{", b", ".join(lines), b"}")
        elif name == "history":
            yield from (b"[", b", ".join(event.text for event in manifest.history), b"]")
        else:
            yield _encoded(getattr(manifest, name))
        opening = b", "
    yield b"}\n"


@cache
def _key(name: str) -> bytes:
    return b"%s: " % json.dumps(name).encode()


def _encoded(value: Any) -> bytes:
    return json.dumps(to_json(value), sort_keys=True, allow_nan=False).encode()


def lost(kind: type[Manifest] | type[Pointer], place: str) -> StoreCorrupt:
    """The error for a document that must be there and is not."""
    return StoreCorrupt(place, f"this file is gone; {_CURES[kind]}")


def from_bytes(kind: type[Document], data: bytes, place: str) -> Document:
    """Read what `to_bytes` wrote; `place` names the file in messages.

    Raises:
        StoreVersion: written with another schema.
        StoreCorrupt: not JSON, or not the fields of its schema.
    """
    ours = _SCHEMAS[kind]
    try:
        values = json.loads(bytes(data))
    except ValueError as error:
        raise StoreCorrupt(place, f"is not complete JSON ({error}); {_CURES[kind]}") from error
    written = values.get("schema") if isinstance(values, dict) else None
    if isinstance(written, str) and written != ours:
        cure = "use the eagleray that wrote it, or learn again into a new folder"
        raise StoreVersion(place, f"written with schema {written}, this eagleray reads {ours}; {cure}")
    try:
        if written is None:
            raise ConfigError("schema", ours, written)
        return from_json(kind, values, kind.__name__.lower())
    except ConfigError as error:
        raise StoreCorrupt(place, f"is not a {ours} document ({error}); {_CURES[kind]}") from error


def _check_digest(name: str, digest: str) -> None:
    # The digest becomes a file name: anything else than hexadecimal digits could leave the store's folder.
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(name, "a sha256 in 64 lower-case hexadecimal digits", digest)
