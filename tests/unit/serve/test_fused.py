"""Models that look at colour and depth, over HTTP."""

import asyncio
import base64
import dataclasses
import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from eagleray.adnas import FusionSession
from eagleray.data import open_rgbd
from eagleray.features import load_image
from eagleray.storage import ModelStore
from tests.files import replace_file
from tests.unit.serve.conftest import Site, decoded, encoded, problem
from tests.unit.serve.test_service import errors, follower, following, polls, until
from tests.unit.tiny_fusion import BOTH, COLOR, keep, write_pictures


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    return keep(ModelStore.create(folder / "model"), write_pictures(folder / "data"), BOTH)


@pytest.fixture(scope="module")
def fused(both):
    """One service for all tests that leave it as it was."""
    return Site(both.store.uri, max_files=8)


@pytest.fixture(scope="module")
def color(both, tmp_path_factory):
    """An architecture that looks at colour alone."""
    return keep(ModelStore.create(tmp_path_factory.mktemp("color") / "model"), both.data, COLOR)


@pytest.fixture(scope="module")
def session(both):
    return FusionSession.open(both.store)


@pytest.fixture(scope="module")
def tests(both):
    return tuple(sample for category in open_rgbd(both.data) for sample in category.test)


@pytest.fixture
def twice(both, tmp_path):
    """A store with two versions of other weights, of which the first is published."""
    store = ModelStore.create(tmp_path / "model")
    other = keep(ModelStore.create(tmp_path / "other"), both.data, BOTH, seed=1)
    assert [add_version(store, source, 1) for source in (both.store.uri, other.store.uri)] == [1, 2]
    store.publish(1)
    return store


def parts(*samples):
    """Pictures, then their depth, then the ranges that they have."""
    found = [("image", sample.sample.path) for sample in samples]
    found += [("depth", sample.depth) for sample in samples]
    found += [("depth_range", sample.depth_range) for sample in samples if sample.depth_range]
    return [(field, (Path(path).name, Path(path).read_bytes())) for field, path in found]


def send(site, *samples, path="/v1/score"):
    return site.request("POST", path, files=parts(*samples))


def same(item, finding):
    """Whether an item of an answer is a finding, to the last bit."""
    return (
        (item["score"], item["p_value"], item["verdict"], item["anomalous"], item["threshold"], item["category"])
        == (
            finding.score, finding.p_value, finding.verdict, finding.anomalous, finding.threshold.value,
            finding.category,
        )
        and [route["distance"] for route in item["routing"]] == [route.distance for route in finding.routing]
    )  # fmt: skip


def test_scores_are_those_of_a_session_to_the_last_bit(fused, session, tests):
    answer = send(fused, *tests).json()
    assert answer["model_version"] == 1
    assert [item["name"] for item in answer["items"]] == [sample.sample.path.rpartition("/")[2] for sample in tests]
    for item, sample in zip(answer["items"], tests, strict=True):
        assert same(item, session.score(sample))
        assert (item["expert"], item["heatmap"]) == (0, None)
    assert len({item["score"] for item in answer["items"]}) > 1


def test_the_other_layout_comes_as_a_png_with_its_range(fused, session, tmp_path):
    scenes = [one for category in open_rgbd(write_pictures(tmp_path, layout="eyecandies")) for one in category.test]
    items = send(fused, *scenes).json()["items"]
    assert len(items) == len(scenes) > 1
    assert all(same(item, session.score(scene)) for item, scene in zip(items, scenes, strict=True))


def test_both_layouts_in_one_request_find_their_ranges(fused, session, tests, tmp_path):
    (scene, *_), *_ = (category.test for category in open_rgbd(write_pictures(tmp_path, layout="eyecandies")))
    mixed = (tests[0], scene, tests[1])
    items = send(fused, *mixed).json()["items"]
    assert all(same(item, session.score(sample)) for item, sample in zip(items, mixed, strict=True))


