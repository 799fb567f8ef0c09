"""The pool on Ray gives the same bytes as the pool in process, however many workers there are and whoever is killed."""

import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
import ray

from eagleray.banks import BankConfig
from eagleray.continual import ExpertUpdate, LocalPool, MecadConfig, ScoreItem, load_bank
from eagleray.distributed import PoolConfig, RayPool, bank_store
from eagleray.errors import StoreCorrupt, StoreError
from eagleray.experts import ScoringConfig
from eagleray.storage import ModelStore

pytestmark = pytest.mark.usefixtures("ray_here")


@pytest.fixture
def store(tmp_path):
    return ModelStore.create(tmp_path / "model")


@pytest.fixture(scope="session")
def spoiled(tmp_path_factory, data):
    """The same products; one picture cannot be read."""
    root = tmp_path_factory.mktemp("spoiled") / "products"
    shutil.copytree(data, root)
    pictures = sorted((root / "hex_nut" / "train" / "good").iterdir())
    pictures[5].write_bytes(pictures[5].read_bytes()[:300])
    return root


@pytest.fixture
def local(learn, extractor, tmp_path):
    def run(**options):
        store = ModelStore.create(tmp_path / "local" / "model")
        with LocalPool(extractor, store) as pool:
            return learn(pool, store, tmp_path / "local", **options)

    return run


@pytest.mark.filterwarnings("ignore::eagleray.errors.EagleRayWarning")
@pytest.mark.parametrize("num_workers", [1, 2])
def test_ray_pool_learns_and_scores_like_the_local_pool(local, learn, extractor, store, tmp_path, spoiled, num_workers):
    with RayPool(extractor, store, PoolConfig(embed_workers=num_workers)) as pool:
        found = learn(pool, store, tmp_path, data=spoiled)
    assert found == local(data=spoiled)
    assert [len(event.skipped) for event in found["manifests"][-1].history] == [0, 1, 0]


@pytest.fixture
def paths(data):
    return [str(path) for path in sorted(data.glob("*/train/good/*"))]


def test_embedding_keeps_order_and_bytes_with_a_shard_of_which_nothing_can_be_read(extractor, store, tmp_path, paths):
    broken = [tmp_path / f"{number}.png" for number in range(8)]
    for path in broken:
        path.write_bytes(b"no picture")
    mixed = [*paths[:11], *map(str, broken), *paths[11:30]]
    expected = LocalPool(extractor, store).embed(mixed)
    with RayPool(extractor, store, PoolConfig()) as pool:
        found = pool.embed(mixed)
        shards = ray.get(list(found.shards))
    assert found.skipped == expected.skipped
    assert [info.paths for info in found.infos] == [info.paths for info in expected.infos]
    assert found.means_ND.tobytes() == expected.means_ND.tobytes()
    assert [shard.tobytes() for shard in shards] == [shard.tobytes() for shard in expected.shards]


def test_map_keeps_the_order_of_its_items(extractor, store):
    with RayPool(extractor, store, PoolConfig()) as pool:
        assert pool.map(_slow_first, range(8)) == [number**2 for number in range(8)]


def _slow_first(number):
    time.sleep(0.5 if number == 0 else 0)
    return number**2


def test_workers_that_the_cluster_has_no_room_for_are_not_waited_for(extractor, store, paths):
    with RayPool(extractor, store, PoolConfig(embed_workers=5)) as pool:
        assert pool.embed(paths[:48]).num_images == 48


def test_an_error_of_ours_arrives_from_a_worker_as_itself(learn, extractor, store, tmp_path):
    with RayPool(extractor, store, PoolConfig()) as pool:
        found = learn(pool, store, tmp_path)
        digest = found["manifests"][-1].classes["wood"].blob
        blob = tmp_path / "model" / "blobs" / digest
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with RayPool(extractor, store, PoolConfig()) as fresh, pytest.raises(StoreCorrupt) as caught:
        fresh.score([ScoreItem(found["scores"][0][0], (digest,))])
    assert "does not match its sha256" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_arrives_from_an_expert_as_itself(extractor, store, tmp_path, paths):
    update = ExpertUpdate(
        class_name="nut",
        num_classes=1,
        seed=0,
        mecad=MecadConfig(),
        bank=BankConfig(),
        scoring=ScoringConfig(),
        provenance={},
    )
    with RayPool(extractor, store, PoolConfig(embed_workers=1)) as pool:
        fit, calibration = pool.embed(paths[:8]), pool.embed(paths[8:12])
        blobs = tmp_path / "model" / "blobs"
        shutil.rmtree(blobs)
        blobs.write_text("in the way")
        with pytest.raises(StoreError) as caught:
            pool.update_expert(0, update, (), fit, calibration)
    assert "a file stands where a folder belongs" in str(caught.value)
    assert str(caught.value).startswith(str(blobs))
    assert "\n" not in str(caught.value)


