"""Where work runs on several nodes: embed workers and experts on all that have CPUs, work on patches where they are."""

import json
import subprocess
import sys

import pytest

from tests.cluster.conftest import ROOT


@pytest.fixture
def told(nodes, data, environment, tmp_path):
    """What tests/cluster/placement.py tells, which is there still."""
    driver = subprocess.Popen(
        [sys.executable, "tests/cluster/placement.py", nodes.address, str(data), str(tmp_path / "model")],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = driver.stdout.readline()
        assert line, driver.stderr.read()
        yield json.loads(line)
    finally:
        driver.communicate(timeout=60)


def test_actors_spread_over_the_nodes_with_cpus_and_work_goes_where_its_patches_are(nodes, told):
    assert nodes.actors("EmbedWorker") == {1: 1, 2: 1, 3: 1}
    assert nodes.actors("ExpertWorker") == {1: 1, 2: 1, 3: 1}
    assert told["work_on_patches"] == told["patches"]
    assert set(told["other_work"]) == set(told["patches"])