def test_with_the_plane_removed_scores_are_those_of_a_session_too(both, tests, tmp_path):
    tiny = keep(ModelStore.create(tmp_path / "model"), both.data, BOTH, plane_removal=True)
    session = FusionSession.open(tiny.store)
    items = send(Site(tiny.store.uri), *tests).json()["items"]
    assert all(same(item, session.score(sample)) for item, sample in zip(items, tests, strict=True))


def test_many_requests_at_once_on_many_threads_change_no_score(both, session, tests):
    expected = [session.score(sample) for sample in tests]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        site = Site(both.store.uri, threads=4)

        async def scenario():
            async with site.client() as client:
                asked = [client.post("/v1/score", files=parts(sample)) for _ in range(6) for sample in tests]
                return [answer.json()["items"][0] for answer in await asyncio.gather(*asked)]

        items = asyncio.run(scenario())
    finally:
        torch.set_num_threads(before)
    assert all(same(item, finding) for item, finding in zip(items, 6 * expected, strict=True))


def test_a_named_category_is_what_the_picture_is_compared_with(fused, session, tests):
    (item,) = send(fused, tests[0], path="/v1/score?category=tray").json()["items"]
    assert same(item, session.score(tests[0], category="tray"))
    assert item["routing"] == []
    found = problem(send(fused, tests[0], path="/v1/score?category=nuts"), 404)
    assert "bolt, tray" in found["detail"]


def test_a_heat_map_is_the_one_of_a_session(fused, session, tests):
    (item,) = send(fused, tests[1], path="/v1/score?heatmap=png").json()["items"]
    picture = load_image(tests[1].sample.path)
    expected = session.heat_map(picture, session.score(tests[1]))
    np.testing.assert_array_equal(decoded(base64.b64decode(item["heatmap"])), expected)


def test_the_model_answer_says_what_a_request_has_to_hold(fused, both, color):
    answer = fused.get("/v1/model").json()
    assert (answer["kind"], answer["model_version"], answer["image_size"]) == ("adnas", 1, 32)
    assert answer["modalities"] == ["color", "depth"]
    assert [(entry["name"], entry["rows"], entry["num_images"]) for entry in answer["categories"]] == [
        ("bolt", 0, 2),
        ("tray", 0, 2),
    ]
    assert answer["experts"] == [{"expert": 0, "deployment": "router", "categories": ["bolt", "tray"]}]
    assert Site(color.store.uri).get("/v1/model").json()["modalities"] == ["color"]


def test_a_service_of_a_network_is_ready_without_any_expert(both, tests):
    site = Site(both.store.uri)
    site.experts.down = True
    assert site.get("/v1/health/ready").json() == {"status": "ready", "model_version": 1}
    assert send(site, tests[0]).status_code == 200
    assert site.experts.loads == {}


def test_an_architecture_of_colour_alone_is_asked_like_a_model_of_colour(color, tests):
    site, session = Site(color.store.uri), FusionSession.open(color.store)
    pictures = [load_image(sample.sample.path) for sample in tests]
    files = [(sample.sample.path, Path(sample.sample.path).read_bytes()) for sample in tests]
    items = site.send(*files).json()["items"]
    assert all(same(item, session.score(picture)) for item, picture in zip(items, pictures, strict=True))
    (item,) = site.post(encoded(pictures[0])).json()["items"]
    assert same(item, session.score(pictures[0]))
    assert "leave the part `depth` out" in problem(send(site, tests[0]), 400)["detail"]


