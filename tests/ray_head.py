"""A cluster's head of our own, with its own ports, folder and token, as a process that is stopped by its handle."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
_PORTS = ("--port", "--dashboard-port", "--ray-client-server-port", "--dashboard-agent-listen-port")


@dataclass(frozen=True)
class Head:
    """Addresses of a running head."""

    cluster: str
    dashboard: str
    environment: Mapping[str, str]

    def run(self, *command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run a command line in the head's environment."""
        options = {"capture_output": True, "text": True, "timeout": 500, "check": False}
        return subprocess.run(command, cwd=cwd, env=dict(self.environment), **options)


def own_environment(token: Path) -> dict[str, str]:
    """Of processes that talk to a cluster of ours: our token, nobody else's cluster, our commands first.

    Of this process it stays as it is: Ray reads it once, when it is imported.
    """
    token.write_text(os.urandom(32).hex())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PATH": path}


@contextmanager
def ray_head(environment: Mapping[str, str]) -> Iterator[Head]:
    """Start a head on two CPUs and wait until it takes jobs."""
    # The folder holds sockets, whose paths may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        options = [text for port in ports.items() for text in map(str, port)]
        command = ["ray", "start", "--head", "--block", "--temp-dir", folder, "--num-cpus", "2", *options]
        log = Path(folder) / "start.log"
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        head = Head(f"127.0.0.1:{ports['--port']}", f"http://127.0.0.1:{ports['--dashboard-port']}", environment)
        try:
            _wait_until_it_takes_jobs(head, process, log)
            yield head
        finally:
            for started in (*psutil.Process(process.pid).children(recursive=True), process):
                started.kill()  # terminate() would take half a minute
            process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


def _wait_until_it_takes_jobs(head: Head, process: subprocess.Popen[bytes], log: Path) -> None:
    """In its first seconds a cluster answers 'No available agent to submit job'."""
    for _ in range(30):
        assert process.poll() is None, log.read_text()
        if head.run("ray", "job", "submit", "--address", head.dashboard, "--", "true").returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(f"the cluster takes no jobs: {log.read_text()}")
