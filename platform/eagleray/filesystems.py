"""The file systems that pyarrow.fs knows: opened once a process, written whole, and their errors in words."""

import contextlib
import errno
import functools
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from eagleray.errors import UriError

_WITHOUT_FOLDERS = ("s3", "gcs", "abfs")
"""What pyarrow calls buckets."""
_LONGEST = 240
"""Characters of a service's own words that are shown."""


def located(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URI, opened once a process, and the path in it; options are taken too.

    Raises:
        OSError, pyarrow.ArrowException: the service does not answer, or pyarrow knows no such URI.
    """
    if uri.startswith("file:"):  # the authority alone is no URI
        return _service(uri)
    address, _, options = uri.partition("?")
    scheme, _, rest = address.partition("://")
    service, _, path = rest.partition("/")
    filesystem, root = _service(f"{scheme}://{service}{'?' if options else ''}{options}")
    if root and not root.endswith("/"):
        root += "/"
    return filesystem, f"{root}{unquote(path)}".rstrip("/")


@functools.cache
def _service(address: str) -> tuple[fs.FileSystem, str]:
    found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(address)
    return found


def make_folder(filesystem: fs.FileSystem, path: str) -> None:
    """Make a folder and those above it, where they are missing.

    Not in a bucket, whose folders are parts of names: it would take the right to write above our own folder.
    """
    if filesystem.type_name not in _WITHOUT_FOLDERS:
        filesystem.create_dir(path, recursive=True)


def write_whole(filesystem: fs.FileSystem, path: str, data: Any) -> None:
    """Write or replace an object: readers see all of its old bytes or all of the new ones.

    In a thread, because pyarrow completes a stream that is dropped: Ctrl-C raised between opening and writing would
    leave an empty object under the name. The thread ends its work before the exception goes on.
    """

    def write() -> None:
        with filesystem.open_output_stream(path, compression=None) as stream:
            stream.write(data)

    with ThreadPoolExecutor(1) as executor:
        executor.submit(write).result()


def without_secrets(uri: str) -> str:
    """A URI without user, password and options, fit to be printed; a path stays as it is."""
    if "://" not in uri:
        return uri.rstrip("/")
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def reason_and_cure(error: Exception) -> tuple[str, str]:
    """What pyarrow or a service said, shortened, and what helps."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    text = text[text.find("AWS Error") :] if "AWS Error" in text else text
    text = re.sub(r" \(Request ID: [^)]*\)|: No response body\.?", "", text)
    cure = next((cure for word, cure in _CURES.items() if word in text), _CURE)
    if isinstance(error, pa.ArrowException):
        cure = "use a folder's path, file:///..., s3://bucket/... or gs://bucket/..."
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...", cure


_CREDENTIALS = (
    "give every process of the cluster credentials that may do this, by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "a profile or the machine's role"
)
_BUCKET = "make the bucket, or give another one"
_CURES = {
    "NO_SUCH_BUCKET": _BUCKET,
    "allow_bucket_creation": _BUCKET,
    "ACCESS_DENIED": _CREDENTIALS,
    "INVALID_ACCESS_KEY_ID": _CREDENTIALS,
    "SIGNATURE_DOES_NOT_MATCH": _CREDENTIALS,
    "NETWORK_CONNECTION": "check AWS_ENDPOINT_URL, AWS_REGION and the network, then run again",
}
"""Part of a service's words -> what helps; the first that fits."""
_CURE = "check the address, the credentials and the network, then run again"


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what pyarrow and services raise into a FileNotFoundError of this place, or a UriError with a cure."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where) from error
    except (OSError, pa.ArrowException) as error:
        reason, cure = reason_and_cure(error)
        raise UriError(where, f"cannot be used ({reason}); {cure}") from error
