"""A sweep on three nodes, of which one dies: its trials go on elsewhere, and find what one process does."""

import signal
import subprocess
import sys

import pytest

from eagleray.reports import read_results
from eagleray.storage import ModelStore
from tests.cluster.conftest import FLAGS, ROOT

POINTS = ("experts", "--values", "1", "2", "--orders", "2")


@pytest.fixture(scope="module")
def sweep(data, environment):
    def start(out, address):
        flags = ("--data", str(data), "--out", str(out), *FLAGS, "--pool.embed-workers", "3", "--address", address)
        command = [sys.executable, "jobs/sweep.py", *POINTS, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    return start


@pytest.fixture(scope="module")
def alone(sweep, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "alone"
    _finish(sweep(out, "none"))
    return out


@pytest.mark.chaos
def test_a_sweep_that_loses_a_node_with_a_trial_finds_what_one_process_does(nodes, sweep, alone, tmp_path, eventually):
    job = sweep(tmp_path / "out", nodes.address)
    _wait(eventually, job, lambda: list(tmp_path.glob("out/models/*/progress/0*.json")) and nodes.busiest("Trial"))
    nodes.kill(nodes.busiest("Trial"))
    assert not (tmp_path / "out" / "results.json").exists()
    _finish(job)
    _assert_same(tmp_path / "out", alone)


@pytest.mark.chaos
def test_a_sweep_that_loses_a_node_with_pictures_nobody_has_seen_embeds_them_again(
    nodes, sweep, alone, tmp_path, eventually
):
    job = sweep(tmp_path / "out", nodes.address)
    held = {}

    def embedded():  # and no trial is there
        held.update(nodes.objects())
        return list(tmp_path.glob("out/trials/*/tuner.pkl"))

    _wait(eventually, job, embedded)
    job.send_signal(signal.SIGSTOP)  # nor will one come before the node is gone, and copy what shall be lost
    assert not nodes.actors("Trial")
    doomed = max((1, 2, 3), key=held.__getitem__)
    assert held[doomed]
    nodes.kill(doomed)
    job.send_signal(signal.SIGCONT)
    errors = _finish(job)
    assert errors.count("embed pictures") == 2
    _assert_same(tmp_path / "out", alone)


def _wait(eventually, job, condition):
    eventually(lambda: job.poll() is not None or condition(), within_s=300)
    assert job.poll() is None, job.communicate()


def _finish(job):
    """What it told on the way."""
    _, errors = job.communicate(timeout=400)
    assert job.returncode == 0, errors
    return errors


def _assert_same(found, expected):
    one, other = read_results(expected), read_results(found)
    assert one["points"] == other["points"]
    assert [_settled(trial) for trial in one["trials"]] == [_settled(trial) for trial in other["trials"]]
    for trial in one["trials"]:
        stores = [ModelStore.open(out / "models" / trial["name"] / "model") for out in (expected, found)]
        assert stores[0].current() == stores[1].current()


def _settled(trial):
    """What of a trial is not a measure of time."""
    return {key: value for key, value in trial.items() if key != "seconds"}
