"""What reading a stranger's TIFF of points would cost, told from its directories before a pixel is decoded.

The library that reads it trusts its files: it holds all that a tag counts up, follows every directory, and inflates
whatever is deflated.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_MOST_TAGS = 128
_TAG_BYTES, _TAG_BYTES_A_ROW = 2**18, 512
"""Of all tags together: a strip or a page a row, each with its place, its length and some words."""
_SMALLEST_BUDGET = 2**20
"""Points: of a small picture in large tiles, or with a last strip that is padded."""
_POINT_BYTES = 3 * 8
_PIECE = 2**20
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_COMPRESSION, _TILE_WIDTH, _TILE_LENGTH = 259, 322, 323
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags of where the parts of a picture lie, and how many bytes each has."""
_STORED, _DEFLATED = 1, (8, 32946)
_REFUSED = frozenset({330, 347, 513, 514, 32997, 32998, 33628, 50838, 50839})
"""Directories in directories, volumes, JPEGs, and what microscopes add: none has a place in a picture of points."""


def check_tiff(data: bytes, *, rows: int, columns: int) -> None:
    """Raise ValueError unless reading a TIFF takes memory and time in proportion to rows x columns points.

    Whether it holds as many is for whoever reads it to see.
    """
    points = max(2 * rows * columns, _SMALLEST_BUDGET)
    tag_bytes, stored, inflated = _TAG_BYTES + _TAG_BYTES_A_ROW * rows, len(data), points * _POINT_BYTES
    try:
        tiff = _Tiff(data)
        for tags in tiff.directories(most=rows):
            tag_bytes -= sum(tag.size for tag in tags.values())
            if tag_bytes < 0:
                raise ValueError("its tags hold more than a picture of points needs")
            parts = tiff.parts(tags)
            stored -= sum(length for _, length in parts)
            if stored < 0:
                raise ValueError("its parts overlap")
            if len(parts) * tiff.tile_points(tags) > points:
                raise ValueError("its tiles are too large for its picture")
            if tiff.is_deflated(tags):
                for place, length in parts:
                    inflated -= _inflated(data[place : place + length], most=inflated)
    except struct.error as error:
        raise ValueError("it ends too early") from error


class _Tag(NamedTuple):
    kind: int
    values: int
    inline: bytes
    """The values, or where they lie, if they are more."""

    @property
    def size(self) -> int:
        """Bytes of all values."""
        if self.kind not in _SIZES:
            raise ValueError(f"a tag is of the unknown type {self.kind}")
        return self.values * _SIZES[self.kind]


class _Tiff:
    """The directories of a TIFF, or of a BigTIFF."""

    def __init__(self, data: bytes) -> None:
        if data[:2] not in (b"II", b"MM"):
            raise ValueError("it is no TIFF")
        self._data, self._order = data, "<" if data[:2] == b"II" else ">"
        (magic,) = self._read("H", 2)
        if magic not in (42, 43):
            raise ValueError("it is no TIFF")
        self._count, self._tag, self._place = ("H", "HHI4s", "I") if magic == 42 else ("Q", "HHQ8s", "Q")
        (self._first,) = self._read(self._place, 4 if magic == 42 else 8)

    def directories(self, *, most: int) -> Iterator[Mapping[int, _Tag]]:
        """Tags of each page by their code."""
        place = self._first
        for _ in range(most):
            (count,) = self._read(self._count, place)
            if count > _MOST_TAGS:
                raise ValueError(f"a page has {count} tags")
            place += struct.calcsize(self._order + self._count)
            step = struct.calcsize(self._order + self._tag)
            found = [self._read(self._tag, place + number * step) for number in range(count)]
            tags = {code: _Tag(*rest) for code, *rest in found}
            if len(tags) < count:
                raise ValueError("a page has a tag twice")
            if refused := tags.keys() & _REFUSED:
                raise ValueError(f"its tag {min(refused)} is none of a picture of points")
            yield tags
            (place,) = self._read(self._place, place + count * step)
            if not place:
                return
        raise ValueError(f"it has more than {most} pages, and its picture has no more rows")

    def parts(self, tags: Mapping[int, _Tag]) -> list[tuple[int, int]]:
        """Where the strips or tiles of a page lie, and how many bytes each has."""
        if any(code in tags for code in _STRIPS) and any(code in tags for code in _TILES):
            raise ValueError("a page has both strips and tiles")
        places, lengths = (self._integers(tags, code) for code in (_TILES if _TILES[0] in tags else _STRIPS))
        return list(zip(places, lengths, strict=True))

    def tile_points(self, tags: Mapping[int, _Tag]) -> int:
        """Points of one tile, as a page has them; 0 without any."""
        width, length = (sum(self._integers(tags, code)) for code in (_TILE_WIDTH, _TILE_LENGTH))
        return width * length

    def is_deflated(self, tags: Mapping[int, _Tag]) -> bool:
        """Whether a page's parts are; ValueError where they are compressed in another way."""
        for code in self._integers(tags, _COMPRESSION):
            if code in _DEFLATED:
                return True
            if code != _STORED:
                raise ValueError(f"its compression {code} is not taken; save it with none, or with deflate")
        return False

    def _integers(self, tags: Mapping[int, _Tag], code: int) -> Sequence[int]:
        if code not in tags:
            return ()
        kind, count, inline = tags[code]
        if kind not in _INTEGERS:
            raise ValueError(f"its tag {code} holds no whole numbers")
        size = tags[code].size
        place = 0
        if size > len(inline):
            (place,) = struct.unpack(self._order + self._place, inline)
        values = np.frombuffer(self._data if place else inline, self._order + _INTEGERS[kind], count, place)
        found: Sequence[int] = values.tolist()
        return found

    def _read(self, form: str, place: int) -> tuple[Any, ...]:
        return struct.unpack_from(self._order + form, self._data, place)


def _inflated(part: bytes, *, most: int) -> int:
    """Bytes that a deflated part has when it is inflated, a piece at a time."""
    inflater, total = zlib.decompressobj(), 0
    try:
        while part and not inflater.eof:
            total += len(inflater.decompress(part, _PIECE))
            if total > most:
                raise ValueError("it inflates to more than its picture has points for")
            part = inflater.unconsumed_tail
    except zlib.error as error:
        raise ValueError("a part of it is damaged") from error
    return total
