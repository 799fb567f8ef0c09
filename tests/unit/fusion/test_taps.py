import numpy as np
import pytest
import torch

from eagleray.errors import ConfigError, TrainingDiverged
from eagleray.fusion.genotype import MODALITIES
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.reconstruction import tap_channels, tap_names
from eagleray.fusion.taps import ReconstructionTraining, TapSet, merit
from eagleray.fusion.training import TrainingConfig
from tests.unit.fusion.conftest import (
    CROP,
    TINY,
    Watched,
    anomalies,
    bowls,
    same_bits,
    same_pictures,
    undisturbed_and_resumed,
)

CONFIG = TrainingConfig(epochs=3, pictures=8, batch_size=4, crop=CROP, learning_rate=0.01)


def training(modality="depth", *, images=None, generator=None, config=CONFIG, seed=0):
    return ReconstructionTraining(
        modality, TINY, config, images or bowls(5), generator or anomalies(config.crop), seed=seed
    )


def trained(modality="depth", **arguments):
    run = training(modality, **arguments)
    while not run.done:
        run.run_epoch()
    return run


@pytest.mark.parametrize("modality", MODALITIES)
def test_training_reduces_the_loss(modality):
    config = TrainingConfig(epochs=5, pictures=24, batch_size=4, crop=CROP, learning_rate=0.02)
    run = training(modality, config=config)
    losses = [run.run_epoch() for _ in range(5)]
    assert run.done
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_training_that_was_stopped_ends_with_the_same_bits(modality):
    (whole, told), (resumed, again) = undisturbed_and_resumed(
        lambda: training(modality), lambda run: run.run_epoch(), stop=1
    )
    assert told == again
    assert same_bits(whole.state(), resumed.state())


def test_both_modalities_see_the_same_anomalies_and_other_ones_each_epoch():
    watched = {modality: Watched(anomalies(share=1.0)) for modality in MODALITIES}
    targets = {}
    for modality, generator in watched.items():
        run = training(modality, generator=generator)
        run.run_epoch()
        run.run_epoch()
        targets[modality] = run.taps(bowls(4, seed=9), generator, count=6, seed=3).target_NHW
    color, depth = (watched[modality].made for modality in MODALITIES)
    assert len(color) == 2 * 8 + 6
    assert all(same_pictures(one, other) for one, other in zip(color, depth, strict=True))
    assert not any(same_pictures(one, other) for one, other in zip(color[:8], color[8:16], strict=True))
    np.testing.assert_array_equal(targets["color"], targets["depth"])


def test_pictures_that_hold_no_number_stop_the_training_of_depth():
    images = bowls(1, side=CROP)
    spoilt = RgbdImages(
        images.color_NYX3, np.full_like(images.height_NYX, np.nan), images.valid_NYX, images.product_NYX
    )
    with pytest.raises(TrainingDiverged, match="the reconstruction of depth is not finite at step 1 "):
        training("depth", images=spoilt).run_epoch()


def test_taps_are_those_of_the_trained_network_on_the_pictures_with_anomalies():
    run, generator = trained(), Watched(anomalies(share=1.0))
    found = run.taps(bowls(4, seed=9), generator, count=6, seed=3)
    assert len(found) == len(generator.made) == 6
    assert list(found.taps) == tap_names("depth")
    for name, channels in tap_channels("depth", TINY.width).items():
        assert (found.taps[name].shape, found.taps[name].dtype) == ((6, channels, 4, 4), np.float16)
    for number, one in enumerate(generator.made):
        picture = RgbdImages(*(np.array([a]) for a in (one.color_YX3, one.height_YX, one.valid_YX, one.mask_YX)))
        with torch.no_grad():
            expected = run.network.eval()(picture.inputs()["depth"]).taps
        for name, maps in expected.items():
            np.testing.assert_allclose(found.taps[name][number], maps[0].numpy(), rtol=2e-3, atol=1e-4)
        share_HW = one.mask_YX.reshape(4, 4, 4, 4).mean(axis=(1, 3))
        np.testing.assert_array_equal(found.target_NHW[number], share_HW >= 0.2)


def test_taps_leave_the_training_as_it_was():
    disturbed, calm = training(), training()
    for run in (disturbed, calm):
        run.run_epoch()
    disturbed.taps(bowls(4), anomalies(), count=4, seed=3)
    assert disturbed.run_epoch() == calm.run_epoch()
    assert same_bits(disturbed.state(), calm.state())


def test_the_seed_of_taps_draws_their_anomalies():
    run = trained()
    one, again, other = (run.taps(bowls(4), anomalies(share=1.0), count=4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.taps["depth.early.0"], again.taps["depth.early.0"])
    assert not np.array_equal(one.target_NHW, other.target_NHW)


def test_joined_taps_come_in_batches_of_single_precision():
    random = np.random.default_rng(0)
    halves = {name: random.normal(size=(5, 2, 3, 3)).astype(np.float16) for name in ("color.early.0", "depth.early.0")}
    target_NHW = random.integers(0, 2, (5, 3, 3)).astype(np.float16)
    color, depth = (TapSet({name: maps}, target_NHW) for name, maps in halves.items())
    taps, target = color.joined(depth).batch(np.array([3, 1]))
    assert taps.keys() == halves.keys()
    for name, maps in taps.items():
        assert maps.dtype == torch.float32
        np.testing.assert_array_equal(maps.numpy(), halves[name][[3, 1]])
    assert target.dtype == torch.float32
    np.testing.assert_array_equal(target.numpy(), target_NHW[[3, 1]])


def grids(*rows):
    return np.array(rows, np.float32).reshape(len(rows), 2, 2)


TARGETS = grids([0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0])


@pytest.mark.parametrize(
    ("logits", "pictures", "patches"),
    [
        (grids([0, 0, 0, 0], [0, 9, 0, 0], [9, 9, 0, 0]), 1, 1),
        (grids([9, 9, 9, 9], [9, 0, 9, 9], [0, 0, 8, 8]), 0.25, 0),  # its highest: 9 against 9 and 8
        (grids([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]), 0.5, 0.5),
        (grids([1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0]), 1, 0.5 * 6 / 9),  # right pictures, wrong patches
        (grids([0, 0, 0, 5], [0, 4, 0, 0], [4, 4, 0, 0]), 0, 8 / 9),
    ],
)
def test_the_merit_is_the_mean_of_the_auroc_of_pictures_and_that_of_patches(logits, pictures, patches):
    assert merit(logits, TARGETS) == pytest.approx((pictures + patches) / 2, abs=1e-9)


@pytest.mark.parametrize("target", [np.zeros((2, 2, 2)), np.ones((2, 2, 2)), grids([0, 1, 0, 0], [1, 0, 0, 0])])
def test_pictures_of_one_kind_have_no_merit(target):
    with pytest.raises(ConfigError, match=r"--anomalies\.share must be such that"):
        merit(np.zeros((2, 2, 2), np.float32), target)
