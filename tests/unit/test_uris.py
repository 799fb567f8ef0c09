"""URIs as jobs take them: their names, what they refuse, and what they say where a service fails."""

import errno
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from eagleray import filesystems
from eagleray.errors import ConfigError, UriError
from eagleray.filesystems import make_folder, reason_and_cure, write_whole
from eagleray.uris import Uri, overlapped, picture_file, place
from tests.unit.buckets import bucket


def test_a_uri_names_its_parts_as_a_path_does():
    uri = Uri("s3://bucket/line 1/") / "50% off?" / "a.b.png"
    assert str(uri) == "s3://bucket/line 1/50%25 off%3F/a.b.png"
    assert (uri.name, uri.stem, uri.suffix) == ("a.b.png", "a.b", ".png")
    assert uri.parent.name == "50% off?"
    assert uri.parent.parent.parent == Uri("s3://bucket")
    assert Uri("s3://bucket/line%201") == Uri("s3://bucket/line 1")
    assert len({uri, Uri(str(uri))}) == 1


def test_any_name_comes_back_from_a_bucket(tmp_path):
    root = bucket(tmp_path)
    names = ["plain.png", "a b.png", "50%.png", "%41.png", "what?.png", "ä#1.png", "in/a folder/x.png"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    assert sorted(below for below, is_file in root.walk() if is_file) == sorted(names)
    assert [Uri(str(root / name)).read_text() for name in names] == names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:hidden@bucket/data", "s3://bucket/data"),
        ("s3://bucket/data?region=hidden", "s3://bucket/data"),
        ("abfs://c@account/data?client_secret=hidden", "abfs://account/data"),
    ],
)
def test_passwords_and_options_are_refused_and_not_shown(text, shown):
    with pytest.raises(ConfigError, match="without password and options") as caught:
        Uri(text)
    assert shown in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize("text", ["s3://", "s3:///", "://"])
def test_a_uri_has_to_name_a_place(text):
    with pytest.raises(ConfigError, match="scheme://bucket"):
        Uri(text)


def test_a_text_is_a_path_or_a_uri_and_a_files_uri_is_a_path():
    assert place("runs/a") == Path("runs/a")
    assert place("file:///my%20runs/a") == Path("/my runs/a")
    assert place("gs://bucket/a") == Uri("gs://bucket/a")
    assert place(Path("a")) == Path("a") and place(Uri("s3://a")) == Uri("s3://a")
    with pytest.raises(ConfigError, match="file:///folder"):
        place("file://host/a")


def test_a_local_path_goes_to_pillow_as_it_is():
    assert picture_file("/data/a.png") == "/data/a.png"
    assert picture_file(Path("/data/a.png"), header=True) == "/data/a.png"


def test_files_and_folders_of_a_bucket_are_told_apart(tmp_path):
    root = bucket(tmp_path)
    (root / "a").mkdir(parents=True, exist_ok=True)
    (root / "a/x").write_bytes(b"1")
    seen = {
        where: (where.exists(), where.is_dir(), where.is_file()) for where in (root / "a", root / "a/x", root / "b")
    }
    assert list(seen.values()) == [(True, True, False), (True, False, True), (False, False, False)]
    with pytest.raises(FileNotFoundError) as caught:
        (root / "b").read_bytes()
    assert caught.value.filename == str(root / "b")


class Refusing:
    """A file system whose service answers everything with an error."""

    type_name = "s3"

    def __init__(self, error):
        self.error = error

    def __getattr__(self, _):
        def refuse(*args, **kwargs):
            raise self.error

        return refuse


AWS = "When reading information for key 'a' in bucket 'b': AWS Error {} during HeadObject operation: {}"


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (
            OSError(AWS.format("NO_SUCH_BUCKET", "None. (Request ID: abc)")),
            ["AWS Error NO_SUCH_BUCKET", "make the bucket"],
        ),
        (
            OSError(AWS.format("ACCESS_DENIED", "No response body.")),
            ["ACCESS_DENIED during HeadObject", "AWS_ACCESS_KEY_ID"],
        ),
        (OSError(AWS.format("NETWORK_CONNECTION", "curlCode: 28, Timeout")), ["curlCode: 28", "AWS_ENDPOINT_URL"]),
        (OSError("google::cloud::Status(UNAVAILABLE:\nretry policy exhausted)"), ["UNAVAILABLE", "credentials"]),
        (OSError(errno.EIO, "Input/output error"), ["Input/output error"]),
        (pa.ArrowInvalid("Unrecognized filesystem type in URI: gopher://b"), ["gopher", "s3://bucket"]),
    ],
)
@pytest.mark.parametrize("do", ["exists", "read_bytes", "walk", "write"])
def test_what_a_service_says_is_one_line_with_a_cure(monkeypatch, error, parts, do):
    monkeypatch.setattr(filesystems, "_service", lambda _: (Refusing(error), "b"))
    uri = Uri("s3://b/a")
    calls = {"exists": uri.exists, "read_bytes": uri.read_bytes, "walk": lambda: list(uri.walk())}
    with pytest.raises(UriError) as caught:
        calls.get(do, lambda: uri.write_bytes(b""))()
    text = str(caught.value)
    assert text.startswith("s3://b/a: ") and "\n" not in text
    assert all(part in text for part in parts), text
    assert "Request ID" not in text


def test_a_long_answer_is_cut():
    reason, _ = reason_and_cure(OSError("no " * 1000))
    assert len(reason) < 300


def test_files_of_a_bucket_are_asked_for_at_once_and_those_of_a_disk_one_by_one():
    all_three = threading.Barrier(3, timeout=20)

    def ask(uri):
        all_three.wait()
        return uri

    assert list(overlapped(ask, ["s3://b/1", "s3://b/2", "s3://b/3"])) == ["s3://b/1", "s3://b/2", "s3://b/3"]
    here = threading.get_ident()
    assert list(overlapped(lambda _: threading.get_ident(), ["/1", "/2"])) == [here, here]
    assert list(overlapped(str, [])) == []


class Interrupted:
    """A file system and its output stream, opened while a Ctrl-C comes; keeps what the stream was closed with."""

    def __init__(self):
        self.data, self.whole = b"", None

    def open_output_stream(self, path, compression):
        signal.raise_signal(signal.SIGINT)
        return self

    def __enter__(self):
        return self

    def write(self, data):
        self.data += data

    def __exit__(self, *_):
        self.whole = self.data


def test_a_ctrl_c_between_opening_and_writing_leaves_no_empty_object():
    stream = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        write_whole(stream, "b/CURRENT", b"all of it")
    assert stream.whole == b"all of it"


def test_a_bucket_gets_no_folders_and_a_disk_does(tmp_path):
    make_folder(Refusing(OSError("may not")), "b/above/ours")
    make_folder(fs.LocalFileSystem(), str(tmp_path / "a/b"))
    assert (tmp_path / "a/b").is_dir()
