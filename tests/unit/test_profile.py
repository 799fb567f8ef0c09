"""--profile on every job, without Ray: the stages that a user sees, and nothing else changed."""

import dataclasses

import pytest

pytest.importorskip("ray")

from eagleray.data import write_solids
from eagleray.distributed import mixture_job, stream_job
from eagleray.distributed.mixture_job import MixtureJob, run_mixture_job
from eagleray.distributed.stream_job import StreamJob, run_stream_job
from eagleray.features import FeaturesConfig
from eagleray.reports import read_results
from eagleray.sweeps import sweep_job
from eagleray.sweeps.kinds import Experts
from eagleray.sweeps.search_job import run_search_job
from eagleray.sweeps.sweep_job import run_sweep_job
from tests.trace import parents, read_trace
from tests.unit.adapted_moe.conftest import BANK, DISCRIMINATOR, MIXTURE, ROUTING, tiny_extractor, write_category
from tests.unit.continual.conftest import Workshop
from tests.unit.test_search_job import TINY
from tests.unit.test_sweep_job import SMALL

STAGES = {
    "stream": ["read", "extractor", "stream", "results", "report"],
    "mixture": ["read", "extractor", "embed", "choose", "learn", "results", "report"],
    "sweep": ["read", "extractor", "embed", "trials", "results", "report"],
    "search": [
        *("read", "train reconstruction", "search architectures", "train networks from scratch", "measure"),
        *("results", "report"),
    ],
}


@pytest.fixture(autouse=True)
def _tiny_extractor(monkeypatch):
    for module in (sweep_job, stream_job, mixture_job):
        monkeypatch.setattr(module, "build_extractor", lambda _: tiny_extractor())


@pytest.fixture
def jobs(tmp_path):
    """A job by its name, and what runs it."""
    options = {"out": tmp_path / "out", "address": "none"}

    def products():
        workshop = Workshop(tmp_path)
        for name in ("bolt", "nut"):
            workshop.product(name, masks=False)
        return {**options, "data": workshop.root / "data", **SMALL}

    def stream():
        return StreamJob(**products()), run_stream_job

    def sweep():
        return Experts(**products(), values=(1,), orders=1), run_sweep_job

    def mixture():
        write_category(tmp_path / "data/cloth")
        parts = {"mixture": MIXTURE, "routing": ROUTING, "discriminator": DISCRIMINATOR, "bank": BANK}
        features = FeaturesConfig(image_size=64)
        return MixtureJob(**options, data=tmp_path / "data", features=features, expert="bank", **parts), run_mixture_job

    def search():
        counts = {"num_train": 4, "num_validation": 3, "num_test_good": 2, "num_test_defective": 2}
        write_solids(tmp_path / "data", image_size=48, classes=("gear",), **counts)
        cut = {"baselines": ("random",), "retrainings": 1, "few_shot": ()}
        return dataclasses.replace(TINY, **options, data=tmp_path / "data", **cut), run_search_job

    return {"stream": stream, "sweep": sweep, "mixture": mixture, "search": search}


@pytest.mark.parametrize("name", STAGES)
def test_a_jobs_stages_are_all_of_its_time(jobs, name):
    job, run = jobs[name]()
    results = run(dataclasses.replace(job, profile=True))
    trace = read_trace(job.out / "timeline.json")
    assert list(trace.rows) == [("driver", "stages")]
    found = parents(trace.rows["driver", "stages"])
    (whole, _), *_ = found
    stages = [event for event, outer in found if outer is whole]
    assert whole["name"] == results["job"]
    assert [event["name"] for event in stages] == STAGES[name]
    assert 0.9 * whole["dur"] < sum(event["dur"] for event in stages) <= whole["dur"]
    assert whole["dur"] >= 1e6 * results["seconds"]["total"]


def test_a_run_may_be_gone_on_with_to_profile_it(jobs):
    job, run = jobs["sweep"]()
    before = run(job)
    assert not (job.out / "timeline.json").exists()
    after = run(dataclasses.replace(job, profile=True, resume=True))
    assert (job.out / "timeline.json").exists()
    assert after["config"] == before["config"] == read_results(job.out)["config"]
    assert after["points"] == before["points"]
