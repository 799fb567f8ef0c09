"""Made-up results of adnas_search: consistent with themselves, no model behind them, shaped like the paper's tables."""

import copy

import numpy as np

NO_DEFECTS = "no defective test images"
KEYS = ("image_auroc", "pixel_auroc", "aupro")
CATEGORIES = {
    "bagel": 0.99,
    "cable_gland": 0.98,
    "carrot": 0.96,
    "cookie": 0.95,
    "dowel": 0.95,
    "foam": 0.93,
    "peach": 0.89,
    "potato": 0.86,
    "rope": 0.99,
    "tire": 0.85,
}
"""Category -> its image AUROC, about."""
METHODS = {
    # image AUROC above that of its category, frames per second, weights and peak memory in MB
    "darts": (0.0, 26.0, 262.0, 590.0),
    "random": (-0.012, 24.0, 270.0, 640.0),
    "evolution": (-0.006, 25.5, 266.0, 604.0),
    "early": (-0.095, 31.0, 241.0, 510.0),
    "middle": (-0.03, 29.0, 247.0, 538.0),
    "late": (-0.28, 33.0, 238.0, 495.0),
    "early+middle": (-0.02, 27.0, 255.0, 571.0),
    "early+late": (-0.23, 30.0, 246.0, 532.0),
    "middle+late": (-0.05, 28.5, 251.0, 550.0),
    "color": (-0.03, 48.0, 128.0, 301.0),
    "depth": (-0.16, 48.5, 127.0, 300.0),
    "scratch": (-0.001, 26.0, 262.0, 590.0),
}
POOL = {
    "early": [f"{kind}.early.{number}" for kind in ("color", "depth") for number in (0, 1)],
    "middle": [f"{kind}.middle.{number}" for kind in ("color", "depth") for number in (0, 1)] + ["cell.early"],
    "late": [f"{kind}.late.{number}" for kind in ("color", "depth") for number in (0, 1)]
    + ["cell.early", "cell.middle"],
}
OPERATIONS = ("add", "concat", "glu", "attention")


def build_search(*, seed=0, num_seeds=3, num_epochs=24, categories=CATEGORIES, without_defects=(), **overrides):
    """Results over `categories`; those in `without_defects` have no detection figure, with the reason."""
    rng = np.random.default_rng(seed)

    def figures(category, shift):
        if category in without_defects:
            return dict.fromkeys(KEYS)
        level = categories[category] + shift + rng.normal(0, 0.006)
        values = (level, 0.97 + 0.3 * shift + rng.normal(0, 0.004), 0.92 + 0.5 * shift + rng.normal(0, 0.006))
        return {key: round(float(np.clip(value, 0, 1)), 4) for key, value in zip(KEYS, values, strict=True)}

    searches = []
    for method, (shift, frames_per_s, weights_mb, peak_mb) in METHODS.items():
        for number in range(num_seeds):
            each = {name: figures(name, shift + rng.normal(0, 0.002)) for name in categories}
            best = method == "darts" and number == num_seeds - 1
            found = (
                FOUND if best or method == "scratch" else None if method in ("color", "depth") else build_genotype(rng)
            )
            searches.append(
                {
                    "name": f"{method}-{number}",
                    "method": method,
                    "seed": number,
                    **{key: mean([values[key] for values in each.values()]) for key in KEYS},
                    "categories": each,
                    "merit": 0.9621 if best else round(0.94 + 0.4 * shift + float(rng.normal(0, 0.004)), 4),
                    "validation_auroc": 0.8132
                    if best
                    else None
                    if method == "scratch"
                    else round(0.79 + 0.4 * shift + float(rng.normal(0, 0.004)), 4),
                    "step": num_epochs if method == "darts" else 1,
                    "finalists": [],
                    "frames_per_s": round(frames_per_s + float(rng.normal(0, 0.5)), 2),
                    "weights_mb": weights_mb,
                    "peak_mb": round(peak_mb + float(rng.normal(0, 5)), 1),
                    "search_s": round(float(rng.uniform(600, 900)), 1),
                    "budget_gflop": 184000.0,
                    "stopped": "settled" if method == "darts" and number else None,
                    "genotype": found,
                    "history": build_history(num_epochs, rng, found) if method == "darts" else [],
                }
            )
    best = next(search for search in searches if search["name"] == f"darts-{num_seeds - 1}")
    if num_seeds > 1:
        searches.append(build_stopped(searches[0], num_seeds))
    results = {
        "schema": "eagleray.results/1",
        "job": "adnas_search",
        "preset": "best",
        "config": {"search": {"epochs": num_epochs, "budget_gflop": 184000.0}, "anomalies": {"share": 0.5}},
        "seed": seed,
        "git_commit": "05a3390",
        "versions": {"eagleray": "0.1.0", "python": "3.11.7", "ray": "2.60.0"},
        "machine": {"cpus": 2, "memory_gb": 23.5, "processor": "made-up", "gpu": None, "platform": "Linux x86_64"},
        "data": {"source": "demo", "generated": True},
        "model_version": 1,
        "order": list(categories),
        "stream": [],
        "classes": {
            name: build_category(best["categories"][name], name in without_defects, rng) for name in categories
        },
        "mean": {
            **{key: best[key] for key in KEYS},
            "forgetting": None,
            "reasons": {"forgetting": "everything is learned at once"},
        },
        "step_average": None,
        "matrix": [],
        "routing_accuracy": None,
        "controls": {},
        "examples": [],
        "seconds": {"features": 90.0, "searches": 9230.5, "training": 1830.0, "total": 11361.5},
        "peak_rss_mb": 3912.5,
        "processes": {"driver": 812.0, "trial": 3912.5},
        "warnings": [],
        "command": "python jobs/adnas_search.py --data demo",
        "genotype": best["genotype"],
        "kept": best["name"],
        "candidates": POOL,
        "searches": searches,
        "modalities": [
            {"modalities": modalities, "seed": number, "category": name, **figures(name, shift)}
            for modalities, shift in (("color+depth", 0.0), ("color", -0.03), ("depth", -0.16))
            for number in range(num_seeds)
            for name in categories
        ],
        "shots": [
            {"shots": shots, "seed": number, "category": name, **figures(name, shift)}
            for shots, shift in ((5, -0.125), (10, -0.1), (50, -0.06))
            for number in range(num_seeds)
            for name in categories
        ],
    }
    return copy.deepcopy(results) | overrides  # no list is shared with another result


