"""SIGKILL of the driver or of the whole Ray, then the same command with --resume: as if nothing had happened."""

import random
import time

import psutil
import pytest

RAY = ("gcs_server", "raylet")
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""These two outlive a killed Ray by 60 s, in which they try to report its death to it; they hold nothing."""
STARTING = "python"
"""A worker has this name until it knows its Ray. One that was just starting looks for it for 25 s before it ends."""


@pytest.mark.parametrize("seed", [1, 12])
def test_a_driver_killed_at_a_random_moment_resumes_to_the_same_results(folder, undisturbed, eventually, seed):
    moments = random.Random(seed)
    num_versions = moments.randrange(4)
    process = folder.start()
    eventually(lambda: folder.num_versions >= num_versions, within_s=300)
    time.sleep(moments.uniform(0, 1))
    _kill_driver(process)
    _resumes(folder, undisturbed)


@pytest.mark.parametrize("seed", [9, 24])
def test_a_ray_killed_at_a_random_moment_resumes_to_the_same_results(folder, undisturbed, eventually, seed):
    moments = random.Random(seed)
    num_versions = moments.randrange(3)
    process = folder.start()
    eventually(lambda: _is_up(process.pid) and folder.num_versions >= num_versions, within_s=300)
    time.sleep(moments.uniform(0, 1))
    for child in _family(process.pid):
        if child.name() in RAY:
            child.kill()
    assert process.wait(timeout=120) != 0  # it notices by itself
    process.communicate()
    _resumes(folder, undisturbed)


def test_a_driver_killed_between_learning_and_judging_resumes_to_the_same_results(folder, undisturbed, eventually):
    process = folder.start()
    eventually(lambda: folder.num_versions == 2, within_s=300, every_s=0.001)
    _kill_driver(process)
    assert folder.num_versions == 2
    assert not folder.judged(2)
    _resumes(folder, undisturbed)


def test_a_driver_killed_while_it_writes_its_results_resumes_to_the_same(folder, undisturbed, eventually):
    process = folder.start()
    eventually((folder.out / "scores.parquet").exists, within_s=300, every_s=0.001)
    _kill_driver(process)
    refused = folder.run()
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert "--resume" in refused.stderr
    _resumes(folder, undisturbed)


def test_nothing_of_a_killed_drivers_ray_stays_behind(folder, eventually):
    process = folder.start()
    eventually(lambda: folder.num_versions >= 1, within_s=300)
    started = _family(process.pid)
    assert {*RAY, *AGENTS, "ray::EmbedWorker"} <= {child.name() for child in started}
    names = {child: child.name() for child in started}

    def left():
        return {names[child] for child in started if _runs(child)}

    _kill_driver(process)
    eventually(lambda: left() <= {*AGENTS, STARTING}, within_s=20)
    eventually(lambda: left() <= {*AGENTS}, within_s=60)
    for child in started:
        if child.is_running():
            child.kill()


def _family(pid):
    """Every process that a process has started, Ray's included."""
    return psutil.Process(pid).children(recursive=True)


def _is_up(pid):
    return {*RAY} <= {child.name() for child in _family(pid)}


def _runs(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _kill_driver(process):
    process.kill()
    process.communicate()


def _resumes(folder, undisturbed):
    assert folder.finish("--resume") == undisturbed.results()
    assert folder.model() == undisturbed.model()
    assert (folder.out / "scores.parquet").read_bytes() == (undisturbed.out / "scores.parquet").read_bytes()
