"""The architecture search on Ray Tune: as in one process, to the bit, also when its driver is killed on the way."""

import json
import subprocess
import sys

import pytest

from eagleray.data import write_solids
from eagleray.reports import read_results, read_scores
from eagleray.storage import ModelStore
from tests.cluster.conftest import ROOT

FLAGS = (
    *("--image-size", "32", "--network.width", "4", "--network.channels", "8", "--alpha-rates", "0.01", "0.03"),
    *("--training.epochs", "2", "--training.pictures", "32", "--training.crop", "32", "--reconstruction-epochs", "1"),
    *("--search.epochs", "6", "--search-pictures", "48", "48", "--baselines", "random", "--retrainings", "1"),
    *("--search.candidate-epochs", "1", "--tune.grace", "6"),
)


@pytest.fixture(scope="module")
def solids(tmp_path_factory):
    root = tmp_path_factory.mktemp("solids") / "data"
    counts = {"num_train": 6, "num_validation": 4, "num_test_good": 2, "num_test_defective": 3}
    write_solids(root, image_size=64, classes=("gear",), **counts)
    return root


@pytest.fixture
def search(solids, environment):
    def start(out, *flags):
        command = [sys.executable, "jobs/adnas_search.py", "--data", str(solids), "--out", str(out), *FLAGS, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    return start


def test_a_search_whose_driver_is_killed_resumes_to_what_one_process_finds(search, tmp_path, eventually):
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    _finish(search(alone, "--address", "none"))

    killed = search(spread)
    eventually(lambda: killed.poll() is not None or _steps(spread, "search") >= 3, within_s=400)
    assert killed.poll() is None, killed.communicate()[1]
    killed.kill()
    killed.communicate()
    assert not (spread / "results.json").exists()
    refused = search(spread)
    _, told = refused.communicate(timeout=300)
    assert refused.returncode == 2
    assert told.count("\n") == 1
    assert "--resume" in told
    _finish(search(spread, "--resume"))

    one, other = read_results(alone), read_results(spread)
    for part in ("genotype", "kept", "classes", "mean"):
        assert one[part] == other[part], part
    assert [_settled(row) for row in one["searches"]] == [_settled(row) for row in other["searches"]]
    assert read_scores(alone).equals(read_scores(spread))
    models = [ModelStore.open(out / "model").current() for out in (alone, spread)]
    assert models[0] == models[1]


def _finish(process):
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors


def _steps(out, name):
    """Most steps of any trial that are kept; of each trial only the latest state is."""
    states = (out / "trials").glob(f"{name}-*/*/checkpoint_*/state.pt")
    return max((int(state.parent.name.removeprefix("checkpoint_")) + 1 for state in states), default=0)


def _settled(row):
    """What of a search is not a measure of time."""
    kept = {key: value for key, value in row.items() if key not in ("frames_per_s", "search_s")}
    return json.loads(json.dumps(kept))
