"""A service that runs: the scores of a session, live updates, dying replicas, and what it tells of itself."""

import json
import socket
import time
import urllib.request
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import ray

from benchmarks.load import Load
from eagleray.errors import StoreCorrupt
from eagleray.features import load_image
from eagleray.service_client import ServiceClient
from serve.local import replicas
from tests.files import replace_file
from tests.serving.conftest import SERVED, TAUGHT

NEWEST = len(TAUGHT)


@pytest.fixture
def client(service_url):
    with ServiceClient(service_url) as client:
        yield client


@pytest.fixture
def publish(products, client):
    """Publish a version and wait until it answers; in the end the service answers as it did before."""

    def publish(version):
        products.store.publish(version)
        client.wait_for_version(version)

    yield publish
    publish(SERVED)


def bodies(products, *names):
    return [path.read_bytes() for path in products.pictures(*names)]


def test_the_service_gives_the_scores_of_a_session_to_the_last_bit(products, client):
    session = products.session(SERVED)
    paths = products.pictures(*TAUGHT[:SERVED])
    for path, scored in zip(paths, client.score_files(paths), strict=True):
        finding = session.score(load_image(path))
        assert (scored.score, scored.p_value, scored.verdict) == (finding.score, finding.p_value, finding.verdict)
        assert (scored.category, scored.expert) == (finding.category, finding.expert)
        assert [route.distance for route in scored.routing] == [route.distance for route in finding.routing]
        assert scored.model_version == SERVED


def test_many_pictures_in_one_request_are_answered_in_their_order(products, service_url, client):
    paths = products.pictures(*TAUGHT[:SERVED])[:24]
    files = [("file", (path.name, path.read_bytes(), "image/png")) for path in paths]
    answer = httpx.post(f"{service_url}/v1/score", files=files, timeout=60).json()
    assert [item["name"] for item in answer["items"]] == [path.name for path in paths]
    one_by_one = [scored.score for scored in client.score_files(paths)]
    assert [item["score"] for item in answer["items"]] == one_by_one


def test_a_product_that_nobody_taught_is_unknown_and_not_defective(client, pictures):
    scored = client.score(pictures["unknown"].read_bytes(), name="unknown")
    assert (scored.verdict, scored.anomalous) == ("unknown", None)


def test_a_new_expert_answers_within_two_seconds_of_its_publication(products, client, publish):
    picture = next(path for path in products.pictures(TAUGHT[-1]) if path.parent.name == "good")
    before = client.score(picture.read_bytes(), name="new")
    began = time.monotonic()
    products.store.publish(NEWEST)
    while (after := client.score(picture.read_bytes(), name="new")).model_version != NEWEST:
        assert time.monotonic() - began < 2
    assert time.monotonic() - began < 2
    publish(NEWEST)
    assert (before.model_version, after.category) == (SERVED, TAUGHT[-1])
    assert after.expert not in products.session(SERVED).judge.model.experts.values()
    assert after.score == products.session(NEWEST).score(load_image(picture)).score


def test_publishing_under_load_fails_no_request_and_mixes_no_versions(products, service_url, publish):
    paths = products.pictures(*TAUGHT)[:12]
    expected = {
        version: [products.session(version).score(load_image(path)).category for path in paths]
        for version in (SERVED, NEWEST)
    }
    assert expected[SERVED] != expected[NEWEST]
    files = [("file", (path.name, path.read_bytes(), "image/png")) for path in paths]
    seen = set()
    with Load(service_url, bodies(products, *TAUGHT), clients=4).running() as load:
        for _, version in zip(range(20), cycle((NEWEST, SERVED)), strict=False):
            publish(version)
            answer = httpx.post(f"{service_url}/v1/score", files=files, timeout=60).json()
            assert [item["category"] for item in answer["items"]] == expected[answer["model_version"]]
            seen.add(answer["model_version"])
    assert load.failed() == []
    assert {answer.version for answer in load.answers} == seen == {SERVED, NEWEST}


def test_unchanged_experts_keep_running_through_a_publication(publish):
    before = {name: process.pid for name, process in replicas().items()}
    publish(NEWEST)
    publish(SERVED - 1)
    assert {name: process.pid for name, process in replicas().items()} == before


def test_a_version_that_cannot_be_read_is_not_served_and_the_old_one_goes_on(products, client, publish):
    model = products.data.parent / "model"
    path = model / "blobs" / products.store.read(NEWEST).classes[TAUGHT[-1]].blob
    kept, pointer = path.read_bytes(), (model / "PUBLISHED").read_text()
    replace_file(path, b"damaged")
    try:
        with pytest.raises(StoreCorrupt):
            products.store.publish(NEWEST)
        replace_file(model / "PUBLISHED", pointer.replace(str(SERVED), str(NEWEST)))  # the damage came later
        for picture in products.pictures(*TAUGHT[:SERVED])[:8]:
            assert client.score(picture.read_bytes(), name="x").model_version == SERVED
    finally:
        replace_file(path, kept)
    publish(SERVED)
    publish(NEWEST)


