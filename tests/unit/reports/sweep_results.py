"""Made-up results of a sweep: small, consistent with themselves, no model behind them."""

import numpy as np

from eagleray.reports import sweep_points

NAMES = ("bottle", "grid", "screw", "carpet")
FIELD = {"experts": "mecad.num_experts", "threshold": "mecad.similarity_threshold", "budget": "mecad.rows_per_expert"}
VALUES = {"experts": (1, 2, 4), "threshold": (0.5, 0.8, 0.9), "budget": (300, 600, 1200)}
ROWS = 100


def build_sweep(
    kind="experts", *, values=None, names=NAMES, num_orders=2, seeds=(0, 1), noise=0.005, stopped=(), **more
):
    """A sweep in which more is better, with less to gain at every point; `noise` is the spread of a class.

    Args:
        kind: of the sweep.
        values: of its setting, one a point; of kind space the number of points.
        names: the classes.
        num_orders: orders of the classes.
        seeds: of the trials.
        noise: standard deviation of a class's image AUROC.
        stopped: trials, as (point, order, seed), that ASHA stopped after the second step.
        more: keys of the results to replace.
    """
    values = VALUES.get(kind, 5) if values is None else values
    points = points_of(kind, values)
    orders = [list(np.roll(names, shift)) for shift in range(num_orders)]
    trials = [
        build_trial(
            kind, number, changes, order, orders[order], seed, noise, (number, order, seed) in stopped, len(points)
        )
        for number, changes in enumerate(points)
        for order in range(num_orders)
        for seed in seeds
    ]
    results = {
        "schema": "eagleray.results/1",
        "job": "sweep",
        "preset": "best",
        "config": {"mecad": {"num_experts": 8, "rows_per_class": ROWS, "rows_per_expert": 600}},
        "seed": 0,
        "git_commit": "05a3390",
        "versions": {"eagleray": "0.1.0", "python": "3.11.7"},
        "machine": {"cpus": 2, "memory_gb": 23.5, "processor": "made-up", "gpu": None, "platform": "Linux x86_64"},
        "data": {"source": "demo", "generated": True},
        "sweep": {"kind": kind, "fields": list(points[0]), "points": points, "orders": orders, "seeds": list(seeds)},
        "trials": trials,
        "points": sweep_points(points, trials),
        "chosen": None,
        "warnings": [],
        "seconds": {"embed": 12.5, "trials": 100.0, "total": 115.0},
        "processes": {"driver": 412.0, "trial": 800.0, "embed_worker": 700.0},
        "peak_rss_mb": 800.0,
    }
    if kind == "space":
        merits = [point["merit"]["mean"] for point in results["points"]]
        results["chosen"] = int(np.argmax([-1.0 if merit is None else merit for merit in merits]))
    return results | more


def points_of(kind, values):
    if kind != "space":
        return [{FIELD[kind]: value} for value in values]
    rng = np.random.default_rng(0)
    return [
        {
            "mecad.similarity_threshold": round(float(rng.uniform(0.5, 0.95)), 3),
            "mecad.num_experts": int(rng.integers(1, 9)),
        }
        for _ in range(values)
    ]


def build_trial(kind, number, changes, order, names, seed, noise, stopped, num_points):
    rng = np.random.default_rng([number, order, seed])
    num_experts = changes.get("mecad.num_experts", 2)
    steps = min(2, len(names)) if stopped else len(names)
    gain = 0.2 * (1 - 0.4**number) if kind != "space" else 0.2 * number / num_points
    names = [str(name) for name in names[:steps]]
    expert_of = {name: place % num_experts for place, name in enumerate(names)}
    lost = {name: float(np.clip(gain - 0.2 + rng.normal(0, noise), -1, 1)) for name in names}
    classes = {
        name: {
            "expert": expert_of[name],
            "image_auroc": round(float(np.clip(0.72 + gain + rng.normal(0, noise) + 0.03 * len(name) / 20, 0, 1)), 4),
            "forgetting": round(lost[name], 4) if name != names[-1] else None,
        }
        for name in names
    }
    experts = {
        str(expert): {
            "classes": (held := [name for name in names if expert_of[name] == expert]),
            "image_auroc": mean([classes[name]["image_auroc"] for name in held]),
            "rows": ROWS * len(held),
            "forgetting": [
                None if s == 0 else round(mean([lost[n] for n in held]) * s / steps, 4) for s in range(steps)
            ],
        }
        for expert in sorted(set(expert_of.values()))
    }
    auroc = mean([c["image_auroc"] for c in classes.values()])
    field, value = next(iter(changes.items()))
    start = f"point{number}" if kind == "space" else f"{field.rpartition('.')[2]}={value}"
    return {
        "name": f"{start}-order{order}-seed{seed}",
        "point": number,
        "changes": changes,
        "order": order,
        "seed": seed,
        "ended": "asha" if stopped else "complete",
        "steps": steps,
        "image_auroc": auroc,
        "step_average": min(1.0, auroc + 0.02),
        "forgetting": mean([c["forgetting"] for c in classes.values()]),
        "routing_accuracy": round(0.8 + gain / 2, 4),
        "rows": ROWS * len(names),
        "merit": round(auroc - 0.05 + float(rng.normal(0, 0.01)), 4) if kind == "space" else None,
        "classes": classes,
        "experts": experts,
        "seconds": 3.5,
    }


def without_figures(results):
    """The same sweep on classes that have only good pictures: no detection figure can exist."""
    for trial in results["trials"]:
        trial |= dict.fromkeys(("image_auroc", "step_average", "forgetting", "routing_accuracy", "merit"))
        for figures in trial["classes"].values():
            figures |= {"image_auroc": None, "forgetting": None}
        for figures in trial["experts"].values():
            figures |= {"image_auroc": None, "forgetting": [None] * trial["steps"]}
    results["points"] = sweep_points(results["sweep"]["points"], results["trials"])
    results["chosen"] = None
    return results


def mean(values):
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 6) if known else None
