"""Several nodes of a cluster on this machine, of which one can be killed whole: `ray.cluster_utils.Cluster`.

The cluster is held by a process of its own, which this file is when it is run: Ray reads its environment once, when it
is imported, and keeps where a cluster is in the process and in its temporary folder.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
_RAY = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",  # a node that is gone is missed after 5 s, not 20
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
}


class Nodes:
    """A running cluster; node 0 is its head."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        told = self._answer()
        self.address: str = told["address"]
        self.dashboard: str = told["dashboard"]

    def kill(self, node: int) -> None:
        """End a node with all that runs on it, as a power cut does."""
        self._ask("kill", node)

    def mend(self) -> None:
        """Put a new node where one was killed."""
        self._ask("mend")

    def actors(self, kind: str) -> Counter[int]:
        """Living actors of the classes whose name begins so, counted by node."""
        return Counter(self._ask("actors", kind))

    def busiest(self, *kinds: str) -> int | None:
        """The node, other than the head, with most actors of these classes; None where there are none."""
        found = sum((self.actors(kind) for kind in kinds), Counter[int]())
        del found[0]
        return max(found, key=found.__getitem__, default=None)

    def objects(self) -> Counter[int]:
        """Bytes of objects in shared memory that are there first, not as copies, by node."""
        return Counter(dict(enumerate(self._ask("objects"))))

    def _ask(self, *request: Any) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the cluster has ended: {self._log.read_text()}"
        return json.loads(line)


@contextmanager
def running_nodes(environment: Mapping[str, str], cpus: Sequence[int]) -> Iterator[Nodes]:
    """Run a head and further nodes, each with so many CPUs, until the block ends."""
    # The folder holds sockets, whose paths may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        log, python_path = Path(folder) / "nodes.log", os.pathsep.join((str(ROOT), str(ROOT / "platform")))
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, __file__, *map(str, cpus)],
                cwd=ROOT,
                env={**environment, **_RAY, "RAY_TMPDIR": folder, "PYTHONPATH": python_path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            yield Nodes(process, log)
        finally:
            _kill([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])
            process.wait()


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        if process.is_running():
            process.kill()


class _Cluster:
    """What the process holds."""

    def __init__(self, cpus: Sequence[int]) -> None:
        from ray.cluster_utils import Cluster

        from tests.ray_head import free_ports

        self._cpus, self._cluster = cpus, Cluster()
        (port,) = free_ports(1)
        self._nodes = [self._cluster.add_node(num_cpus=cpus[0], include_dashboard=True, dashboard_port=port)]
        self._nodes += [self._cluster.add_node(num_cpus=count) for count in cpus[1:]]
        self.told = {"address": self._cluster.address, "dashboard": f"http://127.0.0.1:{port}"}

    def kill(self, number: int) -> None:
        node = self._nodes[number]
        (raylet,) = node.all_processes["raylet"]
        workers = psutil.Process(raylet.process.pid).children(recursive=True)
        self._cluster.remove_node(node, allow_graceful=False)
        _kill(workers)

    def mend(self) -> None:
        living = self._cluster.list_all_nodes()
        for number, node in enumerate(self._nodes):
            if node not in living:
                self._nodes[number] = self._cluster.add_node(num_cpus=self._cpus[number])

    def actors(self, kind: str) -> list[int]:
        numbers = {node.node_id: number for number, node in enumerate(self._nodes)}
        table = self._cluster.global_state.actor_table(None, None, "ALIVE").values()
        found = [row["Address"]["NodeID"] for row in table if row["ActorClassName"].startswith(kind)]
        return [numbers[node] for node in found if node in numbers]

    def objects(self) -> list[int]:
        from ray._private.internal_api import node_stats

        places = {row["NodeID"]: row for row in self._cluster.global_state.node_table() if row["Alive"]}
        rows = [places[node.node_id] for node in self._nodes if node.node_id in places]
        stats = [node_stats(row["NodeManagerAddress"], row["NodeManagerPort"], False) for row in rows]
        return [one.store_stats.object_store_bytes_primary_copy for one in stats]


def _main() -> None:
    """Hold a cluster and do what the lines on stdin ask for."""
    cluster = _Cluster(list(map(int, sys.argv[1:])))
    print(json.dumps(cluster.told), flush=True)
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        print(json.dumps(getattr(cluster, what)(*arguments)), flush=True)


if __name__ == "__main__":
    _main()
