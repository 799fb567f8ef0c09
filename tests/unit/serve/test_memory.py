"""What strangers send must not fill the memory. Measured as the system sees it: decoders do not allocate in Python."""

import gc
import zlib
from pathlib import Path

import psutil
import pytest

from tests.unit.serve.conftest import (
    SIDE,
    Site,
    colours,
    encoded,
    form,
    giant_canvas,
    part,
    png,
    png_chunk,
    tiled_tiff,
)

MB = 2**20


def text_bomb():
    return png(8, 8, bytes(72), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MB), 1)))


# What decoding these takes is refused before it is taken.
COSTLY = {
    "a real PNG of 9,000 x 9,000": lambda: png(9_000, 9_000, bytes(9_001 * 9_000)),
    "a promise of 50,000 x 50,000": lambda: png(50_000, 50_000),
    "a tile of 9,000 x 9,000 in a TIFF of 40 x 40": lambda: tiled_tiff(SIDE, 9_000),
    "a line of 30,000,000": lambda: png(30_000_000, 1, bytes(30_000_001)),
    "200 MB of text": text_bomb,
    "a giant canvas": giant_canvas,
}


@pytest.mark.parametrize("name", COSTLY)
def test_memory_does_not_grow_over_a_picture_that_is_refused(site, name):
    data = COSTLY[name]()
    site.post(b"no picture")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark is now where we are
    start = highest_mb()
    assert site.post(data).status_code in (400, 413)
    assert highest_mb() - start < 20


def highest_mb():
    """The most that this process ever held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def test_two_hundred_bad_requests_leave_nothing_behind(tiny_model, dots):
    site = Site(tiny_model.store, max_request_mb=4, max_files=3)
    photo = encoded(colours().resize((1000, 1000)))
    bad = [
        (png(50_000, 50_000), "image/png"),
        (png(9_000, 9_000, bytes(9_001 * 9_000)), "image/png"),
        (tiled_tiff(SIDE, 8_192), "image/tiff"),
        (text_bomb(), "image/png"),
        (photo[: len(photo) // 2], "image/png"),
        (encoded(colours().resize((1000, 1000)), "JPEG")[:-500], "image/jpeg"),
        (bytes(5 * MB), "image/png"),
        (form((part(), photo), (part(), bytes(3 * MB))), "multipart/form-data; boundary=B"),
        (form(*[(part(), photo)] * 4), "multipart/form-data; boundary=B"),
        (form((part(), bytes(3 * MB)), end=False), "multipart/form-data; boundary=B"),
    ]

    def all_refused():
        for body, kind in bad:
            assert site.post(body, headers={"content-type": kind}).status_code in (400, 413)

    for _ in range(10):  # until the allocator has what it keeps
        all_refused()
    process = psutil.Process()
    start = process.memory_info().rss
    for _ in range(20):
        all_refused()
    assert (process.memory_info().rss - start) / MB < 50
    assert site.post(dots).status_code == 200
