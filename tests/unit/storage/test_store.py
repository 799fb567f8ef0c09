"""The store in peace: content addressing, versions, rollback, collection, and what it says of damage."""

import hashlib
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from eagleray.errors import StoreCorrupt, StoreError, StoreMissing, StoreVersion
from eagleray.storage import Event, ModelStore, read_image_list, write_image_list
from eagleray.storage.files import Files


def blobs(store):
    return sorted(path.name for path in Path(store.uri, "blobs").iterdir())


def snapshot(store):
    """Every byte under the root, by path."""
    return {path: path.read_bytes() for path in Path(store.uri).rglob("*") if path.is_file()}


def test_a_blob_is_named_by_its_sha256_and_comes_back(store):
    digest = store.put_blob(b"bank")
    assert digest == hashlib.sha256(b"bank").hexdigest()
    assert store.get_blob(digest).to_pybytes() == b"bank"
    assert Path(store.blob_path(digest)).read_bytes() == b"bank"


def test_equal_content_is_stored_once_and_not_written_again(store):
    digest = store.put_blob(b"same")
    before = Path(store.blob_path(digest)).stat()
    assert store.put_blob(memoryview(b"same")) == digest
    assert store.put_blob(pa.py_buffer(b"same")) == digest
    after = Path(store.blob_path(digest)).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert blobs(store) == [digest]


def test_an_empty_blob_is_a_blob(store):
    assert store.get_blob(store.put_blob(b"")).size == 0


def test_one_flipped_byte_is_found_and_learning_again_heals_it(store, commit):
    data = bytes(range(256)) * 40
    commit(store, data)
    digest = store.current().classes["c0"].blob
    path = Path(store.blob_path(digest))
    path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    with pytest.raises(StoreCorrupt, match=f"{digest}.*sha256.*backup.*roll back.*learn again"):
        store.get_blob(digest)
    store.put_blob(data)
    assert store.get_blob(digest).to_pybytes() == data


def test_a_missing_blob_is_named(store):
    digest = store.put_blob(b"gone")
    Path(store.blob_path(digest)).unlink()
    with pytest.raises(StoreCorrupt, match=f"blobs/{digest}: this blob is gone"):
        store.get_blob(digest)


def test_a_mapped_blob_stays_readable_when_its_file_is_deleted(store):
    data = bytes(100_000)
    loaded = store.get_blob(store.put_blob(data))
    assert store.remove_unused() == len(data)
    assert loaded.to_pybytes() == data


def test_versions_count_from_one_and_each_reads_as_committed(store, commit):
    assert store.current() is None and store.versions() == ()
    assert [commit(store, data) for data in (b"a", b"b", b"c")] == [1, 2, 3]
    assert store.versions() == (1, 2, 3)
    assert [len(store.read(n).classes) for n in (1, 2, 3)] == [1, 2, 3]
    assert [store.read(n).parent for n in (1, 2, 3)] == [None, 1, 2]
    assert store.current() == store.read(3)
    assert ModelStore.open(store.uri).current() == store.current()


def test_a_commit_whose_blob_is_missing_changes_nothing(store, commit):
    commit(store, b"a")
    manifest = store.current().successor(blobs={"router": "f" * 64})
    before = snapshot(store)
    with pytest.raises(StoreCorrupt, match="f" * 64):
        store.commit(manifest)
    assert snapshot(store) == before


def test_a_commit_asks_only_for_blobs_that_the_version_before_does_not_name(store, commit, monkeypatch):
    for number in range(40):
        commit(store, b"%d" % number)
    asked = []
    existing = Files.existing

    def watch(files, names):
        asked.append(set(names))
        return existing(files, names)

    monkeypatch.setattr(Files, "existing", watch)
    commit(store, b"new")
    assert asked == [{f"blobs/{hashlib.sha256(b'new').hexdigest()}"}]


