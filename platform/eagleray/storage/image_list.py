"""Which images one event learned: a blob beside the manifest, which every version would repeat otherwise.

Plain text, one content digest a line, in the order the images were read: equal lists are one blob.
"""

import re
from collections.abc import Iterable

from eagleray.errors import StoreCorrupt
from eagleray.storage.store import ModelStore

_LINES = re.compile("(?:[0-9a-f]+\n)*")


def write_image_list(store: ModelStore, digests: Iterable[str]) -> str:
    """Put a list of content digests, in lower-case hexadecimal digits; returns the sha256 that an event names it by.

    Raises:
        ValueError: something else than digests.
    """
    text = "".join(f"{digest}\n" for digest in digests)
    if not _LINES.fullmatch(text):
        raise ValueError("image digests are lower-case hexadecimal digits, one an image")
    return store.put_blob(text.encode())


def read_image_list(store: ModelStore, blob: str) -> tuple[str, ...]:
    """The digests that `write_image_list` put.

    Raises:
        StoreCorrupt: the blob is gone, altered, or no such list.
    """
    text = bytes(store.get_blob(blob)).decode("ascii", "replace")
    if not _LINES.fullmatch(text):
        raise StoreCorrupt(store.blob_path(blob), "this is no list of image digests; roll back or learn again")
    return tuple(text.splitlines())
