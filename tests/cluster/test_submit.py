"""Jobs submitted to a cluster that runs already: one head of our own, with its own ports, folder and token."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("--port", "--dashboard-port", "--ray-client-server-port", "--dashboard-agent-listen-port")


@pytest.fixture(scope="module")
def head(environment):
    """Addresses of a running head; it is stopped by its handle, as nobody else's cluster may be."""
    # The folder holds sockets, whose paths may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        options = [text for port in ports.items() for text in map(str, port)]
        command = ["ray", "start", "--head", "--block", "--temp-dir", folder, "--num-cpus", "2", *options]
        log = Path(folder) / "start.log"
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            dashboard = f"http://127.0.0.1:{ports['--dashboard-port']}"
            _wait_until_it_takes_jobs(dashboard, environment, process, log)
            yield {"cluster": f"127.0.0.1:{ports['--port']}", "dashboard": dashboard}
        finally:
            for started in (*psutil.Process(process.pid).children(recursive=True), process):
                started.kill()  # terminate() would take half a minute
            process.wait()


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
        *("--address", head["dashboard"], "--working-dir", ".", "--runtime-env", "jobs/runtime-env.yaml"),
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
        environment={**environment, "RAY_API_SERVER_ADDRESS": head["dashboard"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert folder.results() == undisturbed.results()


def test_a_driver_joins_a_cluster_by_its_address(head, undisturbed, folder):
    assert folder.finish("--address", head["cluster"]) == undisturbed.results()


@pytest.mark.parametrize("token", ["0" * 64, None])
def test_a_cluster_that_refuses_the_token_is_an_error_with_its_cure(head, folder, token):
    folder.environment = {name: value for name, value in folder.environment.items() if not name.startswith("RAY_")}
    if token:
        folder.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    start = time.monotonic()
    done = folder.run("--address", head["cluster"])
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


def _wait_until_it_takes_jobs(dashboard, environment, process, log):
    """In its first seconds a cluster answers 'No available agent to submit job'."""
    for _ in range(30):
        assert process.poll() is None, log.read_text()
        if _submit("--address", dashboard, "--", "true", cwd=ROOT, environment=environment).returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(f"the cluster takes no jobs: {log.read_text()}")


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports
