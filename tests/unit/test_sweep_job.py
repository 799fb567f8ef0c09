import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ray")

from eagleray.banks import BankConfig
from eagleray.console import run_main
from eagleray.continual import MecadConfig, stream_figures
from eagleray.continual.learner import held_out
from eagleray.data import open_dataset
from eagleray.data.files import image_digests
from eagleray.distributed import stream_job
from eagleray.distributed.stream_job import StreamJob, run_stream_job
from eagleray.errors import ConfigError, EagleRayError
from eagleray.features import FeaturesConfig
from eagleray.reports import read_results
from eagleray.storage import ModelStore
from eagleray.sweeps import sweep_job
from eagleray.sweeps.kinds import Budget, Experts, SpaceSearch, Threshold, presets
from eagleray.sweeps.sweep_job import run_sweep_job
from eagleray.sweeps.tune_runner import TuneConfig
from eagleray.trials import LocalRunner
from jobs import sweep
from tests.unit.adapted_moe.conftest import SIDE, tiny_extractor
from tests.unit.continual.conftest import Workshop

NAMES = ("bolt", "disc", "nut")
SMALL = {
    "features": FeaturesConfig(image_size=SIDE),
    "mecad": MecadConfig(num_experts=3, expert_capacity=2, rows_per_class=60, rows_per_expert=120),
    "bank": BankConfig(num_prototypes=3, whitening_directions=0),
}


@pytest.fixture(autouse=True)
def _tiny_extractor(monkeypatch):
    for module in (sweep_job, stream_job):
        monkeypatch.setattr(module, "build_extractor", lambda _: tiny_extractor())


@pytest.fixture(scope="session")
def products(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("products"))
    for name in NAMES:
        workshop.product(name, masks=False)
    return workshop.root / "data"


@pytest.fixture
def options(products, tmp_path):
    return {"data": products, "out": tmp_path / "out", "address": "none", **SMALL}


def settled(results):
    """What of a sweep is not a measure of time or memory."""
    trials = [{key: value for key, value in trial.items() if key != "seconds"} for trial in results["trials"]]
    return trials, results["points"]


def test_every_point_is_learned_in_every_order_with_every_seed(options):
    results = run_sweep_job(Experts(**options, values=(1, 3), orders=2, seeds=2, seed=5))
    assert len(results["trials"]) == 8
    told = {(t["changes"]["mecad.num_experts"], t["order"], t["seed"]) for t in results["trials"]}
    assert told == {(count, order, seed) for count in (1, 3) for order in (0, 1) for seed in (5, 6)}
    assert results["sweep"]["orders"][0] == list(NAMES)
    for trial in results["trials"]:
        held = [name for expert in trial["experts"].values() for name in expert["classes"]]
        assert sorted(held) == sorted(trial["classes"]) == list(NAMES)
        assert len(trial["experts"]) <= trial["changes"]["mecad.num_experts"]
        assert trial["ended"] == "complete"
    (one, three) = results["points"]
    assert one["trials"] == three["trials"] == 4
    mine = [t["image_auroc"] for t in results["trials"] if t["point"] == 0]
    assert one["image_auroc"]["mean"] == pytest.approx(np.mean(mine))
    assert one["image_auroc"]["std"] == pytest.approx(np.std(mine, ddof=1))
    assert read_results(options["out"]) == results
    assert pq.read_table(options["out"] / "trials.parquet").num_rows == 8
    assert pq.read_table(options["out"] / "classes.parquet").num_rows == 24
    assert (options["out"] / "report.html").stat().st_size > 10_000


