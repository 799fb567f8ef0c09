"""A sweep on Ray Tune: as in one process, to the bit, also when its driver is killed on the way."""

import signal
import subprocess
import sys

import pytest

from eagleray.reports import read_results
from eagleray.storage import ModelStore
from tests.cluster.conftest import FLAGS, ROOT

POINTS = ("experts", "--values", "1", "2", "--orders", "2")


@pytest.fixture
def sweep(data, environment):
    def start(out, *flags):
        command = [sys.executable, "jobs/sweep.py", *POINTS, "--data", str(data), "--out", str(out), *FLAGS, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    return start


def test_a_sweep_whose_driver_is_killed_resumes_to_what_one_process_finds(sweep, tmp_path, eventually):
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    _finish(sweep(alone, "--address", "none"))

    killed = sweep(spread)
    eventually(lambda: killed.poll() is not None or len(_versions(spread)) >= 2, within_s=300)
    assert killed.poll() is None, killed.communicate()[1]
    killed.kill()
    killed.communicate()
    assert not (spread / "results.json").exists()
    for note in (spread / "trials").glob("*/experiment_state-*.json"):  # as if it died while Tune was writing this
        note.write_text(note.read_text()[:100])
    _finish(sweep(spread, "--resume"))

    one, other = read_results(alone), read_results(spread)
    assert one["points"] == other["points"]
    assert [_settled(trial) for trial in one["trials"]] == [_settled(trial) for trial in other["trials"]]
    for trial in one["trials"]:
        stores = [ModelStore.open(out / "models" / trial["name"] / "model") for out in (alone, spread)]
        assert stores[0].current() == stores[1].current()


def test_a_sweep_that_ctrl_c_stops_says_how_to_go_on(sweep, tmp_path, eventually):
    process = sweep(tmp_path / "out")
    eventually(lambda: process.poll() is not None or _versions(tmp_path / "out"), within_s=300)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "results.json").exists()


def _finish(process):
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors


def _versions(out):
    """Steps that any trial has judged."""
    return list((out / "models").glob("*/progress/0*.json"))


def _settled(trial):
    """What of a trial is not a measure of time."""
    return {key: value for key, value in trial.items() if key != "seconds"}
