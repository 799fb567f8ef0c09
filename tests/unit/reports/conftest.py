"""Made-up results of a run: small, consistent with themselves, no model behind them."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from eagleray.reports import SCORES_SCHEMA, write_report, write_results, write_scores
from tests.unit.reports.mixture_results import build_mixture
from tests.unit.reports.search_results import build_search

ROWS = 400


def build_results(names=("bottle", "grid", "screw"), *, num_experts=2, seed=0, ops=(), **overrides):
    """Results of a stream that learns `names` in turn, then runs `ops` = (("update" | "remove", name), ...)."""
    rng = np.random.default_rng(seed)
    steps = [("learn", name) for name in names] + list(ops)
    expert_of = {name: number % num_experts for number, name in enumerate(names)}
    level = {name: float(rng.uniform(0.78, 1.0)) for name in names}
    known, matrix, stream, first = [], [], [], {}
    for number, (op, name) in enumerate(steps, start=1):
        known = [k for k in known if k != name] + ([name] if op != "remove" else [])
        row = [round(level[n] - 0.004 * max(len(known) - names.index(n), 0), 4) if n in known else None for n in names]
        matrix.append(row)
        changes = [value - first[n] for n, value in zip(names, row, strict=True) if value is not None and n in first]
        first |= {n: value for n, value in zip(names, row, strict=True) if value is not None and n not in first}
        held = {str(e): [n for n in known if expert_of[n] == e] for e in range(min(num_experts, len(names)))}
        similar = {e: round(float(rng.uniform(0.5, 0.99)), 3) for e in held}
        stream.append(
            {
                "step": number,
                "op": op,
                "class": name,
                "expert": expert_of[name],
                "num_images": 60,
                "skipped": [],
                "similarities": similar if number > 1 else {},
                "rows_per_expert": {e: ROWS * len(inside) for e, inside in held.items()},
                "classes_per_expert": held,
                "mean_image_auroc": mean(row),
                "mean_forgetting": mean(changes),
                "routing_accuracy": 0.98,
            }
        )
    classes = {name: build_class(expert_of[name], matrix[-1][names.index(name)], first[name], rng) for name in known}
    results = {
        "schema": "eagleray.results/1",
        "job": "mecad_stream",
        "preset": "best",
        "config": {"mecad": {"num_experts": num_experts, "rows_per_class": ROWS}, "features": {"weights": "packaged"}},
        "seed": seed,
        "git_commit": "05a3390",
        "versions": {"eagleray": "0.1.0", "python": "3.11.7", "ray": "2.60.0"},
        "machine": {"cpus": 2, "memory_gb": 23.5, "processor": "made-up", "gpu": None, "platform": "Linux x86_64"},
        "data": {"source": "demo", "generated": True},
        "model_version": len(steps),
        "order": list(names),
        "stream": stream,
        "classes": classes,
        "mean": {
            **{k: mean([c[k] for c in classes.values()]) for k in ("image_auroc", "pixel_auroc", "aupro")},
            "forgetting": mean([c["forgetting"] for c in classes.values()]),
        },
        "step_average": mean([step["mean_image_auroc"] for step in stream]),
        "matrix": matrix,
        "routing_accuracy": 0.983,
        "controls": build_controls(classes),
        "examples": [],
        "seconds": {"features": 12.5, "banks": 8.25, "scoring": 20.0, "total": 42.0},
        "peak_rss_mb": 812.5,
        "processes": {"driver": 412.0, "embed_worker": 812.5},
        "warnings": [],
        "budgets": {"rows_per_class": ROWS, "rows_per_expert": 2400},
    }
    return results | overrides


def build_class(expert, image_auroc, first_auroc, rng):
    return {
        "expert": expert,
        "image_auroc": image_auroc,
        "pixel_auroc": round(float(rng.uniform(0.9, 0.99)), 4),
        "aupro": round(float(rng.uniform(0.75, 0.95)), 4),
        "forgetting": round(image_auroc - first_auroc, 4),
        "rows": ROWS,
        "routing_accuracy": 0.98,
        "threshold": round(float(rng.uniform(1.5, 3.5)), 4),
        "attained_false_alarm_rate": 0.02,
        "num_train": 48,
        "num_calibration": 12,
        "num_test_good": 20,
        "num_test_defective": 20,
        "false_alarms": 1,
        "missed": 3,
    }


def build_controls(classes):
    def control(shift, rows, note):
        each = {n: None if c["image_auroc"] is None else c["image_auroc"] + shift for n, c in classes.items()}
        return {"image_auroc": mean(each.values()), "classes": each, "rows": rows, "note": note}

    rows = ROWS * len(classes)
    return {
        "oracle_expert": control(0.004, rows, "the true class chooses the expert"),
        "routed": control(0.0, rows, "the image chooses the expert"),
        "shared_bank": control(-0.06, rows, "one bank"),
        "bank_per_class": control(0.002, rows, "a bank each"),
        "random_assignment": control(-0.02, rows, "random experts"),
    }


def without_defects(results):
    """The same run on classes that have only good images: no detection figure can exist."""
    reason = "no defective test images"
    for values in results["classes"].values():
        values |= {"image_auroc": None, "pixel_auroc": None, "aupro": None, "forgetting": None}
        values |= {"num_test_defective": 0, "missed": 0}
        values["reasons"] = dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "forgetting"), reason)
    results["mean"] = dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "forgetting")) | {"reasons": {}}
    results["matrix"] = [[None] * len(results["order"]) for _ in results["stream"]]
    results["controls"] = {}
    results["step_average"] = None
    for step in results["stream"]:
        step |= {"mean_image_auroc": None, "mean_forgetting": None}
    return results


def build_scores(results, *, num_images=20, seed=0):
    """Raw scores for every class with figures: good images below the threshold, defective ones mostly above."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, values in results["classes"].items():
        threshold = values["threshold"] or 1.0
        for label in (0, 1) if values["num_test_defective"] else (0,):
            spread = rng.lognormal(np.log(0.75 if label == 0 else 1.5), 0.15 if label == 0 else 0.35, num_images)
            for number, score in enumerate(threshold * spread):
                rows.append(
                    {
                        "class": name,
                        "path": f"{name}/test/{'scratch' if label else 'good'}/{number:03d}.png",
                        "label": label,
                        "defect": "scratch" if label else "good",
                        "score": float(score),
                        "p_value": 0.05 if score > threshold else 0.5,
                        "flagged": bool(score > threshold),
                        "expert": values["expert"],
                        "routed_expert": values["expert"],
                        "routed_class": name,
                    }
                )
    return pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)


