"""Everything that trials of a tiny study share."""

import dataclasses

import pytest

from eagleray.adnas import Material, ReconstructRun, ReconstructSpec
from eagleray.fusion.anomalies import AnomalyConfig
from eagleray.fusion.search import SearchConfig, SearchData
from eagleray.fusion.training import TrainingConfig
from tests.unit.fusion.conftest import CROP, TINY, bowls, one_thread

__all__ = ["one_thread"]


def tiny_material(**fields):
    """Pictures of bowls, and settings that end in a second."""
    training = TrainingConfig(epochs=2, pictures=8, batch_size=4, crop=CROP, learning_rate=0.01)
    material = Material(
        train=bowls(5),
        validation=bowls(3, seed=1),
        test=bowls(4, seed=2),
        train_counts=(5,),
        validation_counts=(3,),
        network=TINY,
        anomalies=AnomalyConfig(areas=(0.1, 0.3), heights=(1.0, 2.0), num_textures=4),
        training=training,
        reconstruction=dataclasses.replace(training, pictures=4),
        search=SearchConfig(epochs=3, batch_size=4, warmup=0, candidate_epochs=1, population=2),
        search_pictures=(8, 10),
    )
    return dataclasses.replace(material, **fields)


def draw_taps(material):
    """Of both modalities, by networks that nothing was learned with."""
    color, depth = (
        ReconstructRun(ReconstructSpec(modality=modality, seed=0), material).taps() for modality in ("color", "depth")
    )
    return SearchData(train=color.train.joined(depth.train), validation=color.validation.joined(depth.validation))


@pytest.fixture(scope="session")
def material():
    """With taps."""
    bare = tiny_material()
    return dataclasses.replace(bare, taps=draw_taps(bare))
