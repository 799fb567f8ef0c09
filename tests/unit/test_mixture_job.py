import dataclasses
import json
import sys

import numpy as np
import pytest

pytest.importorskip("ray")

from eagleray.banks import BankConfig
from eagleray.console import parse_flags, run_main
from eagleray.continual import ScoringSession
from eagleray.distributed import mixture_job
from eagleray.distributed.mixture_job import PRESETS, MixtureJob, run_mixture_job
from eagleray.errors import ConfigError, EagleRayError
from eagleray.features import FeaturesConfig, load_image
from eagleray.mixture import Mixture
from eagleray.reports import read_results, read_scores
from eagleray.storage import ModelStore
from jobs import adapted_moe
from tests.unit.adapted_moe.conftest import (
    BANK,
    DISCRIMINATOR,
    MIXTURE,
    ROUTING,
    SIDE,
    tiny_extractor,
    write_category,
    write_subclass,
)


@pytest.fixture(autouse=True)
def _tiny_extractor(monkeypatch):
    monkeypatch.setattr(mixture_job, "build_extractor", lambda _: tiny_extractor())


@pytest.fixture
def job(tmp_path):
    """On two categories, in this process; paper has one subclass."""
    write_category(tmp_path / "data/cloth")
    write_category(tmp_path / "data/paper", seen=("white",), unseen=("brown",))
    return MixtureJob(
        data=tmp_path / "data",
        out=tmp_path / "out",
        address="none",
        mixture=MIXTURE,
        features=FeaturesConfig(image_size=SIDE),
        routing=ROUTING,
        discriminator=DISCRIMINATOR,
        bank=BANK,
    )


def again(job, **changes):
    return dataclasses.replace(job, resume=True, **changes)


def written(job):
    """What was found, without what it took."""
    results = read_results(job.out)
    return {name: value for name, value in results.items() if name not in ("seconds", "peak_rss_mb", "processes")}


def test_a_run_leaves_results_that_validate_scores_a_report_and_a_model(job):
    returned = run_mixture_job(job)
    results, scores = read_results(job.out), read_scores(job.out)
    assert json.loads(json.dumps(returned["classes"])) == results["classes"]
    assert (results["job"], results["order"], results["model_version"]) == ("adapted_moe", ["cloth", "paper"], 2)
    assert set(results["config"]["designs"]) == {"cloth", "paper"}
    assert {row["category"] for row in results["evidence"]} == {"cloth"}  # of paper nothing can be left out
    assert [row["candidate"] for row in results["evidence"] if row["chosen"]] == [results["config"]["designs"]["cloth"]]
    measured = {(row["category"], row["name"]) for row in results["baselines"]}
    assert measured >= {(category, name) for category in ("cloth", "paper") for name in ("bank_plain", "bank")}
    assert len(scores) == 6 * (4 + 2)
    assert "cloth" in (job.out / "report.html").read_text()
    assert ModelStore.open(job.out / "model").versions() == (1, 2)


def test_the_figures_are_those_of_the_model_that_was_kept(job):
    run_mixture_job(dataclasses.replace(job, expert="discriminator", top_k=0))
    session = ScoringSession.open(ModelStore.open(job.out / "model"), false_alarm_rate=job.evaluation.false_alarm_rate)
    for row in read_scores(job.out).to_pylist():
        finding = session.score(load_image(row["path"]), category=row["class"])
        assert (finding.score, finding.p_value, finding.anomalous) == (row["score"], row["p_value"], row["flagged"])
        assert finding.expert == row["routed_expert"]


def test_a_second_run_into_the_same_folder_is_refused_unless_it_resumes(job):
    run_mixture_job(job)
    before, scores = written(job), (job.out / "scores.parquet").read_bytes()
    with pytest.raises(ConfigError, match=r"^--out must be a new folder, or --resume") as caught:
        run_mixture_job(job)
    assert len(str(caught.value).splitlines()) == 1
    (job.out / "scores.parquet").unlink()
    run_mixture_job(again(job))
    assert (job.out / "scores.parquet").read_bytes() == scores
    assert written(job) == before
    assert ModelStore.open(job.out / "model").versions() == (1, 2)


