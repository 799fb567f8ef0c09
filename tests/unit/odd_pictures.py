"""Picture files that say little-used things about themselves, or wrong ones."""

import struct
import zlib

SIDEWAYS_XMP = b'<rdf:Description tiff:Orientation="6"/>'
"""Says that a picture is shown turned by a quarter, clockwise."""
SIDEWAYS_CHUNK = (b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + SIDEWAYS_XMP)
"""The same, in a PNG."""
SHORT_PROFILE = (b"iCCP", b"a\0")
"""A PNG's chunk over which Pillow raises IndexError."""


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def add_chunk(path, kind, data, *, behind_pixels):
    """Write one more chunk into a PNG, before or behind its pixels."""
    png = path.read_bytes()
    place = len(png) - len(chunk(b"IEND", b"")) if behind_pixels else png.index(b"IDAT") - 4
    path.write_bytes(png[:place] + chunk(kind, data) + png[place:])


def sideways_exif(tag, kind, value):
    """EXIF that says the same as `SIDEWAYS_XMP`, and has one other tag, of whatever kind and value of one byte."""
    entries = sorted([(tag, kind, value), (0x0112, 3, b"\x06\0")])
    packed = b"".join(struct.pack("<HHI4s", tag, kind, 1, value) for tag, kind, value in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)
