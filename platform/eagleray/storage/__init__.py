"""The model store: content-addressed bytes, versioned JSON manifests, nothing ever half-written."""

from eagleray.storage.manifest import ClassEntry, Event, Manifest, Skipped
from eagleray.storage.store import ModelStore

__all__ = ["ClassEntry", "Event", "Manifest", "ModelStore", "Skipped"]