def add_example(out, results, kind, name, *, masked=True, size=96):
    """Draw one small picture with its overlay and mask under examples/ and list it in `results`."""
    defective = kind in ("missed", "hit")
    folder = out / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    number = len(results["examples"])
    rng = np.random.default_rng(number)
    picture = rng.normal(150, 12, (size, size, 3)).clip(0, 255).astype(np.uint8)
    overlay, mask = picture.copy(), np.zeros((size, size), np.uint8)
    y, x = rng.integers(size // 4, size // 2, 2)
    patch = np.s_[y : y + size // 6, x : x + size // 4]
    if defective:
        picture[patch] = 60
        mask[patch] = 255
    overlay[patch] = (220, 60, 20)
    files = {"image": picture, "heatmap": overlay} | ({"mask": mask} if masked and defective else {})
    entry = {"mask": None}
    for key, pixels in files.items():
        entry[key] = f"examples/{number:03d}_{key}.png"
        Image.fromarray(pixels).save(out / entry[key])
    entry |= {"class": name, "path": f"{name}/test/{number:03d}.png", "label": int(defective), "kind": kind}
    entry |= {"defect": "scratch" if defective else "good", "score": 2.5, "p_value": 0.04}
    results["examples"].append(entry)


def write_run(out, results, *, scores=True, kinds=("missed", "false_alarm", "hit", "quiet")):
    for kind in kinds:
        add_example(out, results, kind, next(iter(results["classes"])))
    write_results(out, results)
    if scores:
        write_scores(out, build_scores(results))
    return out


def mean(values):
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None


@pytest.fixture
def make_results():
    return build_results


@pytest.fixture
def make_scores():
    return build_scores


@pytest.fixture
def drop_defects():
    return without_defects


@pytest.fixture
def example():
    return add_example


@pytest.fixture
def make_run(tmp_path):
    """Write a whole run folder from results, scores and one example of each kind; returns the folder."""

    def write(results, **options):
        return write_run(tmp_path, results, **options)

    return write


@pytest.fixture(scope="session")
def whole_report(tmp_path_factory):
    """A folder with every file of an ordinary run and its report, for tests that only read."""
    out = write_run(tmp_path_factory.mktemp("whole"), build_results())
    write_report(out)
    return out


@pytest.fixture
def make_mixture():
    return build_mixture


@pytest.fixture(scope="session")
def mixture_report(tmp_path_factory):
    """A folder with every file of a run of adapted_moe and its report, for tests that only read."""
    out = write_run(tmp_path_factory.mktemp("mixture"), build_mixture())
    write_report(out)
    return out


@pytest.fixture
def make_search():
    return build_search


@pytest.fixture(scope="session")
def search_report(tmp_path_factory):
    """A folder with every file of a run of adnas_search and its report, for tests that only read."""
    out = write_run(tmp_path_factory.mktemp("search"), build_search())
    write_report(out)
    return out
