"""The skin of Ray over the algorithms: pools of actors and the bank store.

Every worker imports this package, so `stream_job`, which loads all that draws a report, is not in it.
"""

from eagleray.distributed.bank_store import BankStore
from eagleray.distributed.cluster import cluster
from eagleray.distributed.memory import peak_rss_mb
from eagleray.distributed.ray_pool import PoolConfig, RayPool, bank_store

__all__ = [
    "BankStore",
    "PoolConfig",
    "RayPool",
    "bank_store",
    "cluster",
    "peak_rss_mb",
]
