import pytest

from eagleray.errors import StoreCorrupt, StoreMissing
from eagleray.storage import ModelStore


@pytest.fixture
def versions(store, commit):
    return [commit(store, data) for data in (b"a", b"b", b"c")]


def test_nothing_is_published_until_somebody_does(store, versions):
    assert store.published() is None


@pytest.mark.usefixtures("versions")
def test_any_version_can_be_published_and_learning_stays_where_it_was(store, commit):
    store.publish(3)
    store.publish(1)
    assert ModelStore.open(store.uri).published() == 1
    assert store.current().version == 3
    assert commit(store, b"d") == 4
    assert store.published() == 1


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("version", [0, 4, -1])
def test_a_version_that_was_never_committed_is_refused(store, version):
    store.publish(2)
    with pytest.raises(StoreMissing, match="1 to 3"):
        store.publish(version)
    assert store.published() == 2


@pytest.mark.usefixtures("versions")
def test_a_version_that_is_not_whole_is_refused(store, tmp_path):
    store.publish(1)
    lost = store.read(3).classes["c2"].blob
    (tmp_path / "model" / "blobs" / lost).unlink()
    with pytest.raises(StoreCorrupt, match=lost):
        store.publish(3)
    assert store.published() == 1


@pytest.mark.usefixtures("versions")
def test_a_blob_that_was_altered_is_found_before_a_service_does(store, tmp_path):
    store.publish(1)
    altered = store.read(3).classes["c2"].blob
    (tmp_path / "model" / "blobs" / altered).write_bytes(b"x")
    with pytest.raises(StoreCorrupt, match=altered):
        store.publish(3)
    assert store.published() == 1
    store.publish(2)


@pytest.mark.usefixtures("versions")
def test_a_damaged_pointer_says_how_it_is_cured(store, tmp_path):
    (tmp_path / "model" / "PUBLISHED").write_text('{"version"')
    with pytest.raises(StoreCorrupt, match=r"PUBLISHED.*eagleray publish"):
        store.published()
    store.publish(2)
    assert store.published() == 2


@pytest.mark.usefixtures("versions")
def test_cleaning_up_leaves_what_is_published(store):
    store.publish(2)
    store.remove_unused()
    assert store.published() == 2
