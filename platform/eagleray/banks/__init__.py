"""What a memory bank is made of: a farthest-first coreset, its coverage, and exact nearest rows."""

from eagleray.banks.bank import BankConfig, ClassBank
from eagleray.banks.coreset import (
    Coreset,
    Selection,
    covering_radius,
    farthest_first,
    merge_candidates,
    project,
    random_projection,
    shard_candidates,
    sharded_farthest_first,
)
from eagleray.banks.knn import NearestRows
from eagleray.banks.whitening import Whitening, fit_whitening, pool_whitenings

__all__ = [
    "BankConfig",
    "ClassBank",
    "Coreset",
    "NearestRows",
    "Selection",
    "Whitening",
    "covering_radius",
    "farthest_first",
    "fit_whitening",
    "merge_candidates",
    "pool_whitenings",
    "project",
    "random_projection",
    "shard_candidates",
    "sharded_farthest_first",
]
