"""From what contestants wrote to results.json."""

import json
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeAlias

import numpy as np

from benchmarks.peers import judging
from benchmarks.peers.contestants.contest import SCORES
from benchmarks.peers.options import Bench
from benchmarks.peers.pictures import Product
from benchmarks.peers.tracks import accuracy_tracks, limits_of, speed_tracks, stream_tracks
from benchmarks.peers.turns import ACCURACY, SPEED, Turn
from eagleray.banks import BankConfig
from eagleray.config import to_json
from eagleray.provenance import git_commit, machine, versions

Found: TypeAlias = Mapping[Turn, Mapping[str, Any]]
"""What each turn's contestant wrote."""
Accuracies: TypeAlias = dict[str, dict[str, dict[str, float | None]]]
"""Figures by contestant and product."""

_PEER_PACKAGES = ("anomalib", "pyclad", "pyod", "torch", "timm", "numpy")


def results_of(bench: Bench, found: Found, products: Mapping[str, Product], work: Path) -> dict[str, Any]:
    """All figures of a run, and where they come from."""
    speed = {who: [f for turn, f in found.items() if (turn.track, turn.contestant) == ("speed", who)] for who in SPEED}
    (speed_product,) = {turn.product for turn in found if turn.track == "speed"}
    limits = limits_of(speed["limits"], bench.rows, BankConfig().projection_dim)
    accuracy = _accuracy(found, products, work)
    stream = _stream(found, products, bench.stream_tests)
    tracks = {**speed_tracks(speed, limits), **accuracy_tracks(_means(accuracy)), **stream_tracks(stream)}
    loads = [figures["load_before"] for figures in found.values()]
    options = to_json(replace(bench, data=None, out=Path(), peers=Path()))
    return {
        "command": shlex.join(["python", "-m", "benchmarks.peers.bench", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "git_commit": git_commit(),
        "options": {name: value for name, value in options.items() if name not in ("data", "out", "peers")},
        "machine": machine(),
        "versions": versions(),
        "peer_versions": _peer_versions(bench.peers),
        "conditions": {
            "generated": bench.data is None,
            "speed_product": speed_product,
            "num_train": speed["eagleray_patchcore"][0]["num_train"],
            "num_test": speed["eagleray_patchcore"][0]["num_test"],
            "products": list(products),
            "loaded_mb": {who: max(f["loaded_mb"] for f in speed[who]) for who in ACCURACY},
            "patches_differ": _patches_differ(speed_product, work),
            "load_median": median(loads),
            "load_max": max(loads),
            "kept": sum(figures["kept"] for figures in found.values()),
        },
        "tracks": {name: track.as_json() for name, track in tracks.items()},
        "limits": limits,
        "accuracy": accuracy,
        "stream": stream,
        "measurements": {turn.name: figures for turn, figures in found.items() if turn.track != "stream"},
    }


def _accuracy(found: Found, products: Mapping[str, Product], work: Path) -> Accuracies:
    """Means over the seeds."""
    judged: dict[tuple[str, str], list[dict[str, float | None]]] = defaultdict(list)
    for turn in found:
        if turn.track == "accuracy":
            file = work / "turns" / turn.name / SCORES
            judged[turn.contestant, turn.product].append(asdict(judging.judged(file, products[turn.product])))
    return {who: {name: _mean_of_each(judged[who, name]) for name in products} for who in ACCURACY}


def _means(accuracy: Accuracies) -> dict[str, dict[str, float | None]]:
    """Means over the products that have a figure."""
    return {who: _mean_of_each(list(by_product.values())) for who, by_product in accuracy.items()}


def _mean_of_each(figures: list[dict[str, float | None]]) -> dict[str, float | None]:
    return {name: _mean(one[name] for one in figures) for name in figures[0]}


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there else None


def _stream(found: Found, products: Mapping[str, Product], most_tests: int) -> list[dict[str, Any]]:
    """Ours and each strategy, means over the seeds; matrices of the first."""
    labels = {name: [p.labels[i] for i in p.test_subset(most_tests)] for name, p in products.items()}
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for turn, figures in sorted(found.items(), key=lambda pair: pair[0].contestant):  # ours comes first
        for one in figures["runs"] if turn.track == "stream" else ():
            judged = judging.judged_stream(one["steps"], labels)
            runs[one["name"]].append({**judged, "seconds": one["seconds"]})
    shown = ("final_average", "forgetting", "seconds")
    return [
        {"name": name, **{key: _mean(one[key] for one in ones) for key in shown}, "matrix": ones[0]["matrix"]}
        for name, ones in runs.items()
    ]


def _patches_differ(product: str, work: Path) -> float:
    turns = [Turn("speed", contestant, product, 0) for contestant in ("same_patches", "anomalib_patchcore")]
    ours, theirs = (np.load(work / "turns" / turn.name / SCORES)["patches"] for turn in turns)
    return judging.disagreement(ours, theirs)


def _peer_versions(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    done = subprocess.run([python, "-c", code, *_PEER_PACKAGES], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