def test_a_request_that_began_before_a_publish_is_answered_by_the_old_version_altogether(twice, tests, monkeypatch):
    old, new = (FusionSession.open(twice, version=version) for version in (1, 2))
    expected = {session.judge.version: session.score(tests[0]) for session in (old, new)}
    assert expected[1].score != expected[2].score
    site, _ = follower(twice.uri)
    held, go = threading.Event(), threading.Event()
    finding = FusionSession.finding

    def wait(self, images, **options):
        if self.judge.version == 1:
            held.set()
            assert go.wait(30)
        return finding(self, images, **options)

    monkeypatch.setattr(FusionSession, "finding", wait)

    async def scenario():
        async with following(site), site.client() as client:
            before = asyncio.create_task(client.post("/v1/score?heatmap=png", files=parts(tests[0])))
            await until(held.is_set)
            twice.publish(2)
            await until(lambda: site.service.judge.version == 2)
            after = (await client.post("/v1/score", files=parts(tests[0]))).json()  # while the old one still works
            go.set()
            return (await before).json(), after

    for answer, version in zip(asyncio.run(scenario()), (1, 2), strict=True):
        assert answer["model_version"] == version
        assert same(answer["items"][0], expected[version])


def test_publishing_under_load_mixes_no_versions(twice, tests):
    expected = {
        version: [FusionSession.open(twice, version=version).score(sample).score for sample in tests]
        for version in (1, 2)
    }
    site, _ = follower(twice.uri)

    async def scenario():
        seen = set()
        async with following(site), site.client() as client:

            async def ask():
                answer = (await client.post("/v1/score", files=parts(*tests))).json()
                assert [item["score"] for item in answer["items"]] == expected[answer["model_version"]]
                seen.add(answer["model_version"])

            for published in (2, 1):
                twice.publish(published)
                await asyncio.gather(*(ask() for _ in range(3)))
                await until(lambda published=published: site.service.judge.version == published)
                await ask()
        return seen

    assert asyncio.run(scenario()) == {1, 2}


def add_version(store, source, version):
    """Commit a version of another store."""
    other = ModelStore.open(source)
    manifest = other.read(version)
    for digest in manifest.digests():
        store.put_blob(other.get_blob(digest))
    current = store.current()
    return store.commit(dataclasses.replace(manifest, version=0, parent=current and current.version))


@pytest.mark.parametrize("served", ["adnas", "mecad"])
def test_a_version_of_another_kind_is_not_served_and_logged_once(both, tiny_model, tests, tmp_path, served, caplog):
    caplog.set_level(logging.INFO, "ray.serve")
    store = ModelStore.create(tmp_path / "model")
    sources = {"adnas": (both.store.uri, 1), "mecad": (tiny_model.store, 1)}
    other = "mecad" if served == "adnas" else "adnas"
    first, second = (add_version(store, *sources[kind]) for kind in (served, other))
    store.publish(first)
    site, watched = follower(store.uri)
    dots = (tiny_model.data / "dots/test/good/0.png").read_bytes()

    async def scenario():
        async with following(site), site.client() as client:
            store.publish(second)
            await polls(watched, 8)
            given = {"files": parts(tests[0])} if served == "adnas" else {"content": dots}
            return (await client.post("/v1/score", **given)).json()

    assert asyncio.run(scenario())["model_version"] == first
    (message,) = errors(caplog)
    assert f"version {first} is still served" in message
    assert f"version {second} is a model of kind '{other}', and one of kind '{served}' is served" in message
    assert "start the service anew" in message


def test_a_damaged_network_is_not_served(twice, tests, caplog):
    pointer = Path(twice.uri) / "PUBLISHED"
    first = pointer.read_bytes()
    twice.publish(2)
    second = pointer.read_bytes()
    replace_file(pointer, first)
    site, watched = follower(twice.uri)
    replace_file(Path(twice.uri) / "blobs" / twice.read(2).blobs["network"], b"altered")

    async def scenario():
        async with following(site), site.client() as client:
            replace_file(pointer, second)
            await polls(watched, 8)
            return (await client.post("/v1/score", files=parts(tests[0]))).json()

    assert asyncio.run(scenario())["model_version"] == 1
    (message,) = errors(caplog)
    assert "sha256" in message


def test_models_of_colour_are_served_without_torch(tiny_model):
    code = """
import sys
from serve.service import Service
from serve.settings import Settings
service = Service(Settings.read({"model": sys.argv[1]}), None)
sys.exit(service.judge.version != 2 or "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, tiny_model.store], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
