"""Joining or starting a Ray cluster."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from eagleray.errors import ClusterError


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Be connected to Ray: to `address`, to the cluster that submitted this job, or to a local one started here.

    Raises:
        ClusterError: nothing answers at the address, or it refuses our token.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    # Worker processes must find eagleray as this one does, installed or not.
    try:
        ray.init(
            wanted,
            include_dashboard=False if wanted == "local" else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        cure = "start a cluster (ray start --head), export RAY_AUTH_MODE=token if it asks for one, or drop --address"
        raise ClusterError(wanted, f"{reason}; {cure}") from error
    try:
        yield
    finally:
        ray.shutdown()
