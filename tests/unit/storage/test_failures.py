"""The store under fire: killed writers, full disks, refused access, several writers at once."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from eagleray.errors import StoreError, StoreFull
from eagleray.storage import ClassEntry, Manifest, ModelStore

WRITER = """
import os, sys
from eagleray.storage import ClassEntry, Manifest, ModelStore
store = ModelStore.create(sys.argv[1])
print("ready", flush=True)
while True:
    entry = ClassEntry(expert=0, blob=store.put_blob(os.urandom(20_000)), rows=1, num_images=1)
    old = store.current()
    if old is None:
        store.commit(Manifest(kind="test", features={}, config={}, seed=0, classes={"c": entry}))
    else:
        store.commit(old.successor(classes={"c": entry}))
"""

LIMITED = """
import resource, sys
from eagleray.errors import StoreFull
from eagleray.storage import ModelStore
store = ModelStore.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    store.put_blob(bytes(100_000))
except StoreFull as error:
    print(error)
"""


def whole_versions(store):
    """Check every committed version and all its blobs, as a reader would; how many there are."""
    for version in store.versions():
        for digest in store.read(version).digests():
            store.get_blob(digest)
    return len(store.versions())


def leftovers(store):
    return list(Path(store.uri).rglob("*.tmp"))


def test_a_writer_killed_at_any_moment_leaves_a_whole_store(tmp_path):
    rng = random.Random(0)
    root = tmp_path / "model"
    seen = 0
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", WRITER, root], stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.0, 0.12))
            writer.send_signal(signal.SIGKILL)
        store = ModelStore.open(root)
        assert whole_versions(store) >= seen
        seen = len(store.versions())
        assert (store.current().version if seen else 0) == seen
    assert seen > 0
    store.remove_unused()
    assert whole_versions(store) == seen and not leftovers(store)


SYSTEM_CALLS = [("fsync", nth) for nth in range(7)] + [("replace", nth) for nth in range(3)]


@pytest.mark.parametrize(("call", "nth"), SYSTEM_CALLS)
def test_a_disk_that_fills_at_any_step_leaves_the_old_version_or_the_new(store, commit, monkeypatch, call, nth):
    commit(store, b"old")
    owner = os if call == "fsync" else Path
    calls = []
    real = getattr(owner, call)

    def fill(*args):
        calls.append(args)
        if len(calls) == nth + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fill)
        with pytest.raises(StoreFull, match="free some space"):
            commit(store, b"new")
    assert len(calls) == nth + 1, "the store went on after a failure"
    # Only the last fsync, of the folder in which CURRENT was already replaced, comes too late to keep the old version.
    came_too_late = (call, nth) == ("fsync", 6)
    assert whole_versions(store) == (2 if came_too_late else 1)
    assert not leftovers(store)
    assert commit(store, b"new") == (3 if came_too_late else 2)


def test_a_real_limit_on_file_size_reads_as_a_full_disk(store):
    done = subprocess.run([sys.executable, "-c", LIMITED, store.uri], capture_output=True, text=True, check=True)
    assert "takes no more bytes" in done.stdout
    assert list(Path(store.uri, "blobs").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_refused_access_names_the_place_and_the_cure(store, monkeypatch, number):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreError, match=r"blobs/.*access refused.*choose another folder") as caught:
        store.put_blob(b"a")
    assert "\n" not in str(caught.value)


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "model").write_text("not a folder")
    with pytest.raises(StoreError, match=f"{tmp_path}/model"):
        ModelStore.create(tmp_path / "model")


def test_writers_of_the_same_blob_at_once_leave_one_whole_file(store):
    data = os.urandom(1_000_000)
    start = Barrier(8)

    def put(_):
        start.wait()
        return ModelStore.open(store.uri).put_blob(data)

    with ThreadPoolExecutor(8) as writers:
        digests = set(writers.map(put, range(8)))
    assert len(digests) == 1
    assert [path.name for path in Path(store.uri, "blobs").iterdir()] == list(digests)
    assert store.get_blob(digests.pop()).to_pybytes() == data


def test_committers_at_once_lose_no_version_and_create_at_once_makes_one_store(tmp_path):
    start = Barrier(4)

    def run(worker):
        start.wait()
        store = ModelStore.create(tmp_path / "model")
        refused = 0
        for number in range(5):
            entry = ClassEntry(expert=0, blob=store.put_blob(b"%d %d" % (worker, number)), rows=1, num_images=1)
            while True:
                old = store.current() or Manifest(kind="test", features={}, config={}, seed=0)
                grown = {**old.classes, f"{worker}/{number}": entry}
                try:
                    store.commit(old.successor(classes=grown, parent=old.version or None))
                    break
                except StoreError:
                    refused += 1
        return refused

    with ThreadPoolExecutor(4) as committers:
        refused = sum(committers.map(run, range(4)))
    store = ModelStore.open(tmp_path / "model")
    assert refused > 0, "they never met: the test proves nothing"
    assert len(store.current().classes) == 20
    assert whole_versions(store) == 20
