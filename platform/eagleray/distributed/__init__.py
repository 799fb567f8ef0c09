"""The skin of Ray over the algorithms: pools of actors and the bank store."""

from eagleray.distributed.bank_store import BankStore
from eagleray.distributed.cluster import cluster
from eagleray.distributed.memory import peak_rss_mb
from eagleray.distributed.ray_pool import PoolConfig, RayPool, bank_store
from eagleray.distributed.stream_job import PRESETS, StreamJob, run_stream_job

__all__ = [
    "PRESETS",
    "BankStore",
    "PoolConfig",
    "RayPool",
    "StreamJob",
    "bank_store",
    "cluster",
    "peak_rss_mb",
    "run_stream_job",
]
