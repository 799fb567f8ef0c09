"""A model that looks at colour and depth as a second application of the service that runs, and its page."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from ray import serve

from eagleray.adnas import FusionSession
from eagleray.data import open_rgbd
from eagleray.service_client import ServiceClient
from eagleray.storage import ModelStore
from serve.app import build
from tests.serving.test_page import browser, card, choose, opened  # noqa: F401
from tests.unit.tiny_fusion import BOTH, keep, write_pictures


@pytest.fixture(scope="module")
def fusion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    return keep(ModelStore.create(folder / "model"), write_pictures(folder / "data"), BOTH)


@pytest.fixture(scope="module")
def fused_url(service_url, fusion):
    """Address of the second application; it is gone before other tests look at the first one's processes."""
    application = build({"model": fusion.store.uri, "router_cpus": 0})
    serve.run(application, name="fused", route_prefix="/fused")
    yield f"{service_url}/fused"
    serve.delete("fused")


@pytest.fixture(scope="module")
def samples(fusion):
    return [sample for category in open_rgbd(fusion.data) for sample in category.test]


def test_the_service_gives_the_scores_of_a_session_to_the_last_bit_from_its_router_alone(fused_url, fusion, samples):
    session = FusionSession.open(fusion.store)
    with ServiceClient(fused_url) as client:
        assert client.model().needs_depth
        found = list(client.score_files(samples * 3, concurrency=6))
    for scored, sample in zip(found, samples * 3, strict=True):
        finding = session.score(sample)
        assert (scored.score, scored.p_value, scored.category) == (finding.score, finding.p_value, finding.category)
    assert set(serve.status().applications["fused"].deployments) == {"router"}
    assert httpx.get(f"{fused_url}/v1/health/ready").json()["status"] == "ready"


def test_a_new_version_is_taken_over_and_a_picture_without_depth_is_told_what_to_send(fused_url, fusion, samples):
    answer = httpx.post(f"{fused_url}/v1/score", content=Path(samples[0].sample.path).read_bytes())
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "send parts `image` and `depth`" in answer.json()["detail"]
    store = ModelStore.open(fusion.store.uri)
    newer = store.commit(store.current().successor())
    store.publish(newer)
    with ServiceClient(fused_url) as client:
        client.wait_for_version(newer)
        assert [scored.model_version for scored in client.score_files(samples[:1])] == [newer]


def test_the_page_pairs_pictures_with_their_depth_and_says_where_one_is_missing(
    fused_url,
    fusion,
    browser,  # noqa: F811
):
    good = fusion.data / "bolt" / "validation" / "good"
    files = [good / "rgb" / "000.png", good / "rgb" / "001.png", good / "xyz" / "000.tiff"]
    with opened(browser, f"{fused_url}/") as page:
        expect(page.locator("#depth-hint")).to_be_visible()
        choose(page, *files)
        expect(page.locator(".card")).to_have_count(2)
        expect(card(page, "000.png").locator(".verdict")).to_have_text(re.compile("good|anomalous"), timeout=20_000)
        expect(card(page, "000.png")).to_contain_text("bolt")
        expect(card(page, "001.png")).to_contain_text("No depth came with it: choose it together with 001.tiff.")
        card(page, "000.png").click()
        expect(page.locator("#view-heat")).to_be_visible()
        assert page.heard["complaints"] == []
