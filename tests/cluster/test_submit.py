"""Jobs submitted to a cluster that runs already: one head of our own, with its own ports, folder and token."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.ray_head import ray_head

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def head(environment):
    """A running head; nobody else's cluster may be stopped."""
    with ray_head(environment) as head:
        yield head


def test_a_submitted_job_runs_the_submitted_tree_on_driver_and_workers(
    head, environment, undisturbed, folder, tmp_path
):
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "jobs", tree / "jobs")
    shutil.copytree(ROOT / "platform", tree / "platform", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".rayignore", tree)
    for module in ("console.py", "distributed/embed_worker.py"):
        marker = f"\nfrom pathlib import Path\nPath({str(tmp_path / Path(module).name)!r}).write_text(__file__)\n"
        with (tree / "platform" / "eagleray" / module).open("a") as file:
            file.write(marker)
    done = _submit(
        *("--address", head.dashboard, "--working-dir", ".", "--runtime-env", "jobs/runtime-env.yaml"),
        *("--", "python", "jobs/mecad_stream.py", *folder.flags),
        cwd=tree,
        environment=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for module in ("console.py", "embed_worker.py"):
        assert "/runtime_resources/py_modules_files/" in (tmp_path / module).read_text()
    assert folder.results() == undisturbed.results()


def test_the_plain_command_runs_from_the_root_of_the_repository(head, environment, undisturbed, folder):
    done = _submit(
        *("--", "python", "jobs/mecad_stream.py", *folder.flags),
        cwd=ROOT,
        environment={**environment, "RAY_API_SERVER_ADDRESS": head.dashboard},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert folder.results() == undisturbed.results()


def test_a_driver_joins_a_cluster_by_its_address(head, undisturbed, folder):
    assert folder.finish("--address", head.cluster) == undisturbed.results()


@pytest.mark.parametrize("token", ["0" * 64, None])
def test_a_cluster_that_refuses_the_token_is_an_error_with_its_cure(head, folder, token):
    folder.environment = {name: value for name, value in folder.environment.items() if not name.startswith("RAY_")}
    if token:
        folder.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    start = time.monotonic()
    done = folder.run("--address", head.cluster)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "RAY_AUTH_MODE=token" in done.stderr.splitlines()[-1]
    assert time.monotonic() - start < 60


def _submit(*arguments, cwd, environment):
    return subprocess.run(
        ["ray", "job", "submit", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
