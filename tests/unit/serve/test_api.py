import asyncio
import base64
import io

import jsonschema
import numpy as np
import pytest
from PIL import Image

from eagleray.continual import ScoringSession
from eagleray.features import load_image
from eagleray.storage import ModelStore
from tests.unit.serve.conftest import Site, decoded, encoded, problem

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def session(tiny_model):
    return ScoringSession.open(ModelStore.open(tiny_model.store))


def test_every_picture_gets_the_verdict_that_a_scoring_session_gives_to_the_bit(site, session, tiny_model, pictures):
    answer = site.send(*((name, data, "image/png") for name, data in pictures.items())).json()
    assert answer["model_version"] == 2
    assert [item["name"] for item in answer["items"]] == list(pictures)
    for item in answer["items"]:
        finding = session.score(load_image(tiny_model.data / item["name"]))
        assert item == {
            "name": item["name"],
            "score": finding.score,
            "p_value": finding.p_value,
            "verdict": finding.verdict,
            "anomalous": finding.anomalous,
            "threshold": finding.threshold.value,
            "category": item["name"].partition("/")[0],
            "expert": finding.expert,
            "routing": [
                {"category": route.category, "expert": route.expert, "distance": route.distance}
                for route in finding.routing
            ],
            "heatmap": None,
        }
        assert item["verdict"] == "anomalous" or "spot" not in item["name"]
        distances = [route["distance"] for route in item["routing"]]
        assert distances == sorted(distances)


@pytest.mark.parametrize(
    "kind", ["image/png", "image/x-anything", "application/octet-stream", FORM, "IMAGE/PNG; a=b", None]
)
def test_a_raw_body_is_one_picture_whatever_of_these_types_it_has(site, session, tiny_model, dots, kind):
    answer = site.post(dots, headers={"content-type": kind} if kind else {})
    (item,) = answer.json()["items"]
    finding = session.score(load_image(tiny_model.data / "dots/test/good/0.png"))
    assert (item["name"], item["score"]) == (None, finding.score)


def test_a_named_category_is_what_the_picture_is_compared_with(site, session, tiny_model, dots):
    (item,) = site.post(dots, "/v1/score?category=stripes").json()["items"]
    finding = session.score(load_image(tiny_model.data / "dots/test/good/0.png"), category="stripes")
    assert (item["category"], item["routing"], item["score"]) == ("stripes", [], finding.score)


@pytest.mark.parametrize(
    "category", ["paint", "", "a\nb", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]
)
def test_an_unknown_category_is_404_and_the_known_ones_are_named(site, dots, category):
    found = problem(site.post(dots, params={"category": category}), 404)
    assert "dots, stripes" in found["detail"]


def test_a_product_that_nobody_taught_is_neither_good_nor_anomalous(site):
    (item,) = site.post(encoded(np.full((48, 80, 3), 255, np.uint8))).json()["items"]
    assert (item["verdict"], item["anomalous"]) == ("unknown", None)
    assert item["category"] in ("dots", "stripes")
    (named,) = site.post(encoded(np.full((48, 80, 3), 255, np.uint8)), "/v1/score?category=dots").json()["items"]
    assert (named["verdict"], named["anomalous"]) == ("anomalous", True)


def test_a_heat_map_is_the_picture_in_its_size_and_redder_where_the_defect_is(site, session, tiny_model, pictures):
    name = "dots/test/spot/0.png"
    (item,) = site.post(pictures[name], "/v1/score?heatmap=png").json()["items"]
    drawn = base64.b64decode(item["heatmap"], validate=True)
    assert Image.open(io.BytesIO(drawn)).format == "PNG"
    picture = load_image(tiny_model.data / name)
    np.testing.assert_array_equal(decoded(drawn), session.heat_map(picture, session.score(picture)))


