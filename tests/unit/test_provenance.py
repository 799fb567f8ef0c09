import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eagleray import provenance


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Make the module believe that it lies in another folder."""
    place = tmp_path / "eagleray" / "provenance.py"
    place.parent.mkdir()
    shutil.copy(provenance.__file__, place)
    monkeypatch.setattr(provenance, "__file__", str(place))
    # Neither the user's configuration nor a repository around the temporary folder may matter.
    for name, value in {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}.items():
        monkeypatch.setenv(name, value)
    return place


def git(folder, *arguments):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_outside_a_checkout_there_is_no_commit(copied):
    assert provenance.git_commit() is None


def test_the_commit_is_that_of_the_checkout_and_a_plus_tells_that_files_differ(copied):
    git(copied.parent, "init", "-q")
    git(copied.parent, "add", copied.name)
    git(copied.parent, "commit", "-qm", "one")
    head = git(copied.parent, "rev-parse", "HEAD").strip()
    assert provenance.git_commit() == head
    copied.write_text("changed")
    assert provenance.git_commit() == head + "+"


def test_a_checkout_that_only_holds_our_virtual_environment_is_not_ours(copied):
    theirs = copied.parent.parent
    git(theirs, "init", "-q")
    (theirs / "their.py").write_text("")
    git(theirs, "add", "their.py")
    git(theirs, "commit", "-qm", "theirs")
    assert provenance.git_commit() is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git_commit() is None


def test_versions_name_python_and_the_packages_that_are_installed():
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert {"numpy", "pillow"} <= found.keys()


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGES", ("numpy", "no-such-package-at-all"))
    assert set(provenance.versions()) == {"python", "numpy"}


def test_the_machine_is_plain_json_with_sensible_numbers():
    machine = provenance.machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpus"] >= 1
    assert 0.1 < machine["memory_gb"] < 100_000


def test_the_command_is_what_was_typed_but_for_going_on(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["jobs/sweep.py", "experts", "--data", "my images", "--resume"])
    assert provenance.command() == "python jobs/sweep.py experts --data 'my images'"


@pytest.mark.parametrize(
    ("script", "name"),
    [("echo 'NVIDIA H100'; echo 'NVIDIA L4'", "NVIDIA H100"), ("echo no driver >&2; exit 9", None), ("true", None)],
)
def test_a_gpu_is_named_where_there_is_one(tmp_path, monkeypatch, script, name):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.machine()["gpu"] == name


def test_the_module_under_test_is_the_source_tree():
    assert Path(provenance.__file__).name == "provenance.py"
