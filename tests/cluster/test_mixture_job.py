"""The mixture job on Ray and in one process: the same scores, and the same model, to the bit."""

import contextlib
import dataclasses

import pytest

from eagleray.banks import BankConfig
from eagleray.distributed import timeline
from eagleray.distributed.mixture_job import MixtureJob, run_mixture_job
from eagleray.distributed.ray_pool import PoolConfig
from eagleray.distributed.ray_trainer import TrainConfig
from eagleray.experts.discriminator_training import DiscriminatorConfig
from eagleray.features import FeaturesConfig
from eagleray.reports import read_results, read_scores
from eagleray.routing import RoutingConfig
from eagleray.storage import ModelStore
from tests.unit.adapted_moe.conftest import MIXTURE, write_category

pytestmark = pytest.mark.usefixtures("ray_here")


def test_a_cluster_gives_the_scores_and_the_model_of_one_process(tmp_path, monkeypatch):
    write_category(tmp_path / "data/cloth")
    job = MixtureJob(
        data=tmp_path / "data",
        out=tmp_path / "alone",
        address="none",
        expert="discriminator",
        mixture=MIXTURE,
        features=FeaturesConfig(image_size=64),
        routing=RoutingConfig(epochs=2, channels=8),
        discriminator=DiscriminatorConfig(epochs=2, hidden=8),
        bank=BankConfig(whitening_directions=3),
        pool=PoolConfig(embed_workers=2),
        train=TrainConfig(slots=2, router_workers=2, checkpoint_epochs=1),
    )
    run_mixture_job(job)
    spread = dataclasses.replace(job, out=tmp_path / "spread", address=None)
    monkeypatch.setattr(timeline, "cluster", lambda _: contextlib.nullcontext())  # the session's own Ray
    run_mixture_job(spread)
    assert read_scores(spread.out).equals(read_scores(job.out))
    one, other = (ModelStore.open(folder / "model").current() for folder in (job.out, spread.out))
    assert one == other
    figures = [read_results(folder) for folder in (job.out, spread.out)]
    assert figures[0]["classes"] == figures[1]["classes"]
    assert figures[0]["baselines"] == figures[1]["baselines"]