@pytest.mark.parametrize(
    ("size", "shown"), [((2048, 40), (2048, 40)), ((4096, 1024), (2048, 512)), ((3, 5000), (1, 2048))]
)
def test_a_heat_map_is_scaled_down_to_2048_pixels_a_side(site, size, shown):
    (item,) = site.post(encoded(Image.new("RGB", size)), "/v1/score?heatmap=png").json()["items"]
    assert Image.open(io.BytesIO(base64.b64decode(item["heatmap"]))).size == shown


def test_heat_maps_of_one_request_share_the_pixels_that_one_may_have(site):
    files = [(f"{number}.png", encoded(Image.new("RGB", (1500, 300)))) for number in range(4)]
    items = site.send(*files, path="/v1/score?heatmap=png").json()["items"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(item["heatmap"]))).size for item in items]
    assert sizes == 4 * [(1024, 205)]


def test_the_model_answer_says_what_is_served_and_what_a_request_may_hold(site, tiny_model):
    answer = site.get("/v1/model").json()
    manifest = ModelStore.open(tiny_model.store).current()
    assert answer["model_version"] == manifest.version
    assert (answer["kind"], answer["image_size"], answer["false_alarm_rate"]) == ("mecad", 64, 0.01)
    assert [entry["name"] for entry in answer["categories"]] == ["dots", "stripes"]
    for entry in answer["categories"]:
        known = manifest.classes[entry["name"]]
        assert (entry["expert"], entry["rows"], entry["num_images"]) == (known.expert, known.rows, known.num_images)
        assert 0 < entry["attained_rate"] <= 1
    expert = answer["categories"][0]["expert"]
    assert answer["experts"] == [
        {"expert": expert, "deployment": f"expert-{expert}", "categories": ["dots", "stripes"]}
    ]
    assert answer["limits"] == {"max_files": 64, "max_request_mb": 32, "max_megapixels": 50}


def test_stats_count_pictures_that_were_scored_and_nothing_else(tiny_model, dots):
    site = Site(tiny_model.store)
    before = site.get("/v1/stats").json()
    assert before == {
        "model_version": 2,
        "window_s": 10,
        "images": 0,
        "images_per_s": 0,
        "p50_ms": None,
        "p99_ms": None,
    }
    site.send(("a", dots), ("b", dots))
    site.post(b"no picture")
    after = site.get("/v1/stats").json()
    assert after["images"] == 2
    assert after["images_per_s"] > 0
    assert 0 < after["p50_ms"] <= after["p99_ms"] < 10_000


def test_a_service_is_live_always_and_ready_when_its_experts_answer(tiny_model):
    site = Site(tiny_model.store)
    assert site.get("/v1/health/live").json() == {"status": "live", "model_version": None}
    assert site.get("/v1/health/ready").json() == {"status": "ready", "model_version": 2}
    site.experts.down = True
    assert site.get("/v1/health/live").status_code == 200
    response = site.get("/v1/health/ready")
    problem(response, 503)
    assert response.headers["retry-after"] == "1"


def test_the_observer_hears_of_every_request_and_every_verdict(tiny_model, dots):
    site = Site(tiny_model.store)
    site.send(("a", dots), ("b", dots))
    for path in ("/v1/health/live", "/nowhere", "/static/none.js"):
        site.get(path)
    site.post(b"no picture")
    assert site.heard.requests == [
        ("POST /v1/score", 200),
        ("GET /v1/health/live", 200),
        ("GET unknown", 404),
        ("GET unknown", 404),
        ("POST /v1/score", 400),
    ]
    assert [one.finding.category for one in site.heard.judged] == ["dots", "dots"]


ANSWERS = ["/", "/docs", "/openapi.json", "/v1/model", "/v1/health/live", "/nowhere", "/static/none", "/v1/score"]


@pytest.mark.parametrize("path", ANSWERS)
def test_every_answer_has_headers_that_keep_a_browser_safe(site, path):
    headers = site.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert ("unsafe-inline" in headers["content-security-policy"]) == (path == "/docs")