def test_a_store_opened_anew_checks_every_blob_of_its_first_commit(store, commit):
    for number in range(40):
        commit(store, b"%d" % number)
    gone = store.current().classes["c7"].blob
    Path(store.blob_path(gone)).unlink()
    with pytest.raises(StoreCorrupt, match=gone):
        commit(ModelStore.open(store.uri), b"new")


def test_a_commit_that_grew_from_an_old_version_is_refused(store, commit):
    commit(store, b"a")
    stale = store.current().successor()
    commit(store, b"b")
    before = snapshot(store)
    with pytest.raises(StoreError, match="version 2 is current, but this run grew from version 1"):
        store.commit(stale)
    assert snapshot(store) == before


def test_after_a_rollback_the_next_commit_takes_a_fresh_number(store, commit):
    for data in (b"a", b"b", b"c"):
        commit(store, data)
    third = store.read(3)
    store.rollback(1)
    assert store.current().version == 1 and store.versions() == (1, 2, 3)
    assert commit(store, b"d") == 4
    assert store.current().parent == 1
    assert store.read(3) == third
    store.rollback(3)
    assert store.current() == third


def test_rollback_refuses_versions_that_are_not_there_or_not_whole(store, commit):
    commit(store, b"a")
    commit(store, b"b")
    for version in (0, 3, -1):
        with pytest.raises(StoreMissing, match=f"no version {version} .*1 to 2"):
            store.rollback(version)
    Path(store.blob_path(store.read(1).classes["c0"].blob)).unlink()
    with pytest.raises(StoreCorrupt):
        store.rollback(1)
    assert store.current().version == 2


def test_a_manifest_above_current_is_a_crashs_leftover_and_is_replaced(store, commit):
    commit(store, b"a")
    Path(store.uri, "versions/2.json").write_text("half a mani")
    assert store.versions() == (1,)
    with pytest.raises(StoreMissing):
        store.read(2)
    assert commit(store, b"b") == 2
    assert len(store.read(2).classes) == 2


def test_remove_unused_keeps_what_any_committed_version_names(store, commit):
    commit(store, b"a")
    commit(store, b"b")
    store.rollback(1)
    kept = snapshot(store)
    root = Path(store.uri)
    store.put_blob(b"unused")
    (root / "versions/3.json").write_bytes(b"orphan!")
    for folder in ("", "blobs", "versions"):
        (root / folder / ".left.0.tmp").write_bytes(b"12345")
    (root / "notes.txt").write_text("the user's own file stays")
    assert store.remove_unused() == len(b"unused") + len(b"orphan!") + 3 * 5
    assert snapshot(store).keys() == kept.keys() | {root / "notes.txt"}
    assert store.remove_unused() == 0
    store.rollback(2)


def test_remove_unused_keeps_the_image_lists_of_the_history(store, commit):
    commit(store, b"a")
    listed = write_image_list(store, ["ab12"])
    event = Event(step=1, op="learn", class_name="c0", expert=0, images=listed, num_images=1)
    store.commit(store.current().successor(history=(event,)))
    assert store.remove_unused() == 0
    assert read_image_list(store, listed) == ("ab12",)


