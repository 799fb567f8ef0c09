"""Where work runs that asks Ray for no CPU, since embed workers hold the CPUs also while they have nothing to do.

Ray would place such work on nodes whose CPUs nobody holds, which is the head where it has none.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Places:
    """The nodes that have CPUs, and how much work each was given."""

    def __init__(self) -> None:
        cpus = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}
        self._room = {node: count for node, count in cpus.items() if count} or dict.fromkeys(cpus, 1)
        self._load = Counter[str]()

    @property
    def full(self) -> bool:
        """Whether every node has a piece of work for each of its CPUs."""
        return all(self._load[node] >= room for node, room in self._room.items())

    def take(self, objects: Iterable[Any] = ()) -> str:
        """The node for a piece of work: of those that have room the one with most of its objects, or the least busy."""
        references = [one for one in objects if isinstance(one, ray.ObjectRef)]
        located = ray.experimental.get_object_locations(references) if references else {}
        held = Counter(node for place in located.values() for node in place["node_ids"])
        free = [node for node, room in self._room.items() if self._load[node] < room] or list(self._room)
        chosen: str = max(free, key=lambda node: (held[node], -self._load[node] / self._room[node]))
        self._load[chosen] += 1
        return chosen

    def leave(self, node: str) -> None:
        """A piece of work is done."""
        self._load[node] -= 1


def on(node: str) -> NodeAffinitySchedulingStrategy:
    """Run there, or elsewhere once that node is gone."""
    return NodeAffinitySchedulingStrategy(node, soft=True)
