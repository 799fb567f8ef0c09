"""TIFFs that strangers send: what they cost is bounded by the size of their picture before a pixel is decoded."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile

from eagleray.data.depth import read_depth
from eagleray.data.source import NamedBytes
from eagleray.data.tiff_cost import check_tiff
from eagleray.errors import BadImage

ROWS, COLUMNS = 12, 9
POINTS = np.random.default_rng(0).uniform(0.2, 1, (ROWS, COLUMNS, 3))
MB = 2**20
GOOD = {
    "one page": {"photometric": "rgb"},
    "a page for each row": {"photometric": "minisblack"},
    "a page for each row, without words": {"photometric": "minisblack", "metadata": None},
    "deflated": {"photometric": "rgb", "compression": "zlib"},
    "deflated pages": {"photometric": "minisblack", "compression": "zlib"},
    "strips": {"photometric": "rgb", "rowsperstrip": 1},
    "deflated strips": {"photometric": "rgb", "rowsperstrip": 5, "compression": "zlib"},
    "tiles": {"photometric": "rgb", "tile": (256, 256)},
    "deflated tiles": {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"},
    "BigTIFF": {"photometric": "rgb", "bigtiff": True},
    "big-endian": {"photometric": "rgb", "byteorder": ">"},
    "big-endian BigTIFF of pages": {"photometric": "minisblack", "byteorder": ">", "bigtiff": True},
}


def tiff(points=POINTS, **save):
    stream = io.BytesIO()
    tifffile.imwrite(stream, points, **{"photometric": "rgb", **save})
    return stream.getvalue()


def read(data, rows=ROWS, columns=COLUMNS):
    return read_depth(NamedBytes(data, "a.tiff"), None, size=(rows, columns), picture="a.png")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GOOD)
def test_points_are_read_from_bytes_however_they_are_stored(name, dtype):
    depth = read(tiff(POINTS.astype(dtype), **GOOD[name]))
    np.testing.assert_array_equal(depth.depth_YX, POINTS.astype(np.float32)[..., 2])
    assert depth.valid_YX.all()


def written(tags, *, body=b"", next_place=0, big=False):
    """A TIFF of one page: `tags` are (code, type, number of values, value or place)."""
    if big:
        start, forms = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16), ("<Q", "<HHQQ", "<Q")
    else:
        start, forms = struct.pack("<2sHI", b"II", 42, 8), ("<H", "<HHII", "<I")
    entries = b"".join(struct.pack(forms[1], *tag) for tag in tags)
    return start + struct.pack(forms[0], len(tags)) + entries + struct.pack(forms[2], next_place) + body


def page(width=COLUMNS, length=ROWS, *, compression=1, places=None, lengths=None, extra=()):
    """Tags of a page of three floats a pixel in one strip."""
    return [
        (256, 4, 1, width),
        (257, 4, 1, length),
        (258, 3, 1, 32),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
        (273, *(places or (4, 1, 8))),
        (277, 3, 1, 3),
        (278, 4, 1, length),
        (279, *(lengths or (4, 1, 4))),
        (339, 3, 1, 3),
        *extra,
    ]


def bomb():
    """A strip of 128 MB in half a megabyte."""
    packed = zlib.compress(bytes(128 * MB), 1)
    tags = page(compression=8, places=(4, 1, 200), lengths=(4, 1, len(packed)))
    return written(tags).ljust(200, b"\0") + packed


def many_pages():
    """A hundred thousand pages, each of which leads to the next."""
    size = 2 + 12 + 4
    pages = b"".join(
        struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 9) + struct.pack("<I", 8 + size * (number + 1))
        for number in range(100_000)
    )
    return struct.pack("<2sHI", b"II", 42, 8) + pages[:-4] + bytes(4)


def empty_stream():
    """Four megabytes of deflated nothing, which a thousand strips have in common."""
    packed = b"\x78\x9c" + 800_000 * b"\0\0\0\xff\xff"
    count, start = 1000, 8 + 2 + 12 * 12 + 4
    lists = struct.pack(f"<{count}I", *[start + 8 * count] * count) + struct.pack(f"<{count}I", *[len(packed)] * count)
    tags = page(compression=8, places=(4, count, start), lengths=(4, count, start + 4 * count))
    return written(tags).ljust(start, b"\0") + lists + packed


BAD = {
    "text": (lambda: b"no TIFF at all", "it is no TIFF"),
    "nothing": (lambda: b"", "it is no TIFF"),
    "another magic number": (lambda: b"II\x55\0" + tiff()[4:], "it is no TIFF"),
    "header alone": (lambda: tiff()[:8], "it ends too early"),
    "an inflating strip": (bomb, "it inflates to more than its picture has points for"),
    "a damaged strip": (lambda: written(page(compression=8)), "a part of it is damaged"),
    "50,000 x 50,000": (lambda: written(page(50_000, 50_000)), "the depth is 50000x50000 pixels"),
    "sides beyond all numbers": (lambda: written(page(2**63, 2**63), big=True), "a.tiff: "),
    "a list beyond its end": (lambda: written(page(places=(4, 2**30, 8))), "its tags hold more"),
    "a list of the whole body": (
        lambda: written(page(places=(3, 2 * MB, 8)), body=bytes(4 * MB)),
        "its tags hold more than a picture of points needs",
    ),
    "one list for many tags": (
        lambda: written(
            [(code, 3, 60_000, 8) for code in (258, 273, 277, 279, 282, 283, 324, 325)], body=bytes(130_000)
        ),
        "its tags hold more",
    ),
    "a hundred thousand pages": (many_pages, "more than 12 pages"),
    "a page that leads to itself": (lambda: written(page(), next_place=8), "more than 12 pages"),
    "parts that overlap": (empty_stream, "its parts overlap"),
    "a giant tile": (
        lambda: written([*page()[:5], (322, 4, 1, 2**20), (323, 4, 1, 2**20), (324, 4, 1, 8), (325, 4, 1, 4)]),
        "its tiles are too large",
    ),
    "strips and tiles": (lambda: written(page(extra=[(324, 4, 1, 8), (325, 4, 1, 4)])), "both strips and tiles"),
    "a volume": (lambda: written(page(extra=[(32997, 4, 1, 2**30)])), "its tag 32997"),
    "directories in a directory": (lambda: written(page(extra=[(330, 4, 1, 8)])), "its tag 330"),
    "a tag twice": (lambda: written([*page(), (256, 4, 1, 9)]), "a tag twice"),
    "thousands of tags": (lambda: written([(number, 4, 1, 0) for number in range(3000)]), "3000 tags"),
    "a tag of no type": (lambda: written(page(extra=[(700, 99, 1, 0)])), "unknown type 99"),
    "a place that is a fraction": (lambda: written(page(places=(11, 1, 8))), "holds no whole numbers"),
    "places without lengths": (lambda: written(page()[:8]), "a.tiff: "),
    "another compression": (lambda: written(page(compression=34925)), "its compression 34925 is not taken"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_hostile_tiff_is_refused_in_one_line_and_takes_no_memory(name):
    make, words = BAD[name]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(BadImage) as caught:
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 16 * MB
    finally:
        tracemalloc.stop()
    assert words in str(caught.value)
    assert str(caught.value).startswith("a.tiff: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "save", [GOOD["deflated strips"], GOOD["a page for each row"], GOOD["deflated tiles"]], ids=str
)
def test_bytes_that_are_others_are_refused_or_read_and_nothing_else(save):
    whole = tiff(**save)
    random = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in random.integers(min(len(whole), 400), size=random.integers(1, 6)):
            data[place] = random.integers(256)
        try:
            read(bytes(data))
        except BadImage as error:
            assert len(str(error).splitlines()) == 1


def test_a_tiff_of_the_users_own_is_read_whatever_it_is_compressed_with(tmp_path):
    """Nobody is protected from files that lie on this machine."""
    (tmp_path / "a.tiff").write_bytes(tiff(POINTS.astype(np.float32), compression="lzma"))
    depth = read_depth(str(tmp_path / "a.tiff"), None, size=(ROWS, COLUMNS), picture="a.png")
    np.testing.assert_array_equal(depth.depth_YX, POINTS.astype(np.float32)[..., 2])
    with pytest.raises(BadImage, match="its compression 34925 is not taken; save it with none, or with deflate"):
        read((tmp_path / "a.tiff").read_bytes())


def test_a_picture_of_one_row_may_have_one_page():
    check_tiff(tiff(POINTS[:1]), rows=1, columns=COLUMNS)
