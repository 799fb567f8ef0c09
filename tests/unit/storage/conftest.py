"""Makes small manifests: the store does not care what the blobs hold."""

import pytest

from eagleray.storage import ClassEntry, Manifest, ModelStore


@pytest.fixture
def store(tmp_path):
    return ModelStore.create(tmp_path / "model")


@pytest.fixture
def commit():
    """Put bytes as one more class and commit the version that grows from the current one."""

    def commit(store: ModelStore, data: bytes) -> int:
        entry = ClassEntry(expert=0, blob=store.put_blob(data), rows=1, num_images=1)
        grown_from = store.current()
        if grown_from is None:
            return store.commit(Manifest(kind="test", features={}, config={}, seed=0, classes={"c0": entry}))
        name = f"c{len(grown_from.classes)}"
        return store.commit(grown_from.successor(classes={**grown_from.classes, name: entry}))

    return commit
