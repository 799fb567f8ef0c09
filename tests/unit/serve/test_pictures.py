"""What pictures may look like that strangers send. Every one goes through the service."""

import base64
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image

from eagleray.features import image_size, load_image
from tests.unit.serve.conftest import (
    SIDE,
    animated,
    colours,
    decoded,
    encoded,
    giant_canvas,
    png,
    png_chunk,
    problem,
    tiled_tiff,
)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(colours().resize((SIDE, 20)), "JPEG", exif=exif)


GOOD = {
    "16-bit grey PNG": lambda: encoded(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 40),
    "16-bit grey TIFF": lambda: encoded(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 40, "TIFF"),
    "float TIFF": lambda: encoded(np.full((SIDE, SIDE), 77.7, np.float32), "TIFF"),
    "CMYK JPEG": lambda: encoded(colours().convert("CMYK"), "JPEG"),
    "progressive JPEG": lambda: encoded(colours(), "JPEG", progressive=True),
    "grey JPEG": lambda: encoded(colours().convert("L"), "JPEG"),
    "MPO": lambda: encoded(colours(), "MPO", save_all=True, append_images=[colours()]),
    "turned JPEG": turned,
    "palette PNG": lambda: encoded(colours().quantize(16)),
    "palette PNG with transparency": lambda: encoded(colours().quantize(16), transparency=0),
    "RGBA PNG": lambda: encoded(colours().convert("RGBA")),
    "1-bit PNG": lambda: encoded(colours().convert("1")),
    "BMP": lambda: encoded(colours(), "BMP"),
    "TIFF": lambda: encoded(colours(), "TIFF"),
    "LZW TIFF": lambda: encoded(colours(), "TIFF", compression="tiff_lzw"),
    "tiled TIFF": lambda: tiled_tiff(SIDE, 512),
    "WebP": lambda: encoded(colours(), "WEBP"),
    "PPM": lambda: encoded(colours(), "PPM"),
    "animated GIF": lambda: animated("GIF"),
    "animated PNG": lambda: animated("PNG"),
    "animated WebP": lambda: animated("WEBP"),
    "TIFF of 500 frames": lambda: encoded(colours(), "TIFF", save_all=True, append_images=[colours()] * 499),
    "one pixel": lambda: encoded(Image.new("RGB", (1, 1))),
    "a line": lambda: encoded(Image.new("L", (65_535, 1))),
    "a column": lambda: encoded(Image.new("L", (1, 65_535))),
    "bytes after its end": lambda: encoded(colours()) + b"x" * 1000,
}


@pytest.mark.parametrize("name", GOOD)
def test_a_picture_of_any_usual_kind_is_scored_as_it_is_from_a_file(site, name, tmp_path):
    data = GOOD[name]()
    path = tmp_path / "a"
    path.write_bytes(data)
    (item,) = site.post(data).json()["items"]
    (same,) = site.post(encoded(load_image(path))).json()["items"]
    assert item == same


def test_of_an_animation_the_first_frame_counts(site):
    (item,) = site.post(animated("PNG")).json()["items"]
    assert item == site.post(encoded(colours())).json()["items"][0]


def test_a_turned_picture_gives_a_heat_map_that_stands_upright(site, tmp_path):
    data = turned()
    (item,) = site.post(data, "/v1/score?heatmap=png").json()["items"]
    (tmp_path / "a.jpg").write_bytes(data)
    assert decoded(base64.b64decode(item["heatmap"])).shape[:2] == image_size(tmp_path / "a.jpg") == (SIDE, 20)


def eps():
    return encoded(colours(), "EPS")


def bomb_of_text():
    return png(8, 8, bytes(72), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))))


def run_length_bmp():
    data = bytearray(encoded(colours().quantize(16), "BMP"))
    data[30:34] = struct.pack("<I", 1)
    return bytes(data)


def many_scans():
    data = encoded(colours(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + 200 * scan + data[-2:]


def giant_frame():
    data = bytearray(encoded(colours().quantize(16), "GIF"))
    start = data.index(b"\x2c", 13 + 3 * 16) + 5
    data[start : start + 4] = struct.pack("<HH", 65_535, 65_535)
    return bytes(data)


BAD = {
    "text": (lambda: b"this is no picture", 400, "no picture"),
    "truncated PNG": (lambda: encoded(colours())[:-40], 400, "cannot be read"),
    "truncated JPEG": (lambda: encoded(colours(), "JPEG")[:-100], 400, "cannot be read"),
    "truncated TIFF": (lambda: encoded(colours(), "TIFF")[:-100], 400, "cannot be read"),
    "truncated WebP": (lambda: encoded(colours(), "WEBP")[:-50], 400, "cannot be read"),
    "truncated GIF": (lambda: encoded(colours(), "GIF")[:-50], 400, "cannot be read"),
    "header alone": (lambda: encoded(colours())[:30], 400, ""),
    "no pixels": (lambda: png(0, 5), 400, ""),
    "EPS": (eps, 400, "no picture"),
    "PDF": (lambda: encoded(colours(), "PDF"), 400, "no picture"),
    "ICO": (lambda: encoded(colours(), "ICO"), 400, "no picture"),
    "PSD": (lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(300), 400, "no picture"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 400, "no picture"),
    "JPEG 2000": (lambda: encoded(colours(), "JPEG2000"), 400, "no picture"),
    "bomb of text in a PNG": (bomb_of_text, 400, "cannot be read"),
    "text PPM": (lambda: b"P2 8 8 255 " + b"0 " * 64, 400, "takes minutes"),
    "PPM of odd depth": (lambda: b"P6 8 8 100\n" + bytes(192), 400, "takes minutes"),
    "run-length BMP": (run_length_bmp, 400, "takes minutes"),
    "JPEG of 200 scans": (many_scans, 400, "scans"),
    "PNG of 50,000 x 50,000": (lambda: png(50_000, 50_000), 413, "pixels"),
    "PNG of 8,000 x 8,000": (lambda: png(8_000, 8_000), 413, "8000 x 8000"),
    "PNG of 65,536 x 1": (lambda: png(65_536, 1, bytes(65_537)), 413, "65,535 a side"),
    "TIFF with a giant tile": (lambda: tiled_tiff(SIDE, 8192), 413, "8192 x 8192"),
    "WebP with a giant canvas": (giant_canvas, 413, "pixels"),
    "GIF with a giant frame": (giant_frame, 413, "pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_picture_that_cannot_be_used_is_refused_and_the_next_one_is_answered(site, dots, name, monkeypatch):
    def start(*args, **kwargs):
        raise AssertionError("a program was started over a picture")

    data, status, words = BAD[name][0](), *BAD[name][1:]
    monkeypatch.setattr(subprocess, "Popen", start)
    found = problem(site.post(data), status)
    assert words in found["detail"]
    assert found["detail"].startswith("the picture")
    assert site.post(dots).status_code == 200
