"""The service on a Ray of its own in this process, on any port: for tests and measurements."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import ray
from ray import serve
from ray.serve.config import HTTPOptions

from serve.app import build


@contextmanager
def running(values: dict[str, Any], *, num_cpus: int | None = None) -> Iterator[str]:
    """Serve with some settings until the block ends; gives the service's address.

    Raises:
        UsersMistake: a wrong setting, or no model at its place.
    """
    application = build(values)  # before Ray starts: it says how Ray's processes are to run
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")
    ray.init("local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        port = _free_port()
        serve.start(http_options=HTTPOptions(port=port), logging_config={"log_level": "WARNING"})
        serve.run(application)
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def replicas() -> dict[str, psutil.Process]:
    """A living replica's process of each deployment that `running` runs here, by the deployment's name."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            title = process.cmdline()[0] if process.status() != psutil.STATUS_ZOMBIE else ""
        except (psutil.Error, IndexError):  # it has just ended
            continue
        if title.startswith("ray::ServeReplica:"):
            deployment = title.removeprefix("ray::ServeReplica:").split(":")[1]
            found[deployment.split(".")[0]] = process
    return found


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
