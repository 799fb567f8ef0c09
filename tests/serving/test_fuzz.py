"""What a machine thinks of: requests made from our own OpenAPI document, and pictures with bytes changed.

All of it runs in this process, and begins from the same seed every time.
"""

import io

import numpy as np
import pytest
import schemathesis
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from eagleray.storage import ModelStore
from tests.unit.conftest import tiny_model  # noqa: F401
from tests.unit.serve.conftest import PROBLEM, SIDE, Site, animated, colours, encoded, form, part, problem
from tests.unit.tiny_fusion import BOTH, keep, write_pictures

KINDS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM")
WHOLE = [*(encoded(colours(), kind) for kind in KINDS), animated("PNG"), animated("WEBP")]
WHOLE += [encoded(colours(), "JPEG", progressive=True), encoded(colours(), "TIFF", compression="tiff_lzw")]
CHECKS = {
    "checks": {
        "positive_data_acceptance": {"enabled": False},  # most bytes are no picture, however right their type
        "negative_data_rejection": {"expected-statuses": [400, 404, 413, 415, 422]},
    }
}
QUIET = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def points(**save):
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.random.default_rng(0).uniform(0.5, 0.6, (SIDE, SIDE, 3)).astype(np.float32), **save)
    return stream.getvalue()


LIMITS = b"normalization: {min: 0.5, max: 1.5}\n"
DEPTHS = [points(photometric="rgb"), points(photometric="minisblack"), points(photometric="rgb", compression="zlib")]
DEPTHS += [
    points(photometric="rgb", tile=(16, 16)),
    encoded(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)),
]


@st.composite
def damaged(draw, whole=tuple(WHOLE)):
    """A picture of which some bytes are others, and perhaps some are missing or too many."""
    data = bytearray(draw(st.sampled_from(whole)))
    places = st.one_of(st.integers(0, min(200, len(data) - 1)), st.integers(0, len(data) - 1))  # headers above all
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        data[place] = value
    place = draw(places)
    data[place:place] = draw(st.binary(max_size=8))
    return bytes(data[: draw(st.one_of(st.just(len(data)), places))])


pictures = st.one_of(st.sampled_from(WHOLE), damaged(), st.binary(max_size=200))
schemathesis.openapi.media_type("image/png", pictures, aliases=["image/jpeg", "application/octet-stream"])


@pytest.fixture(scope="module")
def site(tiny_model):  # noqa: F811
    return Site(tiny_model.store, max_megapixels=1)


@pytest.fixture(scope="module")
def document(site):
    return schemathesis.openapi.from_asgi("/openapi.json", site.api, config=SchemathesisConfig.from_dict(CHECKS))


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    """A service of a model that looks at depth, too."""
    folder = tmp_path_factory.mktemp("fusion")
    store = keep(ModelStore.create(folder / "model"), write_pictures(folder / "data"), BOTH).store
    return Site(store.uri, max_megapixels=1)


OPERATIONS = {"/v1/score": "POST", "/v1/model": "GET", "/v1/stats": "GET"}
OPERATIONS |= {"/v1/health/live": "GET", "/v1/health/ready": "GET"}


def test_every_operation_is_tried(document):
    found = {(operation.ok().path, operation.ok().method.upper()) for operation in document.get_all_operations()}
    assert found == set(OPERATIONS.items())


@pytest.mark.parametrize(
    ("path", "mode"),
    [*((path, GenerationMode.POSITIVE) for path in OPERATIONS), ("/v1/score", GenerationMode.NEGATIVE)],
    ids=str,
)
def test_every_answer_is_one_that_the_openapi_document_describes(document, path, mode):
    @settings(max_examples=150 if path == "/v1/score" else 10, **QUIET)
    @given(case=document[path][OPERATIONS[path]].as_strategy(generation_mode=mode))
    def ask(case):
        case.call_and_validate()

    ask()


def sound(response):
    """An answer that is none of our mistakes."""
    if response.status_code == 200:
        assert all(item["verdict"] in ("good", "anomalous", "unknown") for item in response.json()["items"])
    else:
        assert response.headers["content-type"] == PROBLEM
        assert response.status_code in (400, 413)
        problem(response, response.status_code)


@settings(max_examples=300, **QUIET)
@given(data=pictures, heatmap=st.sampled_from(["png", "none"]))
def test_no_bytes_of_a_picture_are_a_mistake_of_ours(site, data, heatmap):
    sound(site.post(data, params={"heatmap": heatmap}))


depths = st.one_of(st.sampled_from(DEPTHS), damaged(tuple(DEPTHS)), st.binary(max_size=200))
limits = st.one_of(st.just(LIMITS), damaged((LIMITS,)), st.binary(max_size=200))


@settings(max_examples=300, **QUIET)
@given(picture=st.one_of(st.just(WHOLE[0]), pictures), depth=depths, limit=limits)
def test_no_bytes_of_depth_are_a_mistake_of_ours(fused, picture, depth, limit):
    parts = [("image", ("a", picture)), ("depth", ("b", depth))]
    parts += [("depth_range", ("c", limit))] if depth.startswith(b"\x89PNG\r\n\x1a\n") else []
    sound(fused.request("POST", "/v1/score", files=parts))


line = st.binary(max_size=40)
parts = st.tuples(
    st.one_of(line, st.builds(part, line, line), st.just(part())), st.one_of(line, st.sampled_from(WHOLE))
)


@settings(max_examples=300, **QUIET)
@given(content=st.lists(parts, max_size=4), end=st.booleans(), cut=st.integers(0, 60), kind=st.binary(max_size=20))
def test_no_multipart_body_is_a_mistake_of_ours(site, content, end, cut, kind):
    body = form(*content, end=end)
    kind = b"multipart/form-data; boundary=B;" + kind.translate(None, b"\r\n\0")
    sound(site.post(body[: len(body) - cut], headers={"content-type": kind}))


depth_parts = st.tuples(
    st.builds(part, st.sampled_from([b"image", b"depth", b"depth_range", b"file"]), st.one_of(line, st.none())),
    st.sampled_from([WHOLE[0], *DEPTHS, LIMITS, b"", b"x"]),
)


@settings(max_examples=300, **QUIET)
@given(content=st.lists(st.one_of(depth_parts, parts), max_size=6))
def test_no_parts_of_a_request_with_depth_are_a_mistake_of_ours(fused, content):
    sound(fused.post(form(*content), headers={"content-type": "multipart/form-data; boundary=B"}))
