import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")

from eagleray.adnas import FusionSession, load_category
from eagleray.console import run_main
from eagleray.data import open_rgbd, write_solids
from eagleray.errors import ConfigError, EagleRayError, GenotypeError
from eagleray.fusion.anomalies import AnomalyConfig
from eagleray.fusion.network import NetworkConfig
from eagleray.fusion.search import SearchConfig
from eagleray.fusion.training import TrainingConfig
from eagleray.reports import read_results, read_scores
from eagleray.storage import ModelStore
from eagleray.sweeps import TuneConfig, TuneRunner, search_job
from eagleray.sweeps.search_job import PRESETS, SearchJob, check_step, run_search_job
from jobs import adnas_search

TINY = SearchJob(
    address="none",
    image_size=32,
    network=NetworkConfig(width=4, channels=8),
    anomalies=AnomalyConfig(num_textures=3),
    training=TrainingConfig(epochs=1, pictures=16, batch_size=8, crop=32),
    reconstruction_epochs=1,
    search=SearchConfig(epochs=2, batch_size=16, candidate_epochs=1),
    search_pictures=(48, 48),
    alpha_rates=(1e-2,),
    baselines=("random", "single", "color"),
    retrainings=2,
    finalists=2,
    few_shot=(3, 2),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run on one solid, in this process."""
    root = tmp_path_factory.mktemp("search")
    counts = {"num_train": 4, "num_validation": 3, "num_test_good": 2, "num_test_defective": 2}
    write_solids(root / "data", image_size=48, classes=("gear",), **counts)
    job = dataclasses.replace(TINY, data=root / "data", out=root / "out")
    return job, run_search_job(job)


def test_every_search_and_baseline_has_a_row_and_the_best_is_trained_from_further_seeds(run):
    _, results = run
    rows = {row["name"]: row for row in results["searches"]}
    assert list(rows) == ["darts-0", "random-0", "early-0", "middle-0", "late-0", "color-0", "scratch-1"]
    best = max((row for row in rows.values() if row["finalists"] and row["method"] != "color"), key=_validated)
    assert results["kept"] == best["name"]
    assert results["genotype"] == best["genotype"] == rows["scratch-1"]["genotype"]
    assert [stage for stage, cell in rows["middle-0"]["genotype"]["cells"].items() if cell] == ["middle"]
    assert "depth" not in str(rows["color-0"]["genotype"])
    budget = rows["darts-0"]["budget_gflop"]
    assert all(0 <= row["budget_gflop"] <= budget * 1.001 for row in rows.values())
    for row in rows.values():
        assert 0 <= row["image_auroc"] <= 1
        assert min(row["frames_per_s"], row["weights_mb"], row["peak_mb"]) > 0
        assert row["categories"]["gear"]["image_auroc"] == row["image_auroc"]
    assert [len(rows[name]["history"]) for name in ("darts-0", "random-0", "scratch-1")] == [2, 0, 0]


def _validated(row):
    return row["validation_auroc"]


def test_what_chose_the_best_was_not_measured_of_its_further_trainings(run):
    _, results = run
    rows = {row["method"]: row["validation_auroc"] for row in results["searches"]}
    assert rows["scratch"] is None
    assert rows["darts"] is not None


def test_figures_of_either_modality_and_of_both_are_told_with_their_seeds(run):
    _, results = run
    assert [(row["modalities"], row["seed"]) for row in results["modalities"]] == [
        ("color+depth", 0),
        ("color+depth", 1),
        ("color", 0),
    ]
    assert results["modalities"][0]["image_auroc"] == results["classes"]["gear"]["image_auroc"]


def test_the_best_is_trained_on_few_pictures_too_from_as_many_seeds(run):
    job, results = run
    assert [(row["shots"], row["seed"], row["category"]) for row in results["shots"]] == [
        (3, 0, "gear"),
        (3, 1, "gear"),
        (2, 0, "gear"),
        (2, 1, "gear"),
    ]
    for row in results["shots"]:
        assert all(0 <= row[name] <= 1 for name in ("image_auroc", "pixel_auroc", "aupro"))
    assert len({row["pixel_auroc"] for row in (*results["shots"], *results["modalities"][:2])}) == 6
    assert "2-shot" in (job.out / "report.html").read_text()


def test_the_files_of_a_run_can_be_read_and_its_report_stands_beside_them(run):
    job, results = run
    assert read_results(job.out)["classes"] == results["classes"]
    assert results["peak_rss_mb"] == results["processes"]["driver"] > 100
    assert "gear" in (job.out / "report.html").read_text()
    assert {path.stem for path in (job.out / "plots").glob("*.png")} >= {"genotype", "alphas", "pareto", "scores"}


def test_the_stored_model_gives_the_scores_that_the_run_wrote(run):
    job, _ = run
    session = FusionSession.open(ModelStore.open(job.out / "model"))
    (category,) = open_rgbd(job.data)
    by_path = {row["path"]: row for row in read_scores(job.out).to_pylist()}
    assert len(by_path) == len(category.test)
    for sample in category.test:
        found = session.score(sample, category="gear")
        assert found.score == by_path[sample.sample.path]["score"]
        assert found.p_value == by_path[sample.sample.path]["p_value"]
        assert found.anomalous == by_path[sample.sample.path]["flagged"]


def test_a_given_architecture_is_trained_to_the_same_model_without_a_search(run, tmp_path):
    job, searched = run
    given = dataclasses.replace(job, genotype=job.out / "genotype.json", out=tmp_path, few_shot=())
    results = run_search_job(given)
    assert [row["name"] for row in results["searches"]] == ["given", "scratch-1"]
    assert results["genotype"] == searched["genotype"]
    assert results["classes"] == searched["classes"]
    assert {"reconstruct", "search"}.isdisjoint(results["seconds"])
    assert "was given, not searched for" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"glu"', '"subtract"', "must be one of"),
        ("[0, 1]", "[0, 2]", "not two different ones of 0 to 1"),
        (".early.", ".first.", "which is not among color.early.0"),
        ("eagleray.genotype/1", "eagleray.genotype/9", "is no architecture of schema eagleray.genotype/1"),
    ],
)
def test_an_architecture_of_another_space_is_refused_by_the_name_of_its_file(tmp_path, old, new, told):
    cell = {"features": ["color.early.0", "depth.early.0"]}
    nodes = [{"op": "glu", "inputs": [0, 1]}, {"op": "concat", "inputs": [2, 0]}]
    cells = {"early": cell | {"nodes": nodes}, "middle": None, "late": None}
    file = tmp_path / "genotype.json"
    file.write_text(json.dumps({"schema": "eagleray.genotype/1", "cells": cells}).replace(old, new))
    with pytest.raises(GenotypeError, match=f"{file}.*{told}"):
        run_search_job(dataclasses.replace(TINY, genotype=file, data=tmp_path, out=tmp_path / "out"))


def test_a_finished_run_is_only_gone_on_with_when_asked_to_and_with_its_own_settings(run):
    job, results = run
    with pytest.raises(ConfigError, match="--out must be a new folder, or --resume"):
        run_search_job(job)
    with pytest.raises(ConfigError, match="--resume must be given with the settings"):
        run_search_job(dataclasses.replace(job, resume=True, seed=1))
    again = run_search_job(dataclasses.replace(job, resume=True))
    assert again["model_version"] == results["model_version"]
    assert again["classes"] == results["classes"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"image_size": 100}, "--image-size must be a multiple of 8"),
        ({"alpha_rates": ()}, "--alpha-rates must be"),
        ({"alpha_rates": (0.0,)}, "--alpha-rates must be"),
        ({"alpha_rates": (1e-2, math.inf)}, "--alpha-rates must be"),
        ({"shots": -1}, "--shots must be at least 0"),
        ({"retrainings": 0}, "--retrainings must be at least 1"),
        ({"few_shot": (5, 0)}, "--few-shot must be different numbers of pictures, each at least 1"),
        ({"few_shot": (5, 5)}, "--few-shot must be different"),
        ({"search_pictures": (8, 8)}, "--search-pictures must be at least 16 each"),
        ({"seed": -1}, "--seed must be in 0 to"),
    ],
)
def test_a_wrong_setting_is_refused_by_the_name_of_its_flag(wrong, told):
    with pytest.raises(ConfigError, match=told):
        SearchJob(**wrong)


@pytest.mark.parametrize("flag", ["data", "out", "genotype"])
@pytest.mark.parametrize("uri", ["s3://key:secret@bucket/folder", "gs://bucket", "file:///folder"])
def test_a_uri_is_refused_by_the_name_of_its_flag_and_tells_no_secret(flag, uri):
    with pytest.raises(ConfigError, match=f"--{flag} must be a path, .* got '{uri.split('//')[0]}//...'"):
        SearchJob(**{flag: Path(uri)})


def test_a_colon_within_a_path_is_none_of_a_uri():
    SearchJob(data=Path("runs/s3:/x"), out=Path("/mnt/a:/b"))


def test_more_shots_than_there_are_pictures_are_refused(run, tmp_path):
    job, _ = run
    with pytest.raises(ConfigError, match="--shots must be from 1 to 4"):
        run_search_job(dataclasses.replace(job, shots=5, out=tmp_path))


@pytest.mark.parametrize("shots", [0, 3])
def test_few_shot_trainings_on_more_pictures_than_a_category_has_are_refused_before_any_is_read(
    run, tmp_path, monkeypatch, shots
):
    job, _ = run
    monkeypatch.setattr(search_job, "load_category", None)
    told = f"--few-shot must be from 1 to {shots or 4}, the train pictures of 'gear', got 5"
    with pytest.raises(ConfigError, match=told):
        run_search_job(dataclasses.replace(job, shots=shots, few_shot=(2, 5), out=tmp_path))


@pytest.mark.parametrize("mistake", [{"data": "nowhere"}, {"categories": ("wheel",)}, {"few_shot": (5,)}])
def test_a_mistake_that_is_seen_before_a_picture_is_read_leaves_the_folder_free(run, tmp_path, mistake):
    job, _ = run
    if "data" in mistake:
        mistake = {"data": tmp_path / "nowhere"}
    with pytest.raises(EagleRayError):
        run_search_job(dataclasses.replace(job, out=tmp_path / "out", **mistake))
    assert not (tmp_path / "out").exists()


def test_a_picture_that_cannot_be_read_is_none_to_draw(run, tmp_path, monkeypatch):
    def without_the_last(*arguments, **options):
        found = load_category(*arguments, **options)
        return dataclasses.replace(found, train=found.train.chosen(range(3)))

    job, _ = run
    monkeypatch.setattr(search_job, "load_category", without_the_last)
    with pytest.raises(ConfigError, match="--few-shot must be from 1 to 3, the train pictures of 'gear', got 4"):
        run_search_job(dataclasses.replace(job, few_shot=(4,), out=tmp_path))


def test_one_step_of_a_network_tells_its_sizes(monkeypatch, capsys):
    found = check_step(TINY)
    assert found["parameters"] * 4 < found["weights_mb"] * 2**20 < found["parameters"] * 4.3  # buffers are few
    assert found["training_peak_mb"] > found["peak_mb"] > 0
    assert math.isfinite(found["loss"])
    monkeypatch.setattr(sys, "argv", ["x", "--check", "--image-size", "32", "--network.width", "4"])
    monkeypatch.setitem(PRESETS, "laptop", TINY)
    assert run_main(adnas_search.main) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.strip().splitlines())
    assert float(printed["parameters"].replace(",", "")) == found["parameters"]


def test_no_trials_take_no_cluster(tmp_path):
    assert TuneRunner(str(tmp_path), TuneConfig()).run("baselines", [], material=None) == []
    assert not list(tmp_path.iterdir())


def test_the_papers_preset_has_the_papers_sizes():
    paper = PRESETS["paper"]
    assert (paper.image_size, paper.network.width, paper.search.epochs, paper.training.epochs) == (256, 128, 80, 600)


def test_a_wrong_flag_and_a_wrong_folder_are_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path):
    for flags in (["--imagesize", "3"], ["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]):
        monkeypatch.setattr(sys, "argv", ["jobs/adnas_search.py", *flags])
        assert run_main(adnas_search.main) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert told.count("\n") == 1
