"""A file to be read: on disk, or in memory because it came over a network."""

import io
from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class NamedBytes:
    """What a stranger sent: whoever decodes it bounds what that costs before it begins."""

    data: bytes = field(repr=False)
    name: str
    """What errors call it."""


Source = str | NamedBytes
"""A path, or a file's bytes."""


def name_of(source: Source) -> str:
    """What errors call it."""
    return source if isinstance(source, str) else source.name


def cure_of(source: Source) -> str:
    """What helps where it cannot be used, for the end of a message."""
    return "replace or delete it" if isinstance(source, str) else "send another"


def open_source(source: Source) -> BinaryIO:
    """Open it; OSError where a file cannot be."""
    return open(source, "rb") if isinstance(source, str) else io.BytesIO(source.data)  # noqa: PTH123