def test_a_trial_finds_and_keeps_what_the_stream_job_does(options, tmp_path):
    run_sweep_job(Experts(**options, values=(2,), orders=1))
    alone = run_stream_job(
        StreamJob(**options | {"out": tmp_path / "alone", "mecad": dataclasses.replace(SMALL["mecad"], num_experts=2)})
    )
    (trial,) = read_results(options["out"])["trials"]
    assert {name: figures["image_auroc"] for name, figures in trial["classes"].items()} == {
        name: figures["image_auroc"] for name, figures in alone["classes"].items()
    }
    assert trial["forgetting"] == alone["mean"]["forgetting"]
    assert trial["step_average"] == alone["step_average"]
    assert trial["routing_accuracy"] == alone["routing_accuracy"]
    stores = [
        ModelStore.open(path)
        for path in (options["out"] / "models" / trial["name"] / "model", tmp_path / "alone/model")
    ]
    assert stores[0].current() == stores[1].current()


def test_forgetting_of_an_expert_is_that_of_its_classes(options):
    options["mecad"] = MecadConfig(
        num_experts=1, expert_capacity=3, rows_per_class=60, rows_per_expert=66, memory="replay"
    )
    results = run_sweep_job(Experts(**options, values=(1,), orders=1))
    (trial,) = results["trials"]
    steps = stream_steps(options["out"] / "models" / trial["name"])
    assert trial["experts"]["0"]["forgetting"] == [one["mean_forgetting"] for one in stream_figures(steps)["stream"]]
    assert trial["experts"]["0"]["forgetting"][-1] is not None


def stream_steps(folder: Path):
    return [json.loads(path.read_text()) for path in sorted((folder / "progress").glob("0*.json"))]


def test_a_sweep_is_gone_on_with_and_learns_nothing_twice(options, monkeypatch):
    first = run_sweep_job(Threshold(**options, values=(0.0, 1.0), orders=1))
    with pytest.raises(ConfigError, match="--resume"):
        run_sweep_job(Threshold(**options, values=(0.0, 1.0), orders=1))
    with pytest.raises(ConfigError, match="--resume"):
        run_sweep_job(Threshold(**options, values=(0.5, 1.0), orders=1, resume=True))
    before = {path: path.stat().st_mtime_ns for path in (options["out"] / "models").rglob("*.arrow")}
    again = run_sweep_job(Threshold(**options, values=(0.0, 1.0), orders=1, resume=True))
    assert settled(again) == settled(first)
    assert before == {path: path.stat().st_mtime_ns for path in (options["out"] / "models").rglob("*.arrow")}


def test_a_trial_can_be_kept_before_its_first_step_and_when_a_step_fails(options, tmp_path, monkeypatch):
    given = []

    class Noting(LocalRunner):
        def run(self, name, specs, material, **how):
            given.append((specs, material))
            return super().run(name, specs, material, **how)

    monkeypatch.setattr(sweep_job, "LocalRunner", Noting)
    run_sweep_job(Experts(**options, values=(2,), orders=1))
    ((spec,), material) = given.pop()
    material = dataclasses.replace(material, folder=str(tmp_path / "again"))
    trial = material.begin(spec)
    trial.restore(trial.state())
    trial.step()
    kept = trial.state()

    def gone(_):
        raise LookupError("of a node that died")

    trial = dataclasses.replace(material, fetch=gone).begin(spec)
    trial.restore(kept)
    with pytest.raises(LookupError):
        trial.step()
    assert trial.state() == kept


def test_settings_that_the_extractor_refuses_leave_the_folder_free(options, monkeypatch):
    def refuse(_):
        raise ConfigError("--features.weights", "a file that is there", "nowhere.pt")

    monkeypatch.setattr(sweep_job, "build_extractor", refuse)
    with pytest.raises(ConfigError, match="nowhere"):
        run_sweep_job(Experts(**options, values=(2,), orders=1))
    assert not options["out"].exists()


def test_points_that_hold_out_other_shares_are_decided_on_pictures_that_none_of_them_learns(options, tmp_path):
    (tmp_path / "space.yaml").write_text("calibration.share: [0.1, 0.5]\n")
    run_sweep_job(SpaceSearch(**options, space=tmp_path / "space.yaml"))
    for category in open_dataset(options["data"], ()):
        digests = image_digests([sample.path for sample in category.train])
        painted = {path.stem for path in (options["out"] / "anomalies" / category.name).iterdir()}
        assert painted == held_out(tuple(digests), 0.1, 0)