def test_a_run_that_was_refused_before_it_learned_anything_can_be_typed_again(job):
    with pytest.raises(ConfigError, match=r"^--top-k"):
        run_mixture_job(dataclasses.replace(job, expert="discriminator", top_k=99))
    run_mixture_job(job)
    assert ModelStore.open(job.out / "model").versions() == (1, 2)


def test_a_run_that_died_between_two_categories_ends_as_if_undisturbed(job, monkeypatch, tmp_path):
    job = dataclasses.replace(job, expert="discriminator")
    undisturbed = dataclasses.replace(job, out=tmp_path / "calm")
    run_mixture_job(undisturbed)
    keep = mixture_job.keep

    class Stopped(Exception):
        """The process died."""

    def dying(built, *arguments):
        if built.data.name == "paper":
            raise Stopped
        return keep(built, *arguments)

    monkeypatch.setattr(mixture_job, "keep", dying)
    with pytest.raises(Stopped):
        run_mixture_job(job)
    monkeypatch.undo()
    monkeypatch.setattr(mixture_job, "build_extractor", lambda _: tiny_extractor())
    run_mixture_job(again(job))
    assert read_scores(job.out).equals(read_scores(undisturbed.out))
    one, other = (ModelStore.open(folder / "model") for folder in (job.out, undisturbed.out))
    assert one.current().digests() == other.current().digests()


def test_a_resume_with_other_settings_is_refused(job):
    run_mixture_job(job := dataclasses.replace(job, expert="bank", categories=("paper",)))
    with pytest.raises(ConfigError, match="rows"):
        run_mixture_job(again(job, mixture=dataclasses.replace(MIXTURE, rows=61)))


def test_the_ablation_is_measured_over_its_repeats_and_reported(job):
    run_mixture_job(dataclasses.replace(job, expert="bank", ablation=True, repeats=2, categories=("cloth",)))
    results = read_results(job.out)
    assert len(results["ablation"]) == 7
    assert {len(row["image_auroc"]["values"]) for row in results["ablation"]} == {2}
    assert [row["k"] for row in results["top_k"]] == [1, 2, 3]


def test_more_experts_than_a_category_has_cannot_be_asked(job):
    with pytest.raises(ConfigError, match=r"^--top-k must be at most 3, the experts of category 'cloth', got 4$"):
        run_mixture_job(dataclasses.replace(job, top_k=4))