def test_a_mistake_of_ours_is_a_500_without_a_trace_and_the_log_has_it(tiny_model, dots, caplog):
    site = Site(tiny_model.store)

    async def fail(picture):
        raise RuntimeError("secret inner state")

    site.embed = fail
    response = site.post(dots, headers={"x-request-id": "abc"})
    found = problem(response, 500)
    assert found["request_id"] == "abc"
    assert "secret" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    assert site.heard.requests == [("POST /v1/score", 500)]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "secret inner state" in str(record.exc_info[1])


def test_a_mistake_of_ours_does_not_leave_the_application(tiny_model, dots):
    """Ray would log it again and take the answer for lost."""
    site = Site(tiny_model.store)
    site.embed = None
    messages = [{"type": "http.request", "body": dots}]
    sent = []
    scope = {"type": "http", "method": "POST", "path": "/v1/score", "query_string": b"", "headers": []}

    async def receive():
        return messages.pop()

    async def send(message):
        sent.append(message)

    asyncio.run(site.api(scope, receive, send))
    assert sent[0]["status"] == 500


WRONG = {
    "wrong query value": ("POST", "/v1/score?heatmap=jpeg", 422, "'png' or 'none'"),
    "unknown path": ("GET", "/v2/score", 404, "/v2/score"),
    "path with a line break": ("GET", "/v1/a%0Ab%E2%80%A8c", 404, "/v1/a b c"),
    "path with a slash too many": ("POST", "/v1/score/", 404, "/v1/score/"),
    "static path with a zero byte": ("GET", "/static/%00", 404, "/static/"),
    "static path out of the folder": ("GET", "/static/%2e%2e/api.py", 404, "/docs"),
    "endless static path": ("GET", "/static/" + "a" * 5000, 404, "/docs"),
    "wrong method": ("GET", "/v1/score", 405, "Method"),
    "wrong method for a static file": ("POST", "/static/app.js", 405, "Method"),
    "invented method": ("BREW", "/v1/model", 405, "Method"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_answered_is_a_problem_document(site, name):
    method, path, status, words = WRONG[name]
    response = site.request(method, path, headers={"x-request-id": "r-1"})
    found = problem(response, status)
    assert words in found["detail"]
    assert found["request_id"] == "r-1"
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("host", ["[", "a b", "x" * 5000, "\x7f"])
def test_a_strange_host_changes_nothing(site, host):
    problem(site.get("/nowhere", headers={"host": host}), 404)


def test_a_request_id_is_echoed_only_where_there_is_one(site):
    assert "request_id" not in problem(site.get("/nowhere"), 404)


def test_the_openapi_document_is_whole_and_describes_every_body(site):
    document = site.get("/openapi.json").json()
    for reference in _references(document):
        found = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
    assert set(document["paths"]) == {"/v1/score", "/v1/model", "/v1/stats", "/v1/health/live", "/v1/health/ready"}
    score = document["paths"]["/v1/score"]["post"]
    bodies = score["requestBody"]["content"]
    assert {"image/png", "image/jpeg", "application/octet-stream", "multipart/form-data"} <= bodies.keys()
    assert [form["required"] for form in bodies["multipart/form-data"]["schema"]["oneOf"]] == [
        ["file"],
        ["image", "depth"],
    ]
    statuses = {"200", "400", "401", "404", "408", "413", "415", "422", "503"}
    assert set(score["responses"]) == statuses
    for status in statuses - {"200"}:
        assert list(score["responses"][status]["content"]) == ["application/problem+json"]


def test_an_answer_and_a_problem_follow_their_schemas(site, dots):
    document = site.get("/openapi.json").json()
    responses = document["paths"]["/v1/score"]["post"]["responses"]
    for answer in (site.post(dots, "/v1/score?heatmap=png"), site.post(b"", headers={"x-request-id": "r"})):
        (content,) = responses[str(answer.status_code)]["content"].values()
        jsonschema.validate(answer.json(), {**content["schema"], "components": document["components"]})


def _references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_the_page_and_the_documentation_come_without_another_host(site):
    assert site.get("/").headers["content-type"].startswith("text/html")
    docs = site.get("/docs").text
    assert "/static-offline-docs/swagger-ui-bundle.js" in docs
    assert "http" not in docs
