"""The model store: content-addressed bytes, versioned JSON manifests, nothing ever half-written."""

from eagleray.storage.image_list import read_image_list, write_image_list
from eagleray.storage.manifest import ClassEntry, Event, Manifest, Skipped
from eagleray.storage.store import ModelStore

__all__ = ["ClassEntry", "Event", "Manifest", "ModelStore", "Skipped", "read_image_list", "write_image_list"]