def test_a_space_is_decided_by_synthetic_anomalies_alone(options, tmp_path):
    (tmp_path / "space.yaml").write_text("mecad.rows_per_class: [8, 60]\nscoring.top_share: [0.0, 1.0]\n")
    results = run_sweep_job(SpaceSearch(**options, space=tmp_path / "space.yaml"))
    merits = [point["merit"]["mean"] for point in results["points"]]
    assert len(merits) == 4
    assert all(0.5 < merit <= 1 for merit in merits)
    assert results["chosen"] == int(np.argmax(merits))
    assert results["config"]["space"] == str(tmp_path / "space.yaml")
    anomalies = sorted((options["out"] / "anomalies").glob("*/*.png"))
    assert {path.parent.name for path in anomalies} == set(NAMES)
    for trial in results["trials"]:  # no test picture of these had a part in it
        assert trial["merit"] is not None


def test_points_with_other_features_are_embedded_for_themselves(options, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(sweep_job, "build_extractor", lambda features: built.append(features) or tiny_extractor())
    (tmp_path / "space.yaml").write_text("features.unit_taps: [true, false]\nmecad.num_experts: [2, 3]\n")
    results = run_sweep_job(SpaceSearch(**options, space=tmp_path / "space.yaml"))
    assert len(results["trials"]) == 4
    assert [features.unit_taps for features in built] == [True, False]


def test_settings_that_no_learner_takes_are_refused_before_anything_is_computed(options):
    with pytest.raises(EagleRayError, match="rows-per-class"):
        run_sweep_job(Budget(**options | {"bank": BankConfig(whitening_directions=64)}, values=(10, 400)))
    assert not (options["out"] / "extractor").exists()


def test_too_few_places_for_all_classes_are_told_before_anything_is_computed(options, tmp_path):
    (tmp_path / "space.yaml").write_text("mecad.num_experts: [3, 1]")
    with pytest.raises(ConfigError, match="point num_experts=1 must be room for 3 classes"):
        run_sweep_job(SpaceSearch(**options, space=tmp_path / "space.yaml"))
    assert not (options["out"] / "extractor").exists()


def test_a_preset_brings_the_stream_jobs_settings():
    assert presets(Experts)["paper"].mecad.memory == "replay"
    assert presets(Experts)["best"].mecad == MecadConfig()


def test_help_of_a_space_needs_no_file(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sweep.py", "space", "--help"])
    with pytest.raises(SystemExit, match="0"):
        sweep.main()
    assert "--samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "experts, threshold, budget, space, topk"),
        (["space"], "YAML file"),
        (["space", "--samples", "3"], "YAML file"),
        (["space", "nowhere.yaml", "--address", "none"], "nowhere.yaml"),
        (["experts", "--orders", "0"], "--orders"),
        (["experts", "--seeds", "0"], "--seeds"),
        (["experts", "--values", "0", "--address", "none"], "--values"),
        (["topk", "--top-k", "-1"], "--top-k"),
        (["space", "nowhere.yaml", "--samples", "-1", "--address", "none"], "--samples"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(words, told, products, tmp_path, monkeypatch, capsys):
    more = [] if words[0] == "nonsense" else ["--data", str(products), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["sweep.py", *words, *more])
    assert run_main(sweep.main) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert told in error


def test_mlflow_is_asked_for_only_where_it_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="pip install mlflow"):
        TuneConfig(mlflow="http://127.0.0.1:5000")


def test_the_command_prints_its_table_and_where_the_report_is(options, monkeypatch, capsys):
    flags = ["--data", str(options["data"]), "--out", str(options["out"]), "--address", "none", "--orders", "1"]
    flags += ["--bank.whitening-directions", "0", "--mecad.rows-per-expert", "400", "--values", "1", "2"]
    monkeypatch.setattr(sys, "argv", ["sweep.py", "experts", *flags])
    assert run_main(sweep.main) == 0
    told = capsys.readouterr().out
    assert str(options["out"] / "report.html") in told
    assert "image" in told.lower()
