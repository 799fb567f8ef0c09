import numpy as np
import pytest
from scipy import ndimage

from eagleray.metrics import anomaly_map


def bilinear(grid, size):
    """Pixel by pixel, align_corners=False."""
    out = np.empty(size)
    for y, x in np.ndindex(*size):
        v = min(max((y + 0.5) * grid.shape[0] / size[0] - 0.5, 0), grid.shape[0] - 1)
        u = min(max((x + 0.5) * grid.shape[1] / size[1] - 0.5, 0), grid.shape[1] - 1)
        top, left = int(v), int(u)
        bottom, right = min(top + 1, grid.shape[0] - 1), min(left + 1, grid.shape[1] - 1)
        upper = grid[top, left] * (1 - (u - left)) + grid[top, right] * (u - left)
        lower = grid[bottom, left] * (1 - (u - left)) + grid[bottom, right] * (u - left)
        out[y, x] = upper * (1 - (v - top)) + lower * (v - top)
    return out


def scores(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize(("grid", "size"), [((4, 6), (16, 24)), ((3, 5), (20, 17)), ((1, 4), (9, 8)), ((5, 5), (5, 5))])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 4.0])
def test_a_map_is_the_upsampled_grid_blurred(grid, size, sigma):
    patch_scores = scores(*grid)
    expected = ndimage.gaussian_filter(bilinear(patch_scores, size), sigma)
    made = anomaly_map(patch_scores, size, sigma=sigma)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 48), (7, 9), (3, 4)])
def test_upsampling_equals_torchs(size):
    torch = pytest.importorskip("torch")
    patch_scores = scores(6, 8)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(patch_scores)[None, None], size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(anomaly_map(patch_scores, size, sigma=0), expected[0, 0].numpy(), rtol=0, atol=1e-6)


def test_a_constant_grid_gives_a_constant_map_up_to_the_edges():
    np.testing.assert_allclose(anomaly_map(np.full((4, 4), 3.0, np.float32), (32, 32)), 3.0, rtol=1e-6)


def test_a_stack_of_grids_gives_the_stack_of_maps():
    stack = scores(3, 4, 5)
    expected = np.stack([anomaly_map(grid, (20, 30)) for grid in stack])
    np.testing.assert_allclose(anomaly_map(stack, (20, 30)), expected, rtol=1e-6)
