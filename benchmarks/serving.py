"""What HTTP, Ray and updates cost a service: throughput, latency, publishes and killed replicas under load.

python -m benchmarks.serving                            about nine minutes; learns a small model of its own first

Throughput over HTTP is held against the same pipeline in this process, without HTTP and Ray: batch after batch, as a
program that uses the library would, with the router's batch size and threads; and against as many loops at once as
there are threads, which is all that the cores can do. All are measured in turn, several times, so that all meet the
same machine. Writes bench-serve.json.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.in_process import all_cores_rate, batch_rate
from benchmarks.load import Load, load_for
from benchmarks.synthetic_store import learn_products, write_synthetic_store
from eagleray.config import check_at_least, to_json
from eagleray.console import parse_flags, run_main
from eagleray.provenance import git_commit, machine, versions
from eagleray.service_client import ServiceClient
from eagleray.storage import ModelStore
from serve.local import replicas, running
from serve.settings import Settings

_DEPLOYMENTS = 4
_MANY = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is measured."""

    out: Path = Path("runs/bench-serve.json")
    """File for the figures."""
    seconds: float = 6.0
    """Of each throughput measurement."""
    rounds: int = 5
    """Measurements of each kind, in turn; their medians count."""
    clients: int = 16
    """Requests under way at once."""
    publishes: int = 20
    """Publishes and rollbacks under load."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("--seconds", self.seconds, 0.1)
        check_at_least("--rounds", self.rounds, 1)
        check_at_least("--clients", self.clients, 1)
        check_at_least("--publishes", self.publishes, 2)


def measure_throughput(store: ModelStore, bodies: Sequence[bytes], address: str, options: Options) -> dict[str, Any]:
    """HTTP, batch after batch in this process, and all that the cores can do, in turn."""
    settings = Settings(model=store.uri)
    load_for(address, bodies, options.seconds, clients=options.clients)  # warm
    served, batches, all_cores = [], [], []
    for _ in range(options.rounds):
        served.append(load_for(address, bodies, options.seconds, clients=options.clients))
        batches.append(batch_rate(settings, bodies, options.seconds))
        all_cores.append(all_cores_rate(settings, bodies, options.seconds))
    rates = [load.rate(options.seconds) for load in served]
    return {
        "http_images_per_s": median(rates),
        "in_process_images_per_s": median(batches),
        "all_cores_images_per_s": median(all_cores),
        "throughput_ratio": median(rates) / median(batches),
        "throughput_ratio_to_all_cores": median(rates) / median(all_cores),
        "rounds": {"http": rates, "in_process": batches, "all_cores": all_cores},
        "p50_ms": median(load.percentile_ms(50) for load in served),
        "p99_ms": median(load.percentile_ms(99) for load in served),
        "requests": sum(len(load.answers) for load in served),
        "failed": sum(len(load.failed()) for load in served),
    }


def measure_publishing(store: ModelStore, bodies: Sequence[bytes], address: str, options: Options) -> dict[str, Any]:
    """Publish newer and older versions in turn under load, and wait for each to answer."""
    last = store.versions()[-1]
    seconds = []
    with ServiceClient(address) as client, Load(address, bodies, options.clients).running() as load:
        for _, version in zip(range(options.publishes), itertools.cycle((last - 1, last)), strict=False):
            began = time.monotonic()
            store.publish(version)
            client.wait_for_version(version)
            seconds.append(time.monotonic() - began)
    answered = [answer.version for answer in sorted(load.answers, key=lambda answer: answer.began_s)]
    return {
        "publishes": options.publishes,
        "requests": len(load.answers),
        "failed": len(load.failed()),
        "versions_seen": sorted({version for version in answered if version}),
        "seconds_median": median(seconds),
        "seconds_max": max(seconds),
    }


def measure_kills(bodies: Sequence[bytes], address: str, options: Options) -> list[dict[str, Any]]:
    """SIGKILL each replica once under load, and let our own client score through each death."""
    names = sorted(replicas())
    return [_kill(name, bodies, address, options.clients) for name in names]


def _kill(name: str, bodies: Sequence[bytes], address: str, clients: int) -> dict[str, Any]:
    with (
        ServiceClient(address) as client,
        ThreadPoolExecutor(1) as threads,
        tempfile.TemporaryDirectory() as folder,
        Load(address, bodies, clients).running() as load,
    ):
        paths = [Path(folder) / f"{number}.png" for number in range(64)]
        for path, body in zip(paths, itertools.cycle(bodies), strict=False):
            path.write_bytes(body)
        time.sleep(2)
        replica = replicas()[name]
        killed = time.monotonic()
        replica.kill()
        scoring = threads.submit(lambda: list(client.score_files(paths, concurrency=2)))
        while name not in replicas():
            time.sleep(0.05)
        back = time.monotonic() - killed
        ours = scoring.result()
    in_flight = [a for a in load.answers if a.began_s < killed < a.began_s + a.took_s]
    failed = load.failed()
    return {
        "replica": name,
        "requests": len(load.answers),
        "in_flight": len(in_flight),
        "failed": len(failed),
        "failed_began_after_kill": sum(answer.began_s > killed for answer in failed),
        "failed_otherwise_than_503_with_retry_after": sum(not (a.status == 503 and a.retry_after) for a in failed),
        "our_client_scored": sum(not isinstance(answer, Exception) for answer in ours),
        "our_client_asked": len(paths),
        "replaced_after_s": back,
    }


def measure_packing(folder: Path, options: Options) -> dict[str, Any]:
    """Few and many experts on the same number of deployments, banks of 2,400 rows, one request at a time."""
    p50_ms, publish_s = {}, 0.0
    for experts in (_DEPLOYMENTS, _MANY):
        store, bodies = write_synthetic_store(folder / f"experts-{experts}", experts, seed=options.seed)
        values = {"model": store.uri, "experts_per_deployment": experts // _DEPLOYMENTS, "expert_cache_mb": 2048}
        with running(values, num_cpus=2) as address:
            load_for(address, bodies, max(options.seconds, experts / 8), clients=4)  # every bank is loaded
            loads = [load_for(address, bodies, options.seconds, clients=1) for _ in range(options.rounds)]
            p50_ms[experts] = median(load.percentile_ms(50) for load in loads)
            with ServiceClient(address) as client:
                began = time.monotonic()
                store.publish(2)  # the first class has another bank there
                client.wait_for_version(2)
                client.score(bodies[0], name="first")
                publish_s = time.monotonic() - began
    few, many = p50_ms.values()
    return {"deployments": _DEPLOYMENTS, "p50_ms": p50_ms, "p50_ratio": many / few, "publish_2400_rows_s": publish_s}


def run(options: Options) -> dict[str, Any]:
    """Measure everything, and write it down."""
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as name:
        folder = Path(name)
        store, bodies = learn_products(folder, seed=options.seed)
        with running({"model": store.uri}, num_cpus=2) as address:
            found = measure_throughput(store, bodies, address, options)
            found["publishing"] = measure_publishing(store, bodies, address, options)
            found["kills"] = measure_kills(bodies, address, options)
        found["packing"] = measure_packing(folder, options)
    made = {"options": to_json(options) | {"out": None}, "git_commit": git_commit(), "machine": machine()}
    results = {**found, **made, "versions": versions()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def table(found: dict[str, Any]) -> Table:
    """What was found beside what must hold."""
    shown = Table("what", "measured", "bar")
    publishing, packing, kills = found["publishing"], found["packing"], found["kills"]
    shown.add_row("images/s in process, batch by batch", f"{found['in_process_images_per_s']:.1f}", "")
    shown.add_row("images/s that all cores can do", f"{found['all_cores_images_per_s']:.1f}", "")
    shown.add_row("images/s over HTTP", f"{found['http_images_per_s']:.1f}", "")
    shown.add_row("throughput ratio", f"{found['throughput_ratio']:.2f}", ">= 0.75")
    shown.add_row("ratio to all cores", f"{found['throughput_ratio_to_all_cores']:.2f}", "")
    shown.add_row("p50, p99 in ms", f"{found['p50_ms']:.0f}, {found['p99_ms']:.0f}", "p99 <= 5 x p50")
    shown.add_row("failed", f"{found['failed']} of {found['requests']}", "0")
    shown.add_row("failed while publishing", f"{publishing['failed']} of {publishing['requests']}", "0")
    shown.add_row("publish to first answer", f"{publishing['seconds_max']:.2f} s at most", "< 2 s")
    for kill in kills:
        failed = f"{kill['failed']} failed of {kill['in_flight']} in flight, {kill['failed_began_after_kill']} later"
        shown.add_row(f"{kill['replica']} killed", failed, "in flight only, 503")
    shown.add_row(f"p50, {_MANY} to {_DEPLOYMENTS} experts", f"{packing['p50_ratio']:.2f}", "<= 1.2")
    shown.add_row("publish, 2,400 rows", f"{packing['publish_2400_rows_s']:.2f} s", "< 2 s")
    return shown


def main() -> None:
    """Parse, run, print."""
    options = parse_flags({"": Options()}, sys.argv[1:], description=str(__doc__).splitlines()[0])
    found = run(options)
    Console(width=None if sys.stdout.isatty() else 110).print(table(found))
    print(f"figures in {options.out}")


if __name__ == "__main__":
    sys.exit(run_main(main))
