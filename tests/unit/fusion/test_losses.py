import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from eagleray.fusion.losses import focal_loss, ssim_loss


def pictures(seed, shape=(2, 3, 20, 26)):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def slow_ssim(one, other):
    """Wang et al. 2004 on values from 0 to 1, each channel of each picture alone."""

    def blur(values):
        return gaussian_filter(values, 1.5, truncate=5 / 1.5, mode="constant")

    found = []
    for x, y in zip(
        (one.reshape(-1, *one.shape[2:]) + 1) / 2, (other.reshape(-1, *one.shape[2:]) + 1) / 2, strict=True
    ):
        mean_x, mean_y = blur(x), blur(y)
        var_x, var_y, both = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
        brightness = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
        structure = (2 * both + 9e-4) / (var_x + var_y + 9e-4)
        found.append(brightness * structure)
    return np.mean(found)


def test_equal_pictures_have_no_loss_of_structure():
    one = torch.from_numpy(pictures(0)).float()
    assert ssim_loss(one, one).item() == pytest.approx(0, abs=1e-6)


def test_structural_similarity_is_that_of_a_slow_reference():
    one = pictures(0)
    for other in (pictures(1), 0.7 * one + 0.3 * pictures(1), -one):
        found = ssim_loss(torch.from_numpy(one), torch.from_numpy(other)).item()
        assert found == pytest.approx(1 - slow_ssim(one, other), abs=1e-9)
        assert found > 0.01


def test_following_its_gradient_makes_structure_alike():
    found, wanted = (torch.from_numpy(pictures(seed, (1, 1, 16, 16))) for seed in (0, 1))
    found.requires_grad_()
    optimizer = torch.optim.Adam([found], lr=0.05)
    losses = []
    for _ in range(30):
        loss = ssim_loss(found, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_is_its_formula(gamma):
    random = np.random.default_rng(0)
    logits_NHW, target_NHW = random.normal(0, 2, (2, 3, 4)), random.integers(0, 2, (2, 3, 4)).astype(float)
    share = 1 / (1 + np.exp(-logits_NHW))
    right = np.where(target_NHW == 1, share, 1 - share)
    expected = (-((1 - right) ** gamma) * np.log(right)).mean()
    found = focal_loss(torch.from_numpy(logits_NHW), torch.from_numpy(target_NHW), gamma=gamma)
    assert found.item() == pytest.approx(expected, rel=1e-9)
    if gamma == 2:
        assert focal_loss(torch.from_numpy(logits_NHW), torch.from_numpy(target_NHW)).item() == found.item()


def test_focal_loss_and_its_gradient_stay_finite_for_extreme_logits():
    logits = torch.tensor([[[1e4, -1e4, 1e4, -1e4]]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[[1.0, 0.0, 0.0, 1.0]]]))
    loss.backward()
    assert loss.item() == pytest.approx(5000)
    assert logits.grad.flatten().tolist() == pytest.approx([0, 0, 0.25, -0.25])
