"""The benchmark of what a class costs runs, and its stages add up."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def class_cost():
    spec = importlib.util.spec_from_file_location("class_cost", ROOT / "benchmarks" / "class_cost.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_three_classes_are_learned_routed_and_written_down(class_cost, tmp_path):
    class_cost.run(class_cost.Options(out=tmp_path, classes=3, images=5))
    written = json.loads((tmp_path / "class_cost.json").read_text())
    assert [row["k"] for row in written["classes"]] == [1, 2, 3]
    assert written["routing_accuracy"] == 1.0
    for row in written["classes"]:
        for clock in ("cpu", "wall"):
            assert row[clock]["learn"] == pytest.approx(sum(row[clock][stage] for stage in class_cost.LEARN))
            assert all(seconds >= 0 for seconds in row[clock].values())
    assert Image.open(tmp_path / "class_cost.png").width > 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class_cost.json", "class_cost.png"]


def test_a_rising_cost_shows_in_the_ratio(class_cost):
    row = {"routed_right": True, "manifest_bytes": 0}
    rows = [{**row, "k": k, "cpu": {"learn": float(k)}, "wall": {"learn": 1.0}} for k in range(1, 41)]
    summary = class_cost.summarise(rows)
    assert summary["windows"] == [list(range(2, 12)), list(range(31, 41))]
    assert summary["ratio"] == {"cpu": {"learn": 35.5 / 6.5}, "wall": {"learn": 1.0}}
    assert summary["medians"][10]["cpu"]["learn"] == 10.0
