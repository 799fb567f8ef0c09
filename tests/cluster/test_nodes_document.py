"""The commands of docs/operations.md, "A cluster of three nodes on one machine", typed as they stand there."""

import json
import re
import shutil
import subprocess
import sys
import tempfile

import psutil
import pytest

from eagleray.reports import read_results
from tests.cluster.conftest import ROOT
from tests.ray_head import free_ports

TITLE = "### A cluster of three nodes on one machine"
PORTS = ("6379", "8000", "8265", "10001")
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""These two outlive a Ray by up to 60 s and hold nothing."""


@pytest.fixture
def ports():
    """A free port in place of each that the document names."""
    return dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))


@pytest.fixture
def tree(tmp_path, ports):
    """The repository as it is after `make install`, a place for results, and the service on a port of its own."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("jobs", "platform"):
        (root / name).symlink_to(ROOT / name)
    (root / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "serve", root / "serve", ignore=shutil.ignore_patterns("__pycache__"))
    config = root / "serve" / "config.yaml"
    config.write_text(_elsewhere(config.read_text(), ports))
    return root


@pytest.fixture
def shell(tree, tmp_path, environment):
    """Runs a script as a user who has just come; ends what it leaves behind."""
    # The folder holds sockets, whose paths may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        (tmp_path / "home").mkdir()
        kept = {name: value for name, value in environment.items() if not name.startswith("RAY_")}
        own = {"HOME": str(tmp_path / "home"), "RAY_TMPDIR": folder, "EAGLERAY_CACHE": str(tmp_path / "cache")}

        def run(script):
            command, options = ["bash", "-euo", "pipefail", "-c", script], {"cwd": tree, "env": {**kept, **own}}
            with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
                done = subprocess.run(command, stdout=out, stderr=err, timeout=900, check=False, **options)
            return done.returncode, (tmp_path / "out").read_text(), (tmp_path / "err").read_text()

        run.left = lambda: [one for one in psutil.process_iter() if _environment(one).get("RAY_TMPDIR") == folder]
        try:
            yield run
        finally:
            for process in run.left():
                process.kill()


def test_the_commands_of_the_document_start_use_and_end_a_cluster(shell, tree, ports, eventually):
    section = (ROOT / "docs" / "operations.md").read_text().split(f"{TITLE}\n")[1].split("\n##")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    code, out, errors = shell(_elsewhere("".join(blocks), ports))
    logs = "".join(path.read_text() for path in (tree / "runs").glob("*.log"))
    assert code == 0, out + errors + logs
    assert set(read_results(tree / "runs" / "three")["classes"]) == {"capsule", "hex_nut", "wood"}
    answers = [json.loads(line) for line in out.splitlines() if line.startswith('{"path"')]
    assert len(answers) == len(list((tree / "runs/images/wood/test").rglob("*.png")))
    assert not any("error" in answer for answer in answers)
    eventually(lambda: {one.name() for one in shell.left()} <= set(AGENTS), within_s=60)


def _elsewhere(text, ports):
    return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: ports[found[0]], text)


def _environment(process):
    try:
        return process.environ()
    except psutil.Error:
        return {}
