"""The benchmark beside other libraries: turns, ratios, the one judge, processes and what is printed."""

import ast
import json
import os
import stat
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.contestants import contest
from benchmarks.peers.contestants.contest import FIGURES, SCORES, Job, compete
from benchmarks.peers.judging import disagreement, judged, judged_stream
from benchmarks.peers.markdown import digits, page, table, tracks_table
from benchmarks.peers.options import PRESETS
from benchmarks.peers.pictures import Product, resized
from benchmarks.peers.plots import draw_all
from benchmarks.peers.processes import ContestantFailed, measured
from benchmarks.peers.tracks import Track, accuracy_tracks, limits_of, speed_tracks, stream_tracks
from benchmarks.peers.turns import PEERS, SPEED, all_turns, interleaved
from eagleray.data import Category, Sample

CONTESTANTS = Path(contest.__file__).parent


@pytest.fixture
def job(tmp_path):
    return Job(
        threads=1,
        seed=0,
        rows=300,
        backbone="b",
        weights="w",
        weights_sha256="",
        strides=[8, 16],
        mean=[0.5] * 3,
        std=[0.5] * 3,
        image_size=4,
        train={"nut": []},
        test={"nut": []},
        out=str(tmp_path),
    )


# turns


def test_each_contestant_runs_once_a_round_and_another_one_begins_each():
    assert list(interleaved("abc", 4)) == [
        *((0, c) for c in "abc"),
        *((1, c) for c in "bca"),
        *((2, c) for c in "cab"),
        *((3, c) for c in "abc"),
    ]


def test_turns_cover_every_product_and_seed_and_no_two_share_a_folder():
    turns = all_turns(2, "nut", ["bolt", "nut"], (3, 5))
    assert len({turn.name for turn in turns}) == len(turns)
    assert Counter((turn.track, turn.number) for turn in turns) == {
        ("speed", 0): len(SPEED), ("speed", 1): len(SPEED),
        ("accuracy", 3): 6, ("accuracy", 5): 6, ("stream", 3): 2, ("stream", 5): 2,
    }  # fmt: skip
    assert {turn.product for turn in turns if turn.track == "accuracy"} == {"bolt", "nut"}