def test_remove_unused_deletes_nothing_when_a_manifest_cannot_be_read(store, commit):
    commit(store, b"a")
    store.put_blob(b"unused")
    Path(store.uri, "versions/1.json").write_text("{}")
    before = snapshot(store)
    with pytest.raises(StoreCorrupt):
        store.remove_unused()
    assert snapshot(store) == before


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_opening_what_is_no_store_says_so_and_makes_nothing(tmp_path, folder):
    with pytest.raises(StoreMissing, match="no model store here"):
        ModelStore.open(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_creating_an_existing_store_opens_it(store, commit):
    commit(store, b"a")
    before = snapshot(store)
    assert ModelStore.create(store.uri).current() == store.current()
    assert snapshot(store) == before


def test_a_lost_current_is_corrupt_and_never_begun_again(store, commit):
    commit(store, b"a")
    Path(store.uri, "CURRENT").unlink()
    for way in (ModelStore.open, ModelStore.create):
        with pytest.raises(StoreCorrupt, match=r"CURRENT: this file is gone.*\"latest\": N"):
            way(store.uri)
    Path(store.uri, "CURRENT").write_text('{"latest": 1, "schema": "eagleray.store/1", "version": 1}')
    assert ModelStore.open(store.uri).current().version == 1


def test_a_lost_or_mistaken_manifest_is_corrupt(store, commit):
    commit(store, b"a")
    commit(store, b"b")
    first = Path(store.uri, "versions/1.json")
    second = Path(store.uri, "versions/2.json")
    second.write_bytes(first.read_bytes())
    with pytest.raises(StoreCorrupt, match=r"2\.json: this manifest says version 1"):
        store.current()
    first.unlink()
    with pytest.raises(StoreCorrupt, match=r"1\.json: this file is gone"):
        store.read(1)


@pytest.mark.parametrize(("name", "schema"), [("CURRENT", "eagleray.store"), ("versions/1.json", "eagleray.model")])
def test_a_store_of_another_schema_version_is_left_alone(store, commit, name, schema):
    commit(store, b"a")
    path = Path(store.uri, name)
    path.write_text(path.read_text().replace(f"{schema}/1", f"{schema}/9"))
    before = snapshot(store)
    with pytest.raises(StoreVersion, match=f"{name}: written with schema {schema}/9, this eagleray reads {schema}/1"):
        ModelStore.open(store.uri).current()
    assert snapshot(store) == before


def test_a_file_uri_and_its_path_are_one_store(tmp_path, commit):
    (tmp_path / "a b").mkdir()
    by_uri = ModelStore.create((tmp_path / "a b" / "model").as_uri())
    commit(by_uri, b"a")
    assert ModelStore.open(tmp_path / "a b" / "model").current() == by_uri.current()


def test_a_pickled_store_opens_the_same_place_from_another_folder(tmp_path, monkeypatch, commit):
    monkeypatch.chdir(tmp_path)
    store = ModelStore.create("model")
    commit(store, b"a")
    text = pickle.dumps(store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(text).current() == store.current()


@pytest.mark.parametrize("uri", ["nonsense://bucket/model", "file://host/model"])
def test_a_uri_that_is_not_known_says_which_are(uri):
    with pytest.raises(StoreError, match=r"s3://bucket"):
        ModelStore.open(uri)


def test_credentials_in_a_uri_are_never_shown():
    store = ModelStore("s3://user:secret@bucket/line 1/model?region=eu-north-1&endpoint_override=localhost")
    assert store.uri == "s3://bucket/line 1/model"
    assert "secret" not in repr(store)


def test_a_store_that_is_not_on_a_local_disk_works_alike(tmp_path, commit):
    # A sub-tree file system has no path the store could rename in: it goes the way of an object store.
    remote = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    remote.create_dir("model/blobs")
    remote.create_dir("model/versions")
    store = ModelStore("mock:///model")
    store._files = Files(remote, "model", "mock:///model")
    (tmp_path / "model/CURRENT").write_text('{"latest": 0, "schema": "eagleray.store/1", "version": 0}')
    assert [commit(store, data) for data in (b"a", b"b")] == [1, 2]
    digest = store.current().classes["c1"].blob
    assert store.get_blob(digest).to_pybytes() == b"b"
    (tmp_path / "model/blobs" / digest).write_bytes(b"c")
    with pytest.raises(StoreCorrupt, match=f"mock:///model/blobs/{digest}"):
        store.get_blob(digest)
    store.put_blob(b"x" * 10)
    assert store.remove_unused() == 10


def test_a_store_is_made_in_memory_as_on_an_object_store(commit):
    store = ModelStore.create("mock:///bucket/model")
    assert commit(store, b"a") == 1
    assert store.current().version == 1
