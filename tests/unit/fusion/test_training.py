import math

import numpy as np
import pytest
import torch
from torch import nn

from eagleray.errors import ConfigError, TrainingDiverged
from eagleray.fusion.images import RgbdImages, corrupted
from eagleray.fusion.losses import focal_loss, ssim_loss
from eagleray.fusion.network import FusionNetwork, NetworkConfig
from eagleray.fusion.training import (
    NetworkTraining,
    Optimizer,
    TrainingConfig,
    draw,
    patch_scores,
    reconstruction_loss,
    seeded,
)
from tests.unit.fusion.conftest import (
    BOTH,
    CROP,
    SIDE,
    TINY,
    Watched,
    anomalies,
    bowls,
    same_bits,
    same_pictures,
    undisturbed_and_resumed,
    wake,
)

CONFIG = TrainingConfig(epochs=3, pictures=12, batch_size=4, crop=CROP, learning_rate=0.01)


def training(images=None, *, config=CONFIG, generator=None, seed=0):
    generator = generator or anomalies(config.crop)
    return NetworkTraining(BOTH, TINY, config, images or bowls(5), generator, seed=seed)


def spoilt(images):
    """A point is no number."""
    height_NYX = images.height_NYX.copy()
    height_NYX[0, SIDE // 2, SIDE // 2] = np.nan
    return RgbdImages(images.color_NYX3, height_NYX, images.valid_NYX, images.product_NYX)


def test_training_reduces_the_loss():
    run = training(config=TrainingConfig(epochs=5, pictures=24, batch_size=4, crop=CROP, learning_rate=0.02))
    losses = [run.run_epoch() for _ in range(5)]
    assert run.done
    assert losses[-1] < 0.8 * losses[0]


def test_a_training_that_was_stopped_ends_with_the_same_bits():
    (whole, told), (resumed, again) = undisturbed_and_resumed(training, lambda run: run.run_epoch(), stop=1)
    assert told == again
    assert same_bits(whole.state(), resumed.state())
    assert resumed.epoch == CONFIG.epochs


def test_the_seed_decides_every_weight():
    one, again, other = (training(seed=seed) for seed in (0, 0, 1))
    for run in (one, again, other):
        run.run_epoch()
    assert same_bits(one.state(), again.state())
    assert not same_bits(one.state(), other.state())


def test_each_epoch_shows_other_anomalies():
    watched = Watched(anomalies(share=1.0))
    run = training(generator=watched)
    run.run_epoch()
    run.run_epoch()
    assert len(watched.made) == 24
    assert not any(same_pictures(one, other) for one, other in zip(watched.made[:12], watched.made[12:], strict=True))


def test_a_picture_that_holds_no_number_stops_the_training():
    run = training(spoilt(bowls(1)), config=TrainingConfig(epochs=3, pictures=12, batch_size=4, crop=SIDE))
    with pytest.raises(TrainingDiverged, match="the loss of the network is not finite at step 1 "):
        run.run_epoch()


def test_a_rate_beyond_all_measure_stops_the_training_with_the_rate():
    run = training(config=TrainingConfig(epochs=3, pictures=12, batch_size=4, crop=CROP, learning_rate=1e30))
    with pytest.raises(TrainingDiverged, match=r"at step [23] with learning rate \d"):
        run.run_epoch()


@pytest.mark.parametrize(
    "weights",
    [
        {"ssim_weight": 2.0, "color_weight": 0.0, "depth_weight": 0.0, "focal_weight": 0.0},
        {"ssim_weight": 0.0, "color_weight": 3.0, "depth_weight": 0.0, "focal_weight": 0.0},
        {"ssim_weight": 0.0, "color_weight": 0.0, "depth_weight": 4.0, "focal_weight": 0.0},
        {"ssim_weight": 0.0, "color_weight": 0.0, "depth_weight": 0.0, "focal_weight": 5.0},
        {"ssim_weight": 0.5, "color_weight": 1.5, "depth_weight": 2.5, "focal_weight": 3.5},
    ],
)
def test_the_loss_is_the_sum_of_its_parts_by_their_weights(weights):
    run = training(config=TrainingConfig(crop=CROP, **weights))
    run.network.eval()
    batch = corrupted(bowls(4, side=CROP), anomalies(share=1.0), np.random.default_rng(0))
    with torch.no_grad():
        logits_NHW, pictures = run.network(batch.inputs)
        found = run.loss(batch).item()
        parts = {
            "ssim_weight": ssim_loss(pictures["color"], batch.clean["color"]).item(),
            "color_weight": (pictures["color"] - batch.clean["color"]).square().mean().item(),
            "depth_weight": (pictures["depth"] - batch.clean["depth"]).square().mean().item(),
            "focal_weight": focal_loss(logits_NHW, batch.target_NHW).item(),
        }
    assert found == pytest.approx(sum(weights[name] * part for name, part in parts.items()), rel=1e-5)


def test_a_network_of_depth_alone_has_no_loss_of_colour():
    found = {"depth": torch.zeros(1, 3, 8, 8)}
    wanted = {"depth": torch.full((1, 3, 8, 8), 2.0), "color": torch.ones(1, 3, 8, 8)}
    assert reconstruction_loss(found, wanted, TrainingConfig(depth_weight=3.0)).item() == pytest.approx(12)


def test_the_rate_falls_along_half_a_cosine():
    weight = nn.Parameter(torch.zeros(()))
    optimizer = Optimizer([weight], 0.5, network="one weight")
    moves = []
    for done in (0.0, 0.25, 0.5, 0.75, 1.0):
        before = weight.item()
        assert optimizer.step(3 * weight, done) == pytest.approx(3 * before)
        moves.append(before - weight.item())  # Adam moves by its rate where gradients do not change
    expected = [0.5 * (1 + math.cos(math.pi * done)) / 2 for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert moves == pytest.approx(expected, abs=1e-5)


def test_a_step_that_is_refused_changes_nothing():
    weight = nn.Parameter(torch.ones(()))
    optimizer = Optimizer([weight], 0.5, network="one weight")
    optimizer.step(weight * 1, 0.0)
    kept = weight.item()
    with pytest.raises(TrainingDiverged, match=r"one weight is not finite at step 2 with learning rate 0\.25;") as told:
        optimizer.step(weight * math.inf, 0.5)
    assert weight.item() == kept
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("images", "pictures", "batch"), [(5, 12, 4), (3, 3, 2), (7, 4, 16), (2, 9, 4), (1, 5, 2)])
def test_an_epoch_shows_all_pictures_in_turn_in_batches_of_about_one_size(images, pictures, batch):
    batches = draw(images, pictures, batch, np.random.default_rng(0))
    numbers = np.concatenate(batches)
    assert len(numbers) == pictures
    times = np.bincount(numbers, minlength=images)
    assert times.max() - times.min() <= 1
    sizes = [len(one) for one in batches]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 1.5 * batch


def test_an_epoch_shows_pictures_in_an_order_of_its_own():
    first, second = (np.concatenate(draw(50, 50, 10, np.random.default_rng((0, epoch)))) for epoch in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.sort(first))


def test_first_weights_leave_torchs_own_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(0):
        ours = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(0):
        assert torch.equal(torch.rand(3), ours)
    with seeded(1):
        assert not torch.equal(torch.rand(3), ours)


def test_patch_scores_are_each_pictures_logits_to_the_bit_however_many_pictures_there_are():
    size = NetworkConfig(width=16, channels=32)  # networks this large give other last bits for a batch
    network, images = wake(FusionNetwork(BOTH, size)), bowls(3, side=128)
    expected = [network.scores(images.chosen([number]).inputs())[0].detach().numpy() for number in range(3)]
    found = patch_scores(network.train(), images)
    assert found.shape == (3, 32, 32)
    np.testing.assert_array_equal(found, expected)
    assert np.std(expected) > 0


def test_no_pictures_have_no_patch_scores():
    assert patch_scores(FusionNetwork(BOTH, TINY), bowls(5).chosen([])).shape == (0, 8, 8)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("pictures", 0),
        ("batch_size", 1),
        ("crop", 60),
        ("crop", 0),
        ("crop", -8),
        ("learning_rate", 0.0),
        ("learning_rate", math.inf),
        ("ssim_weight", -0.1),
        ("color_weight", math.nan),
        ("depth_weight", -1.0),
        ("focal_weight", math.inf),
    ],
)
def test_a_wrong_setting_is_named_by_its_flag(field, value):
    with pytest.raises(ConfigError, match=f"--training.{field.replace('_', '-')} must be"):
        TrainingConfig(**{field: value})