@pytest.mark.parametrize("contestant", ["contest", *PEERS])
def test_what_runs_beside_another_library_imports_none_of_ours(contestant):
    tree = ast.parse((CONTESTANTS / f"{contestant}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    ours = {name for name in imported if name.startswith(("eagleray", "benchmarks"))}
    assert all(name.startswith("benchmarks.peers.contestants.") for name in ours)


# tracks


def test_a_ratio_says_how_many_times_as_good_ours_is_whichever_way_is_better():
    seconds = Track(unit="s", more_is_better=False, ours=2.0, peer=90.0, limit=1.0, ratio_bar=40)
    assert (seconds.ratio, seconds.of_limit, seconds.holds) == (45.0, 2.0, True)
    rate = Track(unit="images/s", more_is_better=True, ours=64.0, peer=16.0, limit=80.0, ratio_bar=5)
    assert (rate.ratio, rate.of_limit, rate.holds) == (4.0, 1.25, False)


def test_a_bar_on_the_limit_is_held_from_below_and_without_a_bar_nothing_holds():
    assert Track(unit="ms", more_is_better=False, ours=1.3, limit=1.0, limit_bar=1.3).holds is True
    assert Track(unit="ms", more_is_better=False, ours=1.4, limit=1.0, limit_bar=1.3).holds is False
    assert Track(unit="ms", more_is_better=False, ours=1.4, limit=1.0).holds is None


def _limits_figures(rate, backbone_ms):
    return {
        "float32_flops": rate,
        "float64_flops": rate / 2,
        "read_bytes_per_s": 1e9,
        "backbone_flops": 1e9,
        "num_points": 1000,
        "ms": {"predict": 12.0, "backbone": backbone_ms, "product": 2.0},
        "fit_parts_s": {"whitening": 1.0, "rows": backbone_ms},
    }


def test_limits_take_the_fastest_round_of_the_machine_and_the_median_of_the_parts():
    limits = limits_of([_limits_figures(rate, ms) for rate, ms in ((5e10, 7.0), (1e11, 8.0), (8e10, 12.0))], 100, 64)
    assert limits["embedding_images_per_s"] == 100
    assert limits["select_s"] == 2 * 1000 * 100 * 64 / 5e10  # more than reading 256 kB once
    assert limits["textbook_select_s"] == 100 * 1000 * 64 * 4 / 1e9
    assert (limits["backbone_ms"], limits["product_ms"], limits["predict_ms"]) == (8.0, 2.0, 12.0)
    assert limits["fit_parts_s"] == {"whitening": 1.0, "rows": 8.0}


def _speed_figures(embed, select, predict, peak):
    return {
        "seconds": {"embed": embed, "select": select, "predict": predict},
        "num_train": 100,
        "num_test": 50,
        "peak_mb": peak,
    }


@pytest.fixture
def speed():
    found = {"anomalib_patchcore": [_speed_figures(8.0, s, 5.0, 2400.0) for s in (500.0, 392.0, 300.0)]}
    found["eagleray_patchcore"] = [_speed_figures(2.0, s, 0.5, 600.0) for s in (8.0, 9.0, 6.0)]
    found["same_patches"] = [_speed_figures(2.0, 40.0, 1.0, 900.0)]
    found["floor"] = [_speed_figures(6.0, 24.0, 4.0, 1200.0)]
    return found


@pytest.fixture
def limits():
    return limits_of([_limits_figures(1e11, 8.0)], 100, 64)


def test_speed_tracks_are_medians_of_the_rounds_held_against_the_bars(speed, limits):
    tracks = speed_tracks(speed, limits)
    assert (tracks["fit"].ours, tracks["fit"].peer, tracks["fit"].ratio, tracks["fit"].holds) == (10, 400, 40, True)
    assert tracks["fit"].rounds == ((10, 11, 8), (508, 400, 308))
    assert (tracks["prediction"].ours, tracks["prediction"].peer, tracks["prediction"].limit) == (100, 10, 100)
    assert tracks["peak_memory"].ratio == 4
    assert (tracks["floor.coreset"].ratio, tracks["floor.coreset"].ratio_bar) == (3, None)
    assert (tracks["same_patches.fit"].ratio, tracks["same_patches.fit"].holds) == (400 / 42, None)
    assert (tracks["prediction_in_process"].of_limit, tracks["prediction_in_process"].holds) == (1.2, True)


def test_only_ours_as_it_is_must_be_at_least_as_accurate_and_a_figure_without_masks_is_left_out():
    means = {
        "anomalib_patchcore": {"image_auroc": 0.8, "aupro": None},
        "eagleray_patchcore": {"image_auroc": 0.9, "aupro": None},
        "same_patches": {"image_auroc": 0.79, "aupro": None},
    }
    tracks = accuracy_tracks(means)
    assert set(tracks) == {"image_auroc", "same_patches.image_auroc"}
    assert (tracks["image_auroc"].holds, tracks["same_patches.image_auroc"].holds) == (True, None)


def test_the_best_strategy_is_the_peer_of_the_stream():
    runs = [{"name": n, "final_average": a, "seconds": s} for n, a, s in (("o", 0.9, 8), ("p", 0.6, 2), ("q", 0.7, 4))]
    tracks = stream_tracks(runs)
    assert (tracks["stream.final_average"].peer, tracks["stream.seconds"].ratio) == (0.7, 0.5)


# pictures and the judge


def _category(tmp_path):
    masks = np.zeros((20, 20), np.uint8)
    masks[8:12, 8:12] = 255
    for name, pixels in (("picture.png", np.full((20, 20, 3), 90, np.uint8)), ("mask.png", masks)):
        Image.fromarray(pixels).save(tmp_path / name)
    picture, mask = str(tmp_path / "picture.png"), str(tmp_path / "mask.png")
    train = tuple(Sample(picture, "nut", "train", 0, "good", None) for _ in range(3))
    kinds = ((0, "good", None), (1, "dent", mask), (1, "bent", None))
    return Category("nut", train, tuple(Sample(picture, "nut", "test", *kind) for kind in kinds))


def test_pictures_are_resized_once_and_their_masks_do_not_grow(tmp_path):
    category = _category(tmp_path)
    product = resized(category, 10, tmp_path / "work")
    assert [np.asarray(Image.open(path)).shape for path in product.train + product.test] == [(10, 10, 3)] * 6
    assert product.labels == [0, 1, 1]
    good, dent, bent = product.load_masks()
    assert (good, bent) == (None, None)
    assert dent.sum() == 4
    Path(product.test[0]).write_bytes(b"kept")
    assert resized(category, 10, tmp_path / "work") == product
    assert Path(product.test[0]).read_bytes() == b"kept"


def test_a_defective_picture_without_a_mask_counts_as_an_image_and_not_as_pixels(tmp_path):
    product = resized(_category(tmp_path), 10, tmp_path / "work")
    maps = np.zeros((3, 10, 10), np.float32)
    maps[1] = product.load_masks()[1]
    maps[2] = 9  # as good pixels, these would be false alarms
    np.savez(tmp_path / SCORES, scores=[0.5, 0.9, 0.1], maps=maps)
    found = judged(tmp_path / SCORES, product)
    assert (found.image_auroc, found.pixel_auroc, found.aupro) == (0.5, 1.0, 1.0)


def test_a_subset_of_the_test_has_as_many_good_as_defective_pictures():
    product = Product("nut", [], [""] * 7, [1, 1, 1, 1, 0, 0, 0], [None] * 7)
    assert product.test_subset(4) == [0, 1, 4, 5]
    assert product.test_subset(100) == list(range(7))


def test_patches_are_compared_without_the_border():
    ours, theirs = np.ones((16, 16, 2)), np.ones((16, 16, 2))
    theirs[5], theirs[:, 10], theirs[6, 9] = 7, 7, 2
    assert disagreement(ours, theirs) == 0.5


def test_a_stream_is_judged_by_what_is_left_in_the_end():
    labels = {"a": [0, 1], "b": [0, 1]}
    steps = [{"a": [0.1, 0.9], "b": [5.0, 0.0]}, {"a": [0.9, 0.1], "b": [0.2, 0.3]}]
    found = judged_stream(steps, labels)
    assert (found["final_average"], found["forgetting"]) == (0.5, -1.0)
    assert found["matrix"] == [[1.0, None], [0.0, 1.0]]


# contestants


class Counting:
    """Knows what it was given."""

    def __init__(self):
        self.calls = []

    def embed(self, pictures):
        self.calls.append(("embed", len(pictures)))

    def select(self, num_rows):
        self.calls.append(("select", num_rows))

    def predict(self, pictures):
        self.calls.append(("predict", len(pictures)))
        return [1.0] * len(pictures), [np.ones((4, 4), np.float32)] * len(pictures)

    def patches(self, picture):
        return np.ones((2, 2, 3), np.float32)


def test_a_contest_warms_up_on_another_detector_and_times_each_stage_once(job, tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "p.png")
    job.train["nut"] += [str(tmp_path / "p.png")] * 20
    job.test["nut"] += [str(tmp_path / "p.png")] * 12
    job.write(tmp_path / "job.json")
    monkeypatch.setattr(sys, "argv", ["contestant", str(tmp_path / "job.json")])
    warm, timed = Counting(), Counting()
    detectors = iter((warm, timed))
    compete(lambda job: next(detectors))
    assert warm.calls == [("embed", 8), ("select", 128), ("predict", 8)]
    assert timed.calls == [("embed", 20), ("select", 300), ("predict", 12)]
    found = json.loads((tmp_path / FIGURES).read_text())
    assert set(found["seconds"]) == {"embed", "select", "predict"}
    assert found["peak_mb"] >= found["loaded_mb"] > 1
    assert np.load(tmp_path / SCORES)["maps"].shape == (12, 4, 4)


def _python(tmp_path, script):
    """Stands in for an environment's Python; its third argument is the job."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\ncd "$(dirname "$3")"\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_measurement_is_kept_for_the_same_job_and_made_again_for_another(job, tmp_path):
    python = _python(tmp_path, f"echo x >> ran; echo '{{\"peak_mb\": 1}}' > {FIGURES}")
    first, again = measured("any", job, python), measured("any", job, python)
    assert (first["kept"], again["kept"], again["peak_mb"]) == (False, True, 1)
    assert first["load_before"] == again["load_before"] >= 0
    changed = Job(**{**vars(job), "rows": 301})
    assert measured("any", changed, python)["kept"] is False
    assert (tmp_path / "ran").read_text() == "x\nx\n"


def test_a_contestant_has_the_cores_of_its_job_and_others_keep_theirs(job, tmp_path):
    before = os.sched_getaffinity(0)
    script = f"env -u OMP_NUM_THREADS nproc > cores; echo $OMP_NUM_THREADS >> cores; echo '{{}}' > {FIGURES}"
    measured("any", job, _python(tmp_path, script))
    assert (tmp_path / "cores").read_text() == "1\n1\n"
    assert os.sched_getaffinity(0) == before


def test_a_contestant_that_fails_is_told_by_its_last_line_and_leaves_no_figures(job, tmp_path):
    python = _python(tmp_path, f"echo '{{}}' > {FIGURES}; echo 'ValueError: no bank' >&2; exit 3")
    with pytest.raises(ContestantFailed, match=r"^any failed \(ValueError: no bank\)"):
        measured("any", job, python)


# what is printed


def test_markdown_tables_and_digits():
    assert table(("a", "b"), [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
    assert [digits(v) for v in (None, 0.01234, 3.14159, 99.96, 2412.7)] == ["-", "0.0123", "3.14", "100", "2,413"]
    assert digits(0.91, "image AUROC") == digits(0.91, "mean") == "0.910"


@pytest.fixture
def results(speed, limits):
    accuracy = {
        who: {"nut": {"image_auroc": value, "pixel_auroc": None, "aupro": None}}
        for who, value in (("anomalib_patchcore", 0.95), ("eagleray_patchcore", 0.94), ("same_patches", 0.95))
    }
    stream = [
        {"name": n, "final_average": a, "forgetting": 0.0, "seconds": 3.0} for n, a in (("EagleRay", 0.9), ("q", 0.7))
    ]
    means = {who: products["nut"] for who, products in accuracy.items()}
    tracks = {**speed_tracks(speed, limits), **accuracy_tracks(means), **stream_tracks(stream)}
    return {
        "command": "python bench.py",
        "date": "2026-01-01",
        "git_commit": "abc",
        "options": {
            "threads": 2, "image_size": 256, "rows": 2400, "rounds": 3, "category_rows": 400, "seeds": [0],
            "stream_images": 30, "stream_tests": 40,
        },
        "machine": {"cpus": 2, "processor": "x86"},
        "versions": {"eagleray": "0"},
        "peer_versions": {"anomalib": "2"},
        "conditions": {
            "generated": False, "speed_product": "nut", "num_train": 100, "num_test": 50, "products": ["nut"],
            "loaded_mb": {"eagleray_patchcore": 116.0}, "patches_differ": 1e-6, "kept": 0,
            "load_median": 0.1, "load_max": 0.4,
        },
        "tracks": {name: track.as_json() for name, track in tracks.items()},
        "limits": limits,
        "accuracy": accuracy,
        "stream": stream,
    }  # fmt: skip


def test_a_missed_bar_is_printed_as_it_is(results):
    lines = tracks_table(results["tracks"], "").splitlines()
    row = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    assert row["fit, s"] == "| fit, s | 10 (8 to 11) | 400 (308 to 508) | 40.00 | - | - | ratio >= 40: holds |"
    assert row["image auroc, mean"].endswith("| 0.99 | - | - | ratio >= 1: **missed** |")
    assert not any("floor" in line or "same" in line for line in lines)


def test_the_page_has_every_part_and_says_when_figures_are_of_an_interrupted_run(results):
    text = page(results)
    for title in ("against anomalib", "plain loops", "Limits", "Accuracy", "stream of 1 products"):
        assert title in text
    assert "interrupted" not in text
    results["conditions"]["kept"] = 4
    assert "; 4 measurements kept from an interrupted run" in page(results)


def test_generated_products_are_not_taken_for_a_benchmark(results):
    assert "generated" not in page(results)
    results["conditions"]["generated"] = True
    assert "generated demo products, no benchmark of accuracy" in page(results)


def test_plots_are_drawn(results, tmp_path):
    draw_all(results, tmp_path)
    assert {path.name: Image.open(path).width > 400 for path in tmp_path.iterdir()} == {
        "ratios.png": True, "accuracy.png": True, "limits.png": True,
    }  # fmt: skip


def test_a_quick_run_says_so_and_writes_elsewhere():
    quick, full = PRESETS["quick"], PRESETS["full"]
    assert (quick.preset, full.preset) == ("quick", "full")
    assert quick.out != full.out
    assert quick.images * quick.rows < full.images * full.rows / 50