def test_a_killed_expert_costs_no_request(products, service_url, client, kill, eventually):
    paths = products.pictures(*TAUGHT[:SERVED])
    with Load(service_url, bodies(products, *TAUGHT[:SERVED]), clients=8).running() as load:
        eventually(lambda: len(load.answers) >= load.clients, within_s=30)
        kill("expert-1")
        scored = list(client.score_files(paths, concurrency=2))
        eventually(lambda: "expert-1" in replicas(), within_s=60)
    assert load.failed() == []
    assert all(one.model_version == SERVED for one in scored)
    assert 1 in {one.expert for one in scored}  # the one that was killed was asked


def test_a_killed_router_fails_only_what_it_was_working_on_and_says_when_to_come_back(
    products, service_url, client, kill, eventually
):
    paths = products.pictures(*TAUGHT[:SERVED])
    with Load(service_url, bodies(products, *TAUGHT[:SERVED]), clients=8).running() as load:
        eventually(lambda: len(load.answers) >= load.clients, within_s=30)
        kill("router")
        killed = time.monotonic()  # what began until now may have been in its hands
        scored = list(client.score_files(paths, concurrency=2))
        eventually(lambda: "router" in replicas(), within_s=60)
    failed = load.failed()
    assert 0 < len(failed) <= load.clients
    assert all((answer.status, answer.retry_after) == (503, True) for answer in failed)
    assert all(answer.began_s < killed for answer in failed)
    assert len(scored) == len(paths)
    assert all(one.model_version == SERVED for one in scored)
    assert any(answer.status == 200 and answer.began_s > killed for answer in load.answers)


def test_prometheus_is_told_what_was_judged(client, pictures, eventually):
    for name, picture in pictures.items():
        client.score(picture.read_bytes(), name=name)
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"

    def told():
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.read().decode()

    eventually(lambda: "eagleray_images" in told(), within_s=60, every_s=1)
    text = told()
    for verdict in ("good", "anomalous", "unknown"):
        assert f'verdict="{verdict}"' in text
    for name in (
        "eagleray_routing_distance_ratio_bucket",
        "eagleray_model_version",
        "serve_num_http_requests",
        "serve_http_request_latency_ms_bucket",
        "serve_actual_batch_size_bucket",
    ):
        assert f"ray_{name}" in text


def test_every_request_is_one_line_of_json_with_its_id_in_the_log(service_url, pictures, eventually):
    body = pictures["good"].read_bytes()
    answer = httpx.post(f"{service_url}/v1/score", content=body, headers={"X-Request-ID": "request-of-a-test"})
    assert answer.headers["x-request-id"] == "request-of-a-test"
    # Lines are written a hundred at a time, for each write costs.
    for _ in range(120):
        httpx.get(f"{service_url}/v1/health/live")
    logs = Path(ray._private.worker._global_node.get_logs_dir_path(), "serve")

    def line():
        for path in logs.glob("*router*.log"):
            for text in path.read_text().splitlines():
                if "request-of-a-test" in text and '"operation"' in text:
                    return json.loads(text)
        return None

    eventually(line, within_s=20)
    found = line()
    assert (found["request_id"], found["status"], found["operation"]) == ("request-of-a-test", 200, "POST /v1/score")
    assert found["ms"] > 0


def test_ready_is_said_once_the_experts_answer(service_url):
    answer = httpx.get(f"{service_url}/v1/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "model_version": SERVED})


@pytest.mark.parametrize("size", [4 * 2**20 + 1, 64 * 2**20])
def test_a_request_that_is_too_large_is_refused_and_the_next_one_answered(service_url, client, pictures, size):
    answer = httpx.post(f"{service_url}/v1/score", content=bytes(size), headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert client.score(pictures["good"].read_bytes(), name="good").verdict == "good"


def test_bodies_that_drip_in_are_cut_off_and_block_nobody(service_url, client, pictures):
    place = urlsplit(service_url)
    slow = [socket.create_connection((place.hostname, place.port), timeout=10) for _ in range(80)]
    began = time.monotonic()
    for connection in slow:  # more of them than a router works on at once
        connection.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    assert client.score(pictures["good"].read_bytes(), name="good").verdict == "good"
    for connection in slow:
        connection.sendall(b"x")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
        connection.close()
    assert time.monotonic() - began < 10


def test_memory_stays_where_it_is_under_a_flood_of_bad_requests(service_url, client, pictures):
    router = replicas()["router"]
    bad = [b"", b"no picture", pictures["good"].read_bytes()[:500], bytes(3 * 2**20)]
    with httpx.Client(base_url=service_url) as http:
        for body, _ in zip(cycle(bad), range(40), strict=False):
            http.post("/v1/score", content=body)
        before = router.memory_info().rss
        for body, _ in zip(cycle(bad), range(400), strict=False):
            assert http.post("/v1/score", content=body).status_code == 400
    assert router.memory_info().rss - before < 60 * 2**20
    assert client.score(pictures["good"].read_bytes(), name="good").verdict == "good"
