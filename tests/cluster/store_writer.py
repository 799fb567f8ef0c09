"""A process that commits one version to a model store: python tests/cluster/store_writer.py URI BYTE SIZE."""

import sys

from eagleray.storage import ClassEntry, Manifest, ModelStore


def commit(store: ModelStore, data: bytes) -> int:
    """Put bytes as the only class and commit the version that grows from the current one."""
    classes = {"c": ClassEntry(expert=0, blob=store.put_blob(data), rows=1, num_images=1)}
    grown_from = store.current()
    if grown_from is None:
        return store.commit(Manifest(kind="test", features={}, config={}, seed=0, classes=classes))
    return store.commit(grown_from.successor(classes=classes))


if __name__ == "__main__":
    uri, byte, size = sys.argv[1:]
    commit(ModelStore.create(uri), bytes([int(byte)]) * int(size))
