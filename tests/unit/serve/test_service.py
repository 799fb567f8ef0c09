import asyncio
import contextlib
import dataclasses
import logging

import numpy as np
import pytest

from eagleray.continual import Ask, ExpertCache, ScoringSession
from eagleray.continual.bank_judge import BankJudge
from eagleray.errors import StoreError, StoreMissing
from eagleray.experts import ScoringConfig, image_score
from eagleray.features import decode_image, resize
from eagleray.storage import ModelStore
from serve import service as module
from tests.files import replace_file
from tests.unit.serve.conftest import Site

POLL_S = 0.005


@pytest.fixture(autouse=True)
def _heard(caplog):
    caplog.set_level(logging.INFO, "ray.serve")


@contextlib.asynccontextmanager
async def following(site):
    """The service follows what is published; ends with the test, and fails it if following did."""
    task = asyncio.create_task(site.service.follow())
    try:
        yield
        assert task.done() == (site.service.settings.version is not None)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition):
    """Wait until a condition holds; each look gives the service time for a poll."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(POLL_S)


async def polls(store, count):
    """Wait until the service has looked so many times at what is published."""
    seen = store.looks
    await until(lambda: store.looks >= seen + count)


class Watched(ModelStore):
    """A store that counts looks at what is published."""

    looks = 0

    def published(self):
        self.looks += 1
        return super().published()


def follower(store, **settings):
    site = Site(store, poll_s=POLL_S, **settings)
    site.service._store = Watched(store)
    return site, site.service._store


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def score(site, data, path="/v1/score"):
    async with site.client() as client:
        response = await client.post(path, content=data)
    return response.json()


async def version(site):
    async with site.client() as client:
        return (await client.get("/v1/model")).json()["model_version"]


def test_a_published_version_is_taken_over_and_so_is_an_older_one(store, pictures, caplog):
    models = ModelStore.open(store)
    models.publish(1)
    site, watched = follower(store)
    stripes = pictures["stripes/test/good/0.png"]

    async def scenario():
        async with following(site):
            assert (await score(site, stripes))["items"][0]["category"] == "dots"  # version 1 knows nothing else
            for published in (2, 1, 2):
                models.publish(published)
                await until(lambda published=published: site.service.judge.version == published)
                assert watched.looks < 100
                assert await version(site) == published
                answer = await score(site, stripes)
                assert answer["model_version"] == published
                assert answer["items"][0]["category"] == ("stripes" if published == 2 else "dots")

    asyncio.run(scenario())
    assert caplog.messages.count("serving version 2") == 2


def test_without_a_published_version_the_current_one_is_served_and_stays(store):
    models = ModelStore.open(store)
    models.rollback(1)
    site, watched = follower(store)

    async def scenario():
        async with following(site):
            models.rollback(2)
            await polls(watched, 5)
            assert site.service.judge.version == 1

    asyncio.run(scenario())


def test_a_pinned_version_does_not_follow(store):
    models = ModelStore.open(store)
    models.publish(2)
    site, watched = follower(store, version=1)

    async def scenario():
        async with asyncio.timeout(5):
            await site.service.follow()  # it has nothing to do

    asyncio.run(scenario())
    assert (site.service.judge.version, watched.looks) == (1, 0)


def test_a_request_that_began_before_a_publish_is_answered_by_the_old_version_altogether(store, pictures):
    models = ModelStore.open(store)
    models.publish(1)
    site, _ = follower(store)
    names = [name for name in pictures if name.startswith("stripes")]

    async def scenario():
        held, go = asyncio.Event(), asyncio.Event()
        embed = site.embed

        async def wait(picture):
            held.set()
            await go.wait()
            return await embed(picture)

        site.embed = wait
        async with following(site), site.client() as client:
            files = [("file", (name, pictures[name])) for name in names]
            request = asyncio.create_task(client.post("/v1/score?heatmap=png", files=files))
            await held.wait()
            models.publish(2)
            await until(lambda: site.service.judge.version == 2)
            go.set()
            return (await request).json()

    answer = asyncio.run(scenario())
    assert answer["model_version"] == 1
    session = ScoringSession.open(models, version=1)
    for item in answer["items"]:
        picture = decode_image(pictures[item["name"]], name="a", max_pixels=10**6)
        assert (item["score"], item["category"]) == (session.score(picture).score, "dots")


def test_banks_that_a_new_version_left_alone_are_not_read_again(store, dots):
    models = ModelStore.open(store)
    models.publish(1)
    site, _ = follower(store)

    async def scenario():
        async with following(site):
            await score(site, dots)
            kept = site.service.judge.model.banks["dots"]
            models.commit(models.current().successor())  # nothing learned
            models.publish(1)
            for published in (2, 3):
                models.publish(published)
                await until(lambda published=published: site.service.judge.version == published)
                await score(site, dots, "/v1/score?category=dots")
            assert (site.service.judge.model.banks["dots"] is kept) == (
                models.read(3).classes["dots"].blob == models.read(1).classes["dots"].blob
            )

    asyncio.run(scenario())
    assert set(site.experts.loads.values()) == {1}


def spoil_bank(store):
    blob = ModelStore.open(store).read(2).classes["stripes"].blob
    replace_file(store / "blobs" / blob, b"altered")


def spoil_manifest(store):
    replace_file(store / "versions" / "2.json", "{")


def lose_manifest(store):
    (store / "versions" / "2.json").unlink()


def change_extractor(store):
    models = ModelStore.open(store)
    manifest = models.read(2)
    other = {**manifest.blobs, "extractor": models.put_blob(b"another")}
    text = (store / "versions" / "2.json").read_text()
    replace_file(store / "versions" / "2.json", text.replace(manifest.blobs["extractor"], other["extractor"]))


SPOILED = {
    "an altered bank": (spoil_bank, "sha256"),
    "a damaged manifest": (spoil_manifest, "2.json"),
    "a lost manifest": (lose_manifest, "2.json"),
    "another extractor": (change_extractor, "another extractor"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_version_with_this_is_not_served_logged_once_and_taken_when_repaired(store, dots, what, caplog, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_POLLS", 3)
    spoil, words = SPOILED[what]
    models = ModelStore.open(store)
    models.publish(1)
    site, watched = follower(store)
    models.publish(2)
    whole = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    spoil(store)

    async def scenario():
        async with following(site):
            await polls(watched, 12)
            assert site.service.judge.version == 1
            assert (await score(site, dots))["model_version"] == 1
            (message,) = errors(caplog)
            assert words in message
            assert "version 1 is still served" in message
            for path, data in whole.items():
                replace_file(path, data)
            await until(lambda: site.service.judge.version == 2)

    asyncio.run(scenario())


def test_a_damaged_pointer_is_logged_once(store, caplog):
    ModelStore.open(store).publish(1)
    site, watched = follower(store)
    replace_file(store / "PUBLISHED", "?")

    async def scenario():
        async with following(site):
            await polls(watched, 8)
            assert len(errors(caplog)) == 1
            ModelStore.open(store).publish(1)
            await polls(watched, 3)
            replace_file(store / "PUBLISHED", "?")
            await polls(watched, 8)
            assert len(errors(caplog)) == 2

    asyncio.run(scenario())


def test_a_version_that_cannot_be_read_does_not_keep_a_good_one_waiting(store):
    models = ModelStore.open(store)
    models.commit(models.current().successor())
    models.publish(1)
    site, watched = follower(store)
    models.publish(2)
    lose_manifest(store)

    async def scenario():
        async with following(site):
            await polls(watched, 3)
            models.publish(3)
            await polls(watched, 3)
            await until(lambda: site.service.judge.version == 3)

    asyncio.run(scenario())


def test_two_weighted_asks_are_both_asked_and_added_by_their_weights(tiny_model, pictures, monkeypatch):
    """What a gate over experts will do: the plan says whom, the service asks, the judge adds."""

    def asks(self, category):
        return tuple(
            Ask(self.model.experts[name], self.model.scored_against(name), weight)
            for name, weight in (("dots", 0.25), ("stripes", 0.75))
        )

    monkeypatch.setattr(BankJudge, "_asks", asks)
    site = Site(tiny_model.store)
    data = pictures["dots/test/spot/1.png"]
    (item,) = site.post(data).json()["items"]
    judge, cache = site.service.judge, ExpertCache(ModelStore.open(tiny_model.store))
    picture = resize(decode_image(data, name="a", max_pixels=10**6), judge.image_size)
    (patches_HWD,) = asyncio.run(site.service.embed_batch([picture]))
    grids = [cache.patch_scores(judge.model.scored_against(name), patches_HWD) for name in ("dots", "stripes")]
    assert not np.allclose(*grids)
    expected = image_score(0.25 * grids[0] + 0.75 * grids[1], ScoringConfig())
    assert item["score"] == pytest.approx(expected, rel=1e-5)


def test_the_asks_of_a_plan_are_out_at_the_same_time(tiny_model, dots, monkeypatch):
    plan = BankJudge.plan

    def doubled(self, patches_HWD, category=None):
        found = plan(self, patches_HWD, category)
        return dataclasses.replace(found, asks=tuple(dataclasses.replace(ask, weight=0.5) for ask in found.asks * 2))

    site = Site(tiny_model.store)
    (alone,) = site.post(dots).json()["items"]
    monkeypatch.setattr(BankJudge, "plan", doubled)
    ask = site.experts.ask

    async def scenario():
        meeting = asyncio.Barrier(2)

        async def meet(*args):
            async with asyncio.timeout(5):
                await meeting.wait()
            return await ask(*args)

        site.experts.ask = meet
        return await score(site, dots)

    (item,) = asyncio.run(scenario())["items"]
    assert item["score"] == pytest.approx(alone["score"])


def test_the_version_to_begin_with_is_the_one_asked_for_then_the_published_then_the_current(store):
    models = ModelStore.open(store)
    assert Site(store).service.judge.version == 2
    models.publish(1)
    assert Site(store).service.judge.version == 1
    assert Site(store, version=2).service.judge.version == 2


@pytest.mark.parametrize(("version", "words"), [(3, "no version 3"), (99, "no version 99")])
def test_a_version_that_is_not_there_is_said_so(store, version, words):
    with pytest.raises(StoreMissing, match=words):
        Site(store, version=version)


def test_a_store_without_a_class_or_without_anything_is_said_so(tmp_path):
    with pytest.raises(StoreMissing, match="no model store here"):
        Site(tmp_path / "none")
    ModelStore.create(tmp_path / "new")
    with pytest.raises(StoreMissing, match="knows no class yet"):
        Site(tmp_path / "new")


def test_a_damaged_model_is_said_so_at_the_start(store):
    spoil_bank(store)
    with pytest.raises(StoreError, match="sha256"):
        Site(store)
