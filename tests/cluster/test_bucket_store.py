"""A model store on a real S3 server whose writers are killed, interrupted and refused at each of their requests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eagleray.errors import StoreError
from eagleray.storage import ModelStore
from tests.cluster.store_writer import commit

WRITER = Path(__file__).with_name("store_writer.py")
LARGE = 12_000_000
"""Bytes that pyarrow uploads in two parts."""
REQUESTS = [
    *("POST .*/blobs/.*uploads", "PUT .*/blobs/.*partNumber=1", "PUT .*/blobs/.*partNumber=2"),
    "POST .*/blobs/.*uploadId",
    *("POST .*versions/2.json.*uploads", "PUT .*versions/2.json", "POST .*versions/2.json.*uploadId"),
    *("POST .*CURRENT.*uploads", "PUT .*CURRENT", "POST .*CURRENT.*uploadId"),
]
"""What a commit asks a bucket for, in this order."""


@pytest.fixture
def store(s3, bucket, monkeypatch):
    """A store with one version, in a bucket of its own."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    made = ModelStore.create(f"s3://{bucket}/line 1/model")
    commit(made, b"old")
    return made


def _writer(store, size):
    """A process that commits so many bytes of 2."""
    command = [sys.executable, str(WRITER), store.uri, "2", str(size)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "platform"})


def _whole(store):
    """Check every committed version and all its blobs, as a reader would; the current one."""
    for version in store.versions():
        for digest in store.read(version).digests():
            store.get_blob(digest)
    return store.current().version


@pytest.mark.parametrize("moment", REQUESTS)
def test_a_writer_killed_at_any_moment_of_a_commit_leaves_the_old_version_or_the_new(
    s3, bucket, store, eventually, moment
):
    s3.hold(moment)
    writer = _writer(store, LARGE)
    eventually(lambda: s3.held or writer.poll() is not None, within_s=120)
    assert writer.poll() is None, writer.communicate()[1]
    writer.kill()
    writer.communicate()
    s3.release()  # the bucket may well carry out what a dead process asked for
    eventually(lambda: s3.idle, within_s=60)
    put_together = moment == REQUESTS[-1]
    assert _whole(store) == (2 if put_together else 1)
    assert commit(store, b"\2" * LARGE) == (3 if put_together else 2)
    _whole(store)


def test_of_an_upload_killed_between_its_parts_no_reader_sees_anything(s3, bucket, store, eventually):
    before = s3.objects(bucket)
    s3.hold("PUT .*partNumber=2")
    writer = _writer(store, LARGE)
    eventually(lambda: s3.held, within_s=120)
    writer.kill()
    writer.communicate()
    s3.release()
    eventually(lambda: s3.idle, within_s=60)
    assert s3.objects(bucket) == before
    (left,) = s3.uploads(bucket)  # parts are kept and paid for until a rule of the bucket deletes them
    assert left.startswith("line 1/model/blobs/")
    assert store.remove_unused() == 0
    assert commit(store, b"\2" * LARGE) == 2
    assert _whole(store) == 2


def test_an_upload_that_is_interrupted_by_ctrl_c_ends_whole(s3, bucket, store, eventually):
    s3.hold("POST .*CURRENT.*uploads")
    writer = _writer(store, 10)
    eventually(lambda: s3.held, within_s=120)
    writer.send_signal(signal.SIGINT)
    s3.release()
    _, errors = writer.communicate(timeout=120)
    assert "KeyboardInterrupt" in errors
    assert _whole(store) == 2


@pytest.mark.parametrize(
    "moment", ["PUT .*partNumber=2", "POST .*/blobs/.*uploadId", "PUT .*versions/2.json", "PUT .*CURRENT"]
)
def test_an_upload_that_is_refused_is_one_line_and_changes_nothing(s3, bucket, store, moment):
    before = s3.objects(bucket)
    s3.refuse(moment)
    with pytest.raises(StoreError, match=r"s3://.*ACCESS_DENIED.*AWS_ACCESS_KEY_ID") as caught:
        commit(store, bytes(LARGE))
    assert "\n" not in str(caught.value)
    s3.refuse("")
    after = s3.objects(bucket)
    assert {name: after[name] for name in before} == before
    assert all(len(data) == LARGE for name, data in after.items() - before.items() if "blobs/" in name)
    assert commit(store, bytes(LARGE)) == 2
    assert _whole(store) == 2


def test_a_stores_uri_may_carry_its_options(s3, bucket, monkeypatch):
    for name, value in s3.environment.items():
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.setenv(name, value)
    store = ModelStore.create(f"s3://{bucket}/model?endpoint_override=127.0.0.1:{s3.port}&scheme=http")
    assert [commit(store, b"a"), commit(store, b"b")] == [1, 2]
    assert store.uri == f"s3://{bucket}/model"
    assert "model/CURRENT" in s3.objects(bucket)


def test_of_two_writers_the_one_that_grew_from_an_older_version_is_refused(store):
    stale = store.current().successor()
    commit(ModelStore.open(store.uri), b"b")
    with pytest.raises(StoreError, match="version 2 is current, but this run grew from version 1"):
        store.commit(stale)
    assert _whole(store) == 2
