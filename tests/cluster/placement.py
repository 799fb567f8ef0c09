"""A driver that learns a little on a cluster and tells where; test_nodes_scheduling.py runs it.

It stays until its stdin ends, so that its actors can be looked at.
"""

import json
import sys
from pathlib import Path

import ray

from eagleray.banks import BankConfig
from eagleray.continual import ExpertUpdate, MecadConfig, PatchSet
from eagleray.distributed import PoolConfig, RayPool, cluster
from eagleray.experts import ScoringConfig
from eagleray.features import FeaturesConfig, build_extractor
from eagleray.storage import ModelStore


def _node(*_):
    return ray.get_runtime_context().get_node_id()


def _main(address: str, data: str, out: str) -> None:
    extractor, store = build_extractor(FeaturesConfig(image_size=64)), ModelStore.create(Path(out))
    paths = [str(path) for path in sorted(Path(data).glob("*/train/good/*"))][:48]
    with cluster(address), RayPool(extractor, store, PoolConfig()) as pool:
        places: list[str] = []
        while len(set(places)) < 3:  # until all embed workers are there
            patches = pool.embed(paths)
            located = ray.experimental.get_object_locations(list(patches.shards))
            places = [located[shard]["node_ids"][0] for shard in patches.shards]
        shards = [PatchSet((info,), (shard,)) for info, shard in zip(patches.infos, patches.shards, strict=True)]
        work = [pool.map_patches(_node, [(None, shard)])[0] for shard in shards]
        for expert in range(3):
            update = ExpertUpdate(
                class_name=f"class-{expert}",
                num_classes=1,
                seed=0,
                mecad=MecadConfig(rows_per_class=50),
                bank=BankConfig(),
                scoring=ScoringConfig(),
                provenance={},
            )
            pool.update_expert(expert, update, (), shards[0], shards[1])
        told = {"patches": places, "work_on_patches": work, "other_work": pool.map(_node, range(12))}
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _main(*sys.argv[1:])
