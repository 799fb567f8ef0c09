"""Joining or starting a Ray cluster."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import ray

from eagleray.errors import ClusterError

_ANSWER_S = 5.0
"""Seconds in which whoever listens at an address has to answer."""


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Be connected to Ray: to `address`, to the cluster that submitted this job, or to a local one started here.

    Raises:
        ClusterError: nothing answers at the address, or it refuses our token.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_answers(wanted)
    for name, seconds in (_LOCAL if wanted == "local" else _JOINED).items():
        os.environ.setdefault(name, seconds)
    try:
        ray.init(
            wanted,
            include_dashboard=False if wanted == "local" else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        cure = _CURE if isinstance(error, ValueError) else _TOKEN_CURE
        raise ClusterError(wanted, f"{reason}; {cure}") from error
    try:
        yield
    finally:
        ray.shutdown()


_LOCAL = {"RAY_gcs_rpc_server_reconnect_timeout_s": "10"}
"""A local Ray has no second head to wait for: once it is killed, its driver and workers end after 10 s, not 60."""
_JOINED = {"RAY_gcs_server_port_wait_time_s": "1"}
"""Ray asks twenty times whether it may come in, and a wrong token does not become right."""
_CURE = "start a cluster there (ray start --head), or drop --address and have one started on this machine"
_TOKEN_CURE = f"export RAY_AUTH_MODE=token and have the cluster's token in ~/.ray/auth_token, {_CURE}"


def _check_answers(address: str) -> None:
    """Raise unless somebody listens at host:port or ray://host:port: Ray itself would keep trying for minutes."""
    if address.startswith(("http://", "https://")):
        cure = "give its host:port (ray start prints it), or run `ray job submit` against this address"
        raise ClusterError(address, f"this is the address of a dashboard, not of a cluster; {cure}")
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        if not parts.hostname or not parts.port:
            return
        socket.create_connection((parts.hostname, parts.port), timeout=_ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise ClusterError(address, f"nothing answers there ({error}); {_CURE}") from error