def test_a_killed_embed_worker_changes_nothing(local, learn, extractor, store, tmp_path):
    with RayPool(extractor, store, PoolConfig(embed_workers=2)) as pool:
        victims = pool._workers
        killing = Killing(lambda: victims[0], {("learn hex_nut", 1), ("test after wood", 1)})
        assert learn(pool, store, tmp_path, progress=killing.progress) == local()
    assert killing.killed == 2


def test_a_killed_bank_store_changes_nothing(local, learn, extractor, store, tmp_path):
    with RayPool(extractor, store, PoolConfig(embed_workers=1)) as pool:
        moments = {("learn hex_nut", 1), ("test after capsule", 1), ("test after wood", 2)}
        killing = Killing(lambda: bank_store(store), moments)
        assert learn(pool, store, tmp_path, progress=killing.progress) == local()
    assert killing.killed == 3


def test_a_killed_expert_worker_changes_nothing(local, learn, extractor, store, tmp_path):
    with RayPool(extractor, store, PoolConfig()) as pool:
        update_expert, killed = pool.update_expert, []

        def killed_in_the_middle(expert, *work):
            if expert not in pool._experts or killed:
                return update_expert(expert, *work)
            victim = psutil.Process(_pid(pool._experts[expert]))
            victim.suspend()  # so that the work is certainly there and certainly not done when it dies
            threading.Timer(0.5, victim.kill).start()
            killed.append(victim)
            return update_expert(expert, *work)

        pool.update_expert = killed_in_the_middle
        assert learn(pool, store, tmp_path) == local()
    assert killed


def test_readers_of_the_bank_store_share_its_memory(learn, extractor, store, tmp_path):
    with RayPool(extractor, store, PoolConfig()) as pool:
        manifest = learn(pool, store, tmp_path)["manifests"][-1]
        (ref,) = pool._refs([manifest.classes["wood"].blob])
        bank, again = ray.get(ref), ray.get(ref)
        assert bank.rows_MD.tobytes() == load_bank(store, manifest.classes["wood"].blob).rows_MD.tobytes()
        assert not bank.rows_MD.flags.owndata
        assert not bank.rows_MD.flags.writeable
        assert np.shares_memory(bank.rows_MD, again.rows_MD)


def test_the_bank_store_outlives_its_own_death_but_not_its_pool(learn, extractor, store, tmp_path, eventually):
    with RayPool(extractor, store, PoolConfig()) as pool:
        manifests = learn(pool, store, tmp_path)["manifests"]
        actor = bank_store(store)
        os.kill(_pid(actor), signal.SIGKILL)
        for manifest in manifests:
            for expert in {entry.expert for entry in manifest.classes.values()}:
                banks = ray.get(ray.get(actor.expert.remote(expert, manifest.version)))
                assert {bank.name: bank.num_rows for bank in banks} == {
                    name: entry.rows for name, entry in manifest.classes.items() if entry.expert == expert
                }
        pid = _pid(actor)
    eventually(lambda: not psutil.pid_exists(pid), within_s=20)  # a node that has an actor left is not idle
    assert not [one for one in ray.util.list_named_actors(all_namespaces=True) if "bank-store" in one["name"]]


def test_there_is_one_bank_store_to_a_model(store, tmp_path):
    other = ModelStore.create(tmp_path / "other")
    assert _pid(bank_store(store)) == _pid(bank_store(ModelStore.open(store.uri)))
    assert _pid(bank_store(store)) != _pid(bank_store(other))


class Killing:
    """A progress display that kills an actor at given moments: (label, number of reports of progress)."""

    def __init__(self, victim, moments):
        self._victim, self._moments, self.killed = victim, set(moments), 0

    @contextmanager
    def progress(self, label, total):
        reports, pid = 0, _pid(self._victim())  # asked for now, because a busy actor answers late

        def advance(done):
            nonlocal reports
            reports += bool(done)
            if (label, reports) in self._moments:
                self._moments.discard((label, reports))
                os.kill(pid, signal.SIGKILL)
                self.killed += 1

        yield advance


def _pid(actor):
    ask = actor.__ray_call__.options(max_task_retries=-1)  # it may be on its way back
    return ray.get(ask.remote(lambda _: os.getpid()))
