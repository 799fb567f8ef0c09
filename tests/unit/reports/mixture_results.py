"""Made-up results of adapted_moe: consistent with themselves, no model behind them, shaped like the paper's tables."""

import numpy as np

NO_DEFECTS = "no defective test images"
TABLE_3 = (
    (False, False, False),
    (True, False, False),
    (False, True, False),
    (True, False, True),
    (False, True, True),
    (True, True, False),
    (True, True, True),
)
SUBCLASSES = {
    "cloth": (["twill_indigo", "twill_grey", "plain_white", "denim", "satin_red", "knit", "herringbone", "canvas"], 7),
    "wafer": (["die_small", "die_large", "ring", "notched"], 3),
    "metal": (["brushed", "rolled", "cast"], 2),
}
"""Category -> seen subclasses, and how many unseen ones it has besides."""


def build_mixture(*, seed=0, num_seeds=3, without_defects=("metal",), subclasses=SUBCLASSES, **overrides):
    """Results over `subclasses`; the categories in `without_defects` have no detection figure, with the reason."""
    rng = np.random.default_rng(seed)
    names = list(subclasses)
    unseen = {name: [f"{name}_new_{i}" for i in range(number)] for name, (_, number) in subclasses.items()}
    level = {name: float(rng.uniform(0.55, 0.7)) for name in names}

    def spread(category, shift=0.0):
        if category in without_defects:
            return {"mean": None, "std": None, "values": [None] * num_seeds, "reason": NO_DEFECTS}
        values = np.clip(level[category] + shift + rng.normal(0, 0.012, num_seeds), 0, 1).round(4)
        return {"mean": float(np.mean(values)), "std": float(np.std(values)), "values": values.tolist()}

    def both(category, shift=0.0):
        return {"image_auroc": spread(category, shift), "pixel_auroc": spread(category, shift + 0.06)}

    def tested(category, subclass, seen):
        none = category in without_defects
        keys = ("image_auroc", "pixel_auroc", "aupro")
        known = subclasses[category][0]
        shares = rng.dirichlet([0.4] * len(known))
        other = known[0] if subclass == known[-1] else known[-1]
        experts = {subclass: 0.9, other: 0.1} if seen else dict(zip(known, shares.round(3).tolist(), strict=True))
        figures = [None if none else round(float(level[category] + rng.normal(0, 0.04)), 4) for _ in keys]
        return {
            "category": category,
            "subclass": subclass,
            "seen": seen,
            **dict(zip(keys, figures, strict=True)),
            "num_test_good": 20,
            "num_test_defective": 0 if none else 20,
            "experts": experts,
            **({"reasons": dict.fromkeys(keys, NO_DEFECTS)} if none else {}),
        }

    rows = [tested(name, sub, True) for name in names for sub in subclasses[name][0]]
    rows += [tested(name, sub, False) for name in names for sub in unseen[name]]
    classes = {name: build_category(name, subclasses[name][0], rows, name in without_defects) for name in names}
    results = {
        "schema": "eagleray.results/1",
        "job": "adapted_moe",
        "preset": "best",
        "config": {"routing": {"loss": "center", "alpha": 0.5}, "top_k": 4},
        "seed": seed,
        "git_commit": "05a3390",
        "versions": {"eagleray": "0.1.0", "python": "3.11.7", "ray": "2.60.0"},
        "machine": {"cpus": 2, "memory_gb": 23.5, "processor": "made-up", "gpu": None, "platform": "Linux x86_64"},
        "data": {"source": "demo", "generated": True},
        "model_version": 1,
        "order": names,
        "stream": [],
        "classes": classes,
        "mean": {
            **{key: _mean([c[key] for c in classes.values()]) for key in ("image_auroc", "pixel_auroc", "aupro")},
            "forgetting": None,
            "reasons": {"forgetting": "everything is learned at once"},
        },
        "step_average": None,
        "matrix": [],
        "routing_accuracy": 0.912,
        "controls": {},
        "examples": [],
        "seconds": {"features": 90.0, "experts": 230.5, "scoring": 41.0, "total": 361.5},
        "peak_rss_mb": 1912.5,
        "processes": {"driver": 812.0, "expert_worker": 1912.5},
        "warnings": [],
        "command": "python jobs/adapted_moe.py --data demo",
        "subclasses": rows,
        "ablation": [
            {"category": name, "moe": moe, "tta": tta, "norm": norm}
            | both(name, 0.03 * tta + 0.02 * (moe and norm) - 0.01 * moe)
            for moe, tta, norm in TABLE_3
            for name in names
        ],
        "losses": [
            {"category": name, "loss": loss, **both(name, shift), "routing_accuracy": spread(name, 0.25 + shift)}
            for loss, shift in (("softmax", 0.0), ("center", 0.02))
            for name in names
        ],
        "top_k": [
            {"category": name, "k": k, **both(name, -0.004 * (k - 4) ** 2 + 0.02), "images_per_s": 40.0 / k}
            for name in names
            for k in range(1, len(subclasses[name][0]) + 1)
        ],
        "baselines": [
            {"category": name, "name": method, **both(name, shift)}
            for method, shift in (("simplenet", -0.01), ("bank", 0.05), ("bank_plain", 0.02))
            for name in names
        ],
        "evidence": [
            {
                "category": name,
                "candidate": candidate,
                "image_auroc": round(level[name] + 0.1 + shift, 4),
                "pixel_auroc": round(level[name] + 0.2 + shift, 4),
                "chosen": candidate == "discriminator, k = 4",
            }
            for name in names
            for candidate, shift in (("discriminator, k = 4", 0.03), ("discriminator, k = 1", 0.0), ("bank", 0.01))
        ],
        "routing_space": [build_space(name, subclasses[name][0], unseen[name], rng) for name in names],
    }  # fmt: skip
    return results | overrides


def build_category(name, seen, rows, without_defects):
    mine = [row for row in rows if row["category"] == name]
    new = [row for row in mine if not row["seen"]] or mine
    keys = ("image_auroc", "pixel_auroc", "aupro")
    return {
        "expert": 0,
        "experts": len(seen),
        **{key: _mean([row[key] for row in new]) for key in keys},
        "forgetting": None,
        "rows": 0,
        "routing_accuracy": 0.91,
        "threshold": 1.25,
        "attained_false_alarm_rate": 0.02,
        "num_train": 40 * len(seen),
        "num_calibration": 10 * len(seen),
        "num_test_good": 20 * len(mine),
        "num_test_defective": 0 if without_defects else 20 * len(mine),
        "false_alarms": len(mine),
        "missed": 0 if without_defects else 7 * len(mine),
        "reasons": dict.fromkeys(keys, NO_DEFECTS) if without_defects else {},
    }


def build_space(category, seen, unseen, rng, *, num_images=14):
    points, names, known = [], [], []
    for name in [*seen, *unseen]:
        centre = rng.normal(0, 1.0, 2) * (1.0 if name in seen else 0.5)
        points += (centre + rng.normal(0, 0.12, (num_images, 2))).round(4).tolist()
        names += [name] * num_images
        known += [name in seen] * num_images
    return {"category": category, "points": points, "subclasses": names, "seen": known, "explained": [0.41, 0.22]}


def _mean(values):
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None
