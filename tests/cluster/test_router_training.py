"""Routing networks that are trained by the workers of Ray Train are, byte for byte, those trained in process."""

import threading

import numpy as np
import psutil
import pytest
import ray

from eagleray.adapted_moe import RouterTask
from eagleray.distributed.router_training import train_routers
from eagleray.errors import TrainingDiverged
from eagleray.routing import RoutingConfig
from eagleray.routing.network_training import train_routing

pytestmark = pytest.mark.usefixtures("ray_here")


def pictures(seed, *, count=10):
    """Shards of pictures (N, H, W, D) and the pictures' subclasses."""
    random = np.random.default_rng(seed)
    labels_N = np.arange(count) % 3
    patches_NHWD = (labels_N[:, None, None, None] + random.normal(size=(count, 4, 4, 5))).astype(np.float16)
    return [patches_NHWD[:3], patches_NHWD[3:]], labels_N


def task(key, data, **config):
    shards, labels_N = data
    refs = [ray.put(shard) for shard in shards]
    config = RoutingConfig(channels=4, batch_size=6, **config)
    images = tuple(range(len(labels_N)))
    name = f"the {key} router"
    return RouterTask(key=key, name=name, shards=refs, images=images, labels_N=labels_N, config=config, seed=3)


def in_process(data, task, **options):
    return train_routing(*data, task.config, seed=task.seed, **options).to_bytes()


def test_one_worker_trains_every_network_as_a_process_does(tmp_path):
    data = {"cloth": pictures(1), "metal": pictures(2, count=7)}
    tasks = [task("cloth", data["cloth"], epochs=2), task("metal", data["metal"], loss="softmax", epochs=2)]
    found = [network.to_bytes() for network in train_routers(tasks, folder=str(tmp_path), workers=1)]
    assert found == [in_process(data[task.key], task) for task in tasks]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["cloth.safetensors", "metal.safetensors"]


def test_two_workers_of_whom_one_is_killed_train_the_same_network(tmp_path, eventually):
    data = pictures(1)
    cloth = task("cloth", data, epochs=600)
    killed = []

    def kill_one():
        eventually((tmp_path / "cloth.ckpt").exists, within_s=120)
        worker = workers()[-1]
        worker.kill()
        if not (tmp_path / "cloth.safetensors").exists():
            killed.append(worker)

    killer = threading.Thread(target=kill_one)
    killer.start()
    (network,) = train_routers([cloth], folder=str(tmp_path), workers=2)
    killer.join()
    assert killed, "it was finished before"
    assert network.to_bytes() == in_process(data, cloth)


def workers():
    """Processes of Ray Train's workers that descend from this one."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "RayTrainWorker" in " ".join(process.cmdline())
    ]


def test_a_diverging_network_is_our_error_at_once_and_earlier_ones_are_kept(tmp_path):
    good, spoiled = pictures(1), pictures(2)
    spoiled[0][0][0, 0, 0, 0] = np.inf
    tasks = [task("cloth", good, epochs=2), task("metal", spoiled)]
    with pytest.raises(TrainingDiverged, match="the loss of the metal router is not finite"):
        train_routers(tasks, folder=str(tmp_path), workers=2)
    assert (tmp_path / "cloth.safetensors").read_bytes() == in_process(good, tasks[0])


def test_what_an_earlier_command_finished_is_not_trained_again(tmp_path, monkeypatch):
    data = pictures(1)
    cloth = task("cloth", data, epochs=1)
    (tmp_path / "cloth.safetensors").write_bytes(in_process(data, cloth))
    monkeypatch.setattr("eagleray.distributed.router_training.run_workers", None)
    (network,) = train_routers([cloth], folder=str(tmp_path), workers=1)
    assert network.to_bytes() == in_process(data, cloth)
