"""What a service of a model that looks at colour and depth refuses, and in which words."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.serve.conftest import encoded, form, part, png, problem
from tests.unit.serve.test_fused import both, fused, send, tests  # noqa: F401

MULTIPART = {"content-type": "multipart/form-data; boundary=B"}


def tiff(points, **save):
    stream = io.BytesIO()
    tifffile.imwrite(stream, points, **{"photometric": "rgb", **save})
    return stream.getvalue()


def points(rows=48, columns=48):
    return np.random.default_rng(0).uniform(0.5, 0.6, (rows, columns, 3)).astype(np.float32)


def depth_png(rows=48, columns=48):
    return encoded(np.random.default_rng(0).integers(1, 60_000, (rows, columns)).astype(np.uint16))


def one_point():
    found = np.zeros((48, 48, 3), np.float32)
    found[20, 20] = 0.5
    return found


PICTURE = encoded(Image.new("RGB", (48, 48), "gray"))
IMAGE = ("image", "a.png", PICTURE)
DEPTH = ("depth", "a.tiff", tiff(points()))
PNG = ("depth", "a_depth.png", depth_png())
YAML = ("depth_range", "a_info_depth.yaml", b"normalization: {min: 0.5, max: 1.5}\n")
AS_IN = "as in curl -F image=@a.png -F depth=@a.tiff"
# parts (field, file name, content) -> words of the detail
WRONG = {
    "pictures as for colour": ([("file", "a.png", PICTURE)], AS_IN),
    "pictures as for colour, and depth": ([("file", "a.png", PICTURE), DEPTH], AS_IN),
    "nothing": ([], AS_IN),
    "a strange part": ([IMAGE, DEPTH, ("normals", "a.png", PICTURE)], "a part is called 'normals'"),
    "a picture as a field": (
        [("image", None, PICTURE), DEPTH],
        f"`image` has no file name; send it as a file, {AS_IN}",
    ),
    "no depth": ([IMAGE], "1 parts `image` and 0 parts `depth`"),
    "no picture": ([DEPTH], "0 parts `image` and 1 parts `depth`"),
    "fewer depths than pictures": ([IMAGE, IMAGE, DEPTH], "2 parts `image` and 1 parts `depth`"),
    "a PNG without its range": ([IMAGE, PNG], "1 depths are PNGs, the first is a_depth.png, and there are 0 parts"),
    "a range without its PNG": ([IMAGE, DEPTH, YAML], "0 depths are PNGs, and there are 1 parts `depth_range`"),
    "an empty picture": ([("image", "a.png", b""), DEPTH], "a.png is empty"),
    "an empty depth": ([IMAGE, ("depth", "a.tiff", b"")], "a.tiff is empty"),
    "an empty range": ([IMAGE, PNG, ("depth_range", "a.yaml", b"")], "a.yaml is empty"),
    "a depth without a name": ([IMAGE, ("depth", "", b"no points")], "the depth: cannot be read as a TIFF"),
    "no picture in it": ([("image", "a.png", b"no picture"), DEPTH], "a.png: is no picture"),
}
BAD_POINTS = {
    "no TIFF": (b"no points", "cannot be read as a TIFF"),
    "a TIFF cut short": (tiff(points())[:-500], "cannot be read as a TIFF"),
    "another size": (tiff(points(41, 31)), "the depth is 31x41 pixels but its colour picture a.png is 48x48"),
    "a giant": (
        tiff(np.zeros((8000, 8000, 3), np.float16), compression="zlib"),
        "cannot be read as a TIFF (it inflates to more than its picture has points for",
    ),
    "one channel": (tiff(points()[..., 0], photometric="minisblack"), "must have rows x columns x 3 values"),
    "whole numbers": (tiff(np.ones((48, 48, 3), np.uint16)), "must have floating-point values"),
    "zeros": (tiff(0 * points()), "has no valid point"),
    "NaN": (tiff(np.nan * points()), "has no valid point"),
    "one point": (tiff(one_point()), "has too few valid points"),
    "heights beyond all numbers": (tiff(points() * np.float32(3e38)), "its heights are too far apart"),
}
BAD_PNGS = {
    "eight bits": (PICTURE, "must be a 16-bit grey PNG, got RGB"),
    "cut short": (depth_png()[:-300], "cannot be read as a PNG"),
    "another size": (depth_png(9, 8), "the depth is 8x9 pixels"),
    "a giant of eight bits": (png(9000, 9000), "must be a 16-bit grey PNG, got L"),
    "far too many pixels": (png(60_000, 60_000), "cannot be read as a PNG"),
}
BAD_RANGES = {
    "no YAML": (b"{", "is not valid YAML"),
    "another YAML": (b"a: 1", "has no key 'normalization'"),
    "no number": (b"normalization: {min: .nan, max: 1}", "min and max must be finite numbers, got nan"),
}
WRONG |= {
    f"points: {name}": ([IMAGE, ("depth", "b.tiff", data)], f"b.tiff: {words}")
    for name, (data, words) in BAD_POINTS.items()
}
WRONG |= {
    f"PNG: {name}": ([IMAGE, ("depth", "b.png", data), YAML], f"b.png: {words}")
    for name, (data, words) in BAD_PNGS.items()
}
WRONG |= {
    f"range: {name}": ([IMAGE, PNG, ("depth_range", "b.yaml", data)], f"b.yaml: {words}")
    for name, (data, words) in BAD_RANGES.items()
}
TOO_LARGE = {
    "a giant picture": ([("image", "a.png", png(8000, 8000)), DEPTH], "a.png: has 8000 x 8000 pixels"),
    "too many pictures": ([*9 * [IMAGE], *9 * [DEPTH]], "at most 8 pictures"),
    "far too many parts": (40 * [IMAGE], "at most 8 pictures"),
}


def post_parts(site, given):
    body = form(*((part(field.encode(), name if name is None else name.encode()), data) for field, name, data in given))
    return site.post(body, headers=MULTIPART)


@pytest.mark.parametrize("name", [*WRONG, *TOO_LARGE])
def test_a_wrong_request_is_refused_in_one_line_and_the_next_one_is_answered(
    fused,  # noqa: F811
    tests,  # noqa: F811
    name,
):
    given, words = (WRONG | TOO_LARGE)[name]
    found = problem(post_parts(fused, given), 413 if name in TOO_LARGE else 400)
    assert words in found["detail"]
    assert send(fused, tests[0]).status_code == 200


def test_a_picture_alone_is_told_to_come_with_its_depth(fused):  # noqa: F811
    for kind in ("image/png", "application/octet-stream", None):
        found = problem(fused.post(PICTURE, headers={"content-type": kind} if kind else {}), 400)
        assert f"this model looks at depth, too: send parts `image` and `depth`, {AS_IN}" in found["detail"]


def test_all_bad_pictures_of_a_request_are_named(fused):  # noqa: F811
    broken, far_apart = ("depth", "b.tiff", b"x"), ("depth", "c.tiff", tiff(points() * np.float32(3e38)))
    found = problem(post_parts(fused, [*4 * [IMAGE], broken, DEPTH, broken, far_apart]), 400)
    assert [error["name"] for error in found["errors"]] == ["b.tiff", "b.tiff"]  # nothing else was computed
    assert "2 of 4 pictures" in found["detail"]
    found = problem(post_parts(fused, [IMAGE, IMAGE, DEPTH, far_apart]), 400)
    assert [error["name"] for error in found["errors"]] == ["c.tiff"]
