"""The simulator of many classes runs, and what it makes of its figures is right."""

import json

import numpy as np
import pytest

from benchmarks.scale.__main__ import run
from benchmarks.scale.figures import summarise, tables
from benchmarks.scale.products import ALIKE, APART, WITHIN, ProductRange
from benchmarks.scale.simulation import GRID, Options


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("scale")
    options = Options(out=out, classes=14, experts=5, family=3, images=5, grid=5, routed=4, window=3)
    summary = run(options)
    assert [path.name for path in out.iterdir()] == ["scale.json"], "the simulated model is thrown away"
    assert [len(table.columns) for table in tables(summary)] == [9, 9, 10]
    return json.loads((out / "scale.json").read_text())


def test_every_class_is_learned_and_the_shown_numbers_have_figures(written):
    assert [row["k"] for row in written["classes"]] == list(range(1, 15))
    shown = written["shown"]
    assert [row["k"] for row in shown] == [1, 10, 14]
    assert written["promised"] is None, "no line goes through a single point"
    for row in shown:
        assert row["experts"] <= 5
        assert row["routed_right"] == 1.0
        assert row["sent_patches_of_a_picture_scored_bytes"] == GRID * GRID * 472 * 4
    rows, banks, manifests = ([row[name] for row in shown] for name in ("rows", "banks_bytes", "manifests_bytes"))
    assert rows == sorted(set(rows))
    assert banks[0] < shown[0]["sent_new_bank_bytes"] + 1
    assert manifests[-1] > shown[-1]["manifest_bytes"] > shown[0]["manifest_bytes"] == manifests[0]


def test_only_the_last_classes_are_held_against_a_small_model(written):
    assert [row["k"] for row in written["classes"] if "tenth" in row] == [12, 13, 14]
    assert "ratio_cpu" not in written["shown"][1]
    assert written["shown"][2]["ratio_cpu_low"] <= written["shown"][2]["ratio_cpu"]


def row_of(k, *, learn=0.2, tenth=None, **figures):
    clocks = {"cpu": {"learn": learn, "fit": 0.1}, "wall": {"learn": 2 * learn}}
    extra = {"tenth": {"cpu": {"learn": tenth}, "wall": {"learn": tenth}}} if tenth else {}
    return {"k": k, **clocks, **extra, **({"figures": figures} if figures else {})}


def test_a_window_holds_the_classes_up_to_a_number_and_never_the_first_of_all():
    rows = [row_of(1, learn=9.0), row_of(2), row_of(3, learn=0.4), row_of(4, learn=0.6, shown=1)]
    (found,) = summarise(rows, window=3)["shown"]
    assert found["learn_ms"] == pytest.approx(400)
    assert (found["learn_low_ms"], found["learn_high_ms"]) == pytest.approx((300, 500))
    (wide,) = summarise(rows, window=9)["shown"]
    assert wide["learn_ms"] == pytest.approx(400)


def test_a_ratio_is_that_of_pairs_so_what_slows_both_does_not_show():
    rows = [row_of(k, learn=0.1 * k, tenth=0.1 * k / 1.5) for k in (20, 21)] + [row_of(22, learn=3.0, tenth=2.0, a=1)]
    (found,) = summarise(rows, window=3)["shown"]
    assert (found["ratio_cpu"], found["ratio_wall"]) == pytest.approx((1.5, 3.0))


def test_lines_reach_what_nobody_simulated():
    figures = ("rows", "assign_ms", "commit_ms", "route_ms", "route_untaught_ms", "judge_bytes", "banks_bytes")
    rows = []
    for k in (15, 100, 500, 2000):
        named = dict.fromkeys((*figures, "manifest_bytes", "start_s", "follow_s"), 7.0 + 3.0 * k)
        rows.append(row_of(k, **({**named, "rows": 1e9} if k == 15 else named)))
    promised = summarise(rows, window=1)["promised"]
    assert promised["k"] == 100_000
    assert promised["rows"] == pytest.approx(300_007), "few classes, where all is constant, bend no line"
    assert promised["manifests_bytes"] == pytest.approx(3.0 * 100_000**2 / 2)


def test_products_lie_to_each_other_as_measured():
    products = ProductRange(0, family=10)
    centres_CD = np.array([products.centre(number) for number in range(300)])
    apart = np.linalg.norm(centres_CD[::10][:, None] - centres_CD[::10], axis=2)[np.triu_indices(30, 1)]
    alike = np.linalg.norm(centres_CD[:10][:, None] - centres_CD[:10], axis=2)[np.triu_indices(10, 1)]
    assert np.median(apart) == pytest.approx(APART, rel=0.1)
    assert ALIKE[0] * APART < alike.min() and alike.max() < 0.75 * APART
    own = [np.linalg.norm(products.picture(3, n, 4).mean(axis=(0, 1)) - centres_CD[3]) for n in range(40)]
    assert np.mean(own) == pytest.approx(WITHIN, rel=0.15)


def test_the_mean_of_a_picture_does_not_depend_on_its_grid():
    products = ProductRange(0, family=10)
    small, large = (products.picture(5, 1, grid).mean(axis=(0, 1)) for grid in (4, 24))
    np.testing.assert_allclose(small, large, atol=1e-6)


def test_a_range_without_families_has_no_products_that_are_alike():
    products = ProductRange(0, family=1)
    centres_CD = np.array([products.centre(number) for number in range(30)])
    apart = np.linalg.norm(centres_CD[:, None] - centres_CD, axis=2)[np.triu_indices(30, 1)]
    assert apart.min() > 0.6 * APART