def build_stopped(search, seed):
    """The same search from another seed, stopped before a network was trained."""
    nothing = dict.fromkeys((*KEYS, "frames_per_s", "weights_mb", "peak_mb"))
    spent = {"merit": 0.8112, "validation_auroc": None, "search_s": 205.0, "budget_gflop": 61000.0, "stopped": "asha"}
    return {**search, **nothing, **spent, "name": f"darts-{seed}", "seed": seed, "categories": {}}


def build_category(figures, without_defects, rng):
    return {
        "expert": None,
        **figures,
        "forgetting": None,
        "rows": 0,
        "routing_accuracy": None,
        "threshold": round(float(rng.uniform(0.3, 0.6)), 4),
        "attained_false_alarm_rate": 0.02,
        "num_train": 220,
        "num_calibration": 24,
        "num_test_good": 24,
        "num_test_defective": 0 if without_defects else 86,
        "false_alarms": 1,
        "missed": 0 if without_defects else 9,
        "reasons": dict.fromkeys(KEYS, NO_DEFECTS) if without_defects else {},
    }


def build_genotype(rng):
    """A fusion by chance, of three cells with two nodes each."""

    def cell(pool):
        nodes = [{"op": str(rng.choice(OPERATIONS)), "inputs": inputs} for inputs in ([0, 1], [1, 2])]
        return {"features": [str(name) for name in rng.choice(pool, 2, replace=False)], "nodes": nodes}

    return genotype(**{name: cell(pool) for name, pool in POOL.items()})


def genotype(early=None, middle=None, late=None):
    return {"schema": "eagleray.genotype/1", "cells": {"early": early, "middle": middle, "late": late}}


def cell(features, *nodes):
    """A cell from its features and, for each node, (operation, first input, second input)."""
    return {"features": list(features), "nodes": [{"op": op, "inputs": list(inputs)} for op, *inputs in nodes]}


FOUND = genotype(
    early=cell(("color.early.0", "depth.early.1"), ("add", 0, 1), ("glu", 1, 2)),
    middle=cell(("cell.early", "color.middle.1"), ("attention", 0, 1), ("concat", 0, 2)),
    late=cell(("cell.middle", "depth.late.0"), ("glu", 0, 1), ("attention", 1, 2)),
)


def build_history(num_epochs, rng, found):
    """Alphas that begin near equal and part, each row towards its choice in `found`."""
    chosen = {}
    for name, pool in POOL.items():
        wanted = found["cells"][name]
        chosen[f"{name}.features"] = [(pool.index(feature), len(pool)) for feature in wanted["features"]]
        chosen[f"{name}.nodes"] = [(at, 2 + k) for k, node in enumerate(wanted["nodes"]) for at in node["inputs"]]
        chosen[f"{name}.ops"] = [(OPERATIONS.index(node["op"]), len(OPERATIONS)) for node in wanted["nodes"]]
    logits = {group: [rng.normal(0, 0.1, width) for _, width in rows] for group, rows in chosen.items()}
    history = []
    for epoch in range(num_epochs):
        for group, rows in logits.items():
            for row, (at, _) in zip(rows, chosen[group], strict=True):
                row += rng.normal(0, 0.06, len(row))
                row[at] += 0.09
        history.append(
            {
                "epoch": epoch,
                "merit": round(0.95 - 0.25 * float(np.exp(-epoch / 5)) + float(rng.normal(0, 0.006)), 4),
                "genotype_changed": 0 < epoch < num_epochs // 2 and bool(rng.random() < 0.5),
                "alphas": {group: [softmax(row) for row in rows] for group, rows in logits.items()},
            }
        )
    return history


def softmax(row):
    weights = np.exp(row - row.max())
    return (weights / weights.sum()).tolist()


def mean(values):
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None
