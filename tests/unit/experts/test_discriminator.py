import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from eagleray.errors import ConfigError, StoreCorrupt, TrainingDiverged
from eagleray.experts import DiscriminatorExpert
from eagleray.experts.discriminator_training import Discriminator, DiscriminatorConfig, DiscriminatorTraining
from eagleray.experts.expert_task import one_thread

SMALL = DiscriminatorConfig(epochs=4, hidden=32, batch_size=40, patches_per_image=9)


@pytest.fixture(autouse=True)
def threads():
    with one_thread():
        yield


def patches(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(config=SMALL, *, data=None, seed=0, dim=6):
    training = DiscriminatorTraining(dim, config, seed=seed)
    data = patches(10, 16, dim) if data is None else data
    while training.epoch < config.epochs:
        training.run_epoch(data)
    return training


def same(one, other):
    ours, theirs = one.to_tensors(), other.to_tensors()
    return all(np.array_equal(ours[name], theirs[name]) for name in ours | theirs)


def test_the_expert_scores_as_torchs_modules_do_when_they_are_not_training():
    training = trained()
    patches_HWD = patches(3, 5, 6, seed=1)
    projection, discriminator = training._projection, training._discriminator.eval()
    with torch.no_grad():
        expected_P = -discriminator(projection(torch.from_numpy(patches_HWD.reshape(-1, 6))))
    found_HW = training.expert().patch_scores(patches_HWD)
    assert found_HW.dtype == np.float32
    np.testing.assert_allclose(found_HW, expected_P.numpy().reshape(3, 5), rtol=1e-4, atol=1e-5)


def test_an_expert_survives_as_tensors():
    expert = trained().expert()
    again = DiscriminatorExpert.from_tensors(expert.to_tensors())
    patches_HWD = patches(3, 5, 6, seed=1)
    np.testing.assert_array_equal(again.patch_scores(patches_HWD), expert.patch_scores(patches_HWD))
    with pytest.raises(TypeError):
        DiscriminatorExpert.from_tensors({"projection_DD": expert.projection_DD})


def test_planted_outliers_score_higher_than_all_good_patches_once_it_is_trained():
    def good(seed):
        picture = 0.02 * patches(8, 8, 16, seed=seed)
        picture[..., 0] += 0.5
        return picture

    pictures_NPD = np.stack([good(seed).reshape(64, 16) for seed in range(20)])
    config = DiscriminatorConfig(epochs=60, hidden=64, batch_size=320, noise_std=0.1, discriminator_lr=2e-3)
    expert = trained(config, data=pictures_NPD, dim=16).expert()
    held_out_HWD = good(99)
    scores_HW = expert.patch_scores(held_out_HWD)
    held_out_HWD[2, 3] += 0.5 * patches(16, seed=5)
    changed_HW = expert.patch_scores(held_out_HWD)
    assert np.unravel_index(changed_HW.argmax(), changed_HW.shape) == (2, 3)
    assert changed_HW[2, 3] > scores_HW.max()
    changed_HW[2, 3] = scores_HW[2, 3]
    np.testing.assert_allclose(changed_HW, scores_HW, rtol=1e-4, atol=1e-5)  # its neighbours know nothing of it


def test_the_loss_is_the_truncated_one_of_both_margins():
    training = DiscriminatorTraining(6, SMALL, seed=0)
    real_BD = torch.from_numpy(patches(20, 6))
    noise_BD = torch.randn((20, 6), generator=torch.Generator().manual_seed(5))
    found = training._loss(real_BD, torch.Generator().manual_seed(5)).item()

    projected_BD = training._projection(real_BD)
    both = torch.cat([projected_BD, projected_BD + SMALL.noise_std * noise_BD])
    output = training._discriminator(both).tolist()
    real = [max(0.0, SMALL.margin - value) for value in output[:20]]
    fake = [max(0.0, SMALL.margin + value) for value in output[20:]]
    assert found == pytest.approx(sum(real) / 20 + sum(fake) / 20, rel=1e-5)
    assert 0 < sum(value > 0 for value in real) < 20  # some are beyond the margin, so the truncation was tested


def test_the_discriminator_normalises_over_the_step_and_leaks_by_a_fifth():
    module = Discriminator(2, 1)
    with torch.no_grad():
        for layer, value in ((module.hidden.weight, 1.0), (module.hidden.bias, 0.0), (module.tail.weight, 1.0)):
            layer.fill_(value)
    output = module(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert output.tolist() == pytest.approx([1.0, -0.2], abs=1e-4)


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_a_training_that_was_interrupted_ends_with_the_same_bits(epochs_before):
    data = patches(10, 16, 6)
    first = DiscriminatorTraining(6, SMALL, seed=3)
    for _ in range(epochs_before):
        first.run_epoch(data)
    torch.manual_seed(99)  # of no account
    second = DiscriminatorTraining(6, SMALL, seed=3)
    second.restore(first.state())
    assert second.epoch == epochs_before
    while second.epoch < SMALL.epochs:
        second.run_epoch(data)
    assert same(second.expert(), trained(seed=3).expert())


def test_another_seed_gives_other_weights_and_global_random_numbers_none():
    torch.manual_seed(1)
    one = trained().expert()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert same(one, trained().expert())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not same(one, trained(seed=1).expert())


@pytest.mark.parametrize("state", [b"", b"foreign", DiscriminatorTraining(5, SMALL, seed=0).state()])
def test_a_foreign_checkpoint_is_refused_in_one_line(state):
    with pytest.raises(StoreCorrupt, match=r"^here/a.ckpt: .*delete it") as caught:
        DiscriminatorTraining(6, SMALL, seed=0).restore(state, "here/a.ckpt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_no_number_is_an_error_and_changes_no_weights(value):
    data = patches(10, 16, 6)
    training = DiscriminatorTraining(6, SMALL, seed=0, network="the expert of cloth/twill")
    training.run_epoch(data)
    before = training.expert()
    data[:, :, 2] = value
    with pytest.raises(TrainingDiverged) as caught:
        training.run_epoch(data, kept="here/a.ckpt")
    assert caught.value.args == ("the expert of cloth/twill", 3, SMALL.discriminator_lr, "here/a.ckpt")
    assert training.epoch == 1
    after = training.expert()
    np.testing.assert_array_equal(after.projection_DD, before.projection_DD)
    np.testing.assert_array_equal(after.tail_J, before.tail_J)


@pytest.mark.parametrize(
    ("images", "per_image", "batch_size", "steps"),
    [(1, 1, 1024, [1]), (10, 4, 16, [20, 20]), (10, 4, 14, [14, 13, 13]), (3, 0, 20, [24, 24]), (2, 99, 32, [32])],
)
def test_an_epoch_takes_every_drawn_patch_once_in_steps_of_equal_size(images, per_image, batch_size, steps):
    config = dataclasses.replace(SMALL, patches_per_image=per_image, batch_size=batch_size)
    training = DiscriminatorTraining(2, config, seed=0)
    data = np.zeros((images, 16, 2), np.float32)
    data[..., 0], data[..., 1] = np.arange(images)[:, None], np.arange(16)
    seen, loss = [], training._loss
    training._loss = lambda patches_BD, noise: seen.append(patches_BD.numpy()) or loss(patches_BD, noise)
    training.run_epoch(data)
    assert [len(step) for step in seen] == steps
    rows = np.concatenate(seen)
    assert len(np.unique(rows, axis=0)) == len(rows)
    per_image = 16 if per_image in (0, 99) else per_image
    assert np.bincount(rows[:, 0].astype(int)).tolist() == [per_image] * images
    training.run_epoch(data)
    if len(rows) > 1:
        assert not np.array_equal(np.concatenate(seen[len(steps) :]), rows)  # drawn anew


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("patches_per_image", -1), ("batch_size", 0), ("hidden", 0), ("noise_std", 0), ("margin", -1),
     ("projection_lr", float("nan")), ("discriminator_lr", 0), ("weight_decay", -1)],
)  # fmt: skip
def test_a_wrong_setting_names_its_flag(field, value):
    with pytest.raises(ConfigError, match=f"^--discriminator.{field.replace('_', '-')} must be "):
        DiscriminatorConfig(**{field: value})


def test_scoring_needs_no_torch():
    code = "import sys, eagleray.experts.discriminator; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