def test_a_network_that_diverges_is_one_line_and_exit_code_2_and_a_lower_rate_cures_it(job, capsys):
    wild = dataclasses.replace(DISCRIMINATOR, epochs=4, projection_lr=1e30, discriminator_lr=1e30)
    diverging = dataclasses.replace(job, expert="discriminator", discriminator=wild)
    assert run_main(lambda: run_mixture_job(diverging)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "is not finite at step" in line
    assert "lower the rate and run again with --resume" in line
    run_mixture_job(again(diverging, discriminator=DISCRIMINATOR))
    assert set(read_results(job.out)["classes"]) == {"cloth", "paper"}


def test_data_that_name_no_subclasses_have_them_found(job, tmp_path):
    """In the layout of MVTec AD; half of the pictures are of another kind."""
    folder = tmp_path / "mvtec/cloth"
    write_subclass(folder, train=0)
    for kind in ("felt", "linen"):
        write_subclass(tmp_path / kind, train=9, good=0, defective=0)
        (folder / "train/good").mkdir(parents=True, exist_ok=True)
        for path in (tmp_path / kind / "train/good").iterdir():
            path.rename(folder / "train/good" / f"{kind}-{path.name}")
    run_mixture_job(dataclasses.replace(job, data=tmp_path / "mvtec", expert="discriminator"))
    results = read_results(job.out)
    assert results["classes"]["cloth"]["experts"] == 2
    assert results["classes"]["cloth"]["routing_accuracy"] is None
    assert [(row["subclass"], row["seen"]) for row in results["subclasses"]] == [("cloth", True)]
    assert {row["routed_class"] for row in read_scores(job.out).to_pylist()} <= {"cloth-1", "cloth-2"}


def test_good_pictures_alone_make_a_model_without_figures(job, tmp_path):
    write_subclass(tmp_path / "plain/felt", train=8, good=0, defective=0)
    run_mixture_job(dataclasses.replace(job, data=tmp_path / "plain"))
    results = read_results(job.out)
    figures = results["classes"]["felt"]
    assert (figures["image_auroc"], figures["reasons"]["image_auroc"]) == (None, "no test images")
    assert results["subclasses"] == []
    assert len(read_scores(job.out)) == 0
    assert ModelStore.open(job.out / "model").current().classes["felt"].num_images == 8


def test_the_loss_that_is_asked_for_trains_the_network_that_is_kept(job):
    digests = set()
    for loss in ("center", "softmax"):
        out = job.out / loss
        run_mixture_job(dataclasses.replace(job, out=out, expert="bank", loss=loss, categories=("cloth",)))
        store = ModelStore.open(out / "model")
        blob = store.current().classes["cloth"].blob
        digests.add(Mixture.from_bytes(store.get_blob(blob).to_pybytes(), "here").network.to_bytes())
    assert len(digests) == 2


def test_flags_make_the_job():
    job = parse_flags(
        PRESETS,
        [
            *("--no-moe", "--no-tta", "--no-norm", "--loss", "softmax", "--top-k", "2", "--adaption", "mean"),
            *("--categories", "cloth", "metal", "--train.slots", "2", "--mixture.rows", "100"),
            *("--discriminator.epochs", "3", "--expert", "bank"),
        ],
        description="A job.",
    )
    assert (job.moe, job.tta, job.norm, job.top_k, job.adaption, job.expert) == (False, False, False, 2, "mean", "bank")
    assert (job.loss, job.train.slots, job.mixture.rows, job.discriminator.epochs) == ("softmax", 2, 100, 3)
    assert job.categories == ("cloth", "metal")
    assert (job.preset, job.bank) == ("best", BankConfig())


def test_the_papers_preset_is_discriminators_on_its_features():
    job = parse_flags(PRESETS, ["--preset", "paper"], description="A job.")
    assert job == PRESETS["paper"]
    assert (job.expert, job.adaption, job.moe, job.tta, job.norm) == ("discriminator", "std", True, True, True)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--top-k", "-1"], "--top-k"),
        (["--repeats", "0"], "--repeats"),
        (["--seed", "4294967295"], "--seed"),
        (["--mixture.holdout-share", "1"], "--mixture.holdout-share"),
        (["--mixture.rows", "1"], "--mixture.rows"),
        (["--discriminator.epochs", "0"], "epochs"),
        (["--loss", "hinge"], "hinge"),
        (["--routing.loss", "softmax"], "--loss sets it"),
        (["--train.gpus-per-slot", "2"], "--train.gpus-per-slot"),
        (["--adaption", "all"], "all"),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(flags, told):
    with pytest.raises(EagleRayError) as caught:
        parse_flags(PRESETS, flags, description="A job.")
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_entry_point_prints_figures_and_where_they_lie(job, monkeypatch, capsys):
    flags = ["--data", str(job.data), "--out", str(job.out), "--address", "none", "--categories", "paper"]
    flags += ["--features.image-size", str(SIDE), "--discriminator.epochs", "1", "--discriminator.hidden", "8"]
    monkeypatch.setattr(sys, "argv", ["adapted_moe.py", *flags])
    assert run_main(adapted_moe.main) == 0
    printed = capsys.readouterr().out
    assert "paper" in printed
    assert "report.html" in printed
    assert np.isfinite(read_results(job.out)["classes"]["paper"]["threshold"])
