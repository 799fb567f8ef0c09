"""Experts that train on three nodes, of which one dies: their weights are those that one process trains."""

import subprocess
import sys

import pytest

from eagleray.reports import read_results, read_scores
from eagleray.storage import ModelStore
from tests.cluster.conftest import ROOT
from tests.unit.adapted_moe.conftest import write_category

FLAGS = (
    *("--expert", "discriminator", "--features.image-size", "64", "--bank.whitening-directions", "3"),
    *("--mixture.rows", "60", "--mixture.directions", "2", "--mixture.holdout-share", "0.25"),
    *("--routing.epochs", "1", "--routing.channels", "8", "--train.router-workers", "1"),
    *("--discriminator.epochs", "40", "--discriminator.hidden", "8", "--train.checkpoint-epochs", "1"),
)


@pytest.fixture
def train(tmp_path, environment):
    write_category(tmp_path / "data" / "cloth")

    def start(out, address):
        flags = ("--data", str(tmp_path / "data"), "--out", str(out), *FLAGS, "--address", address)
        command = [sys.executable, "jobs/adapted_moe.py", *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    return start


@pytest.mark.chaos
def test_experts_that_lose_a_node_end_with_the_weights_of_one_process(nodes, train, tmp_path, eventually):
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    job = train(spread, nodes.address)
    eventually(lambda: job.poll() is not None or list(spread.glob("training/expert-*.ckpt")), within_s=300)
    assert job.poll() is None, job.communicate()
    assert nodes.actors("RayTrainWorker") == {1: 1, 2: 1, 3: 1}
    nodes.kill(nodes.busiest("RayTrainWorker"))
    assert len(list(spread.glob("training/expert-*.safetensors"))) < 3, "all experts were finished before"
    _, errors = job.communicate(timeout=400)
    assert job.returncode == 0, errors

    undisturbed = train(alone, "none")
    _, errors = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, errors
    one, other = read_results(alone), read_results(spread)
    for part in ("classes", "mean", "baselines"):
        assert one[part] == other[part], part
    assert read_scores(alone).equals(read_scores(spread))
    stores = [ModelStore.open(out / "model") for out in (alone, spread)]
    assert stores[0].current() == stores[1].current()
