import numpy as np
import pytest
import torch

from eagleray.fusion.anomalies import Corrupted
from eagleray.fusion.images import RgbdImages, corrupted, cropped, height_scale, heights
from eagleray.fusion.network import network_inputs
from tests.unit.fusion.conftest import anomalies, bowls


def arrays(images):
    return images.color_NYX3, images.height_NYX, images.valid_NYX, images.product_NYX


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def numbered(side, *, product=None):
    """Two pictures whose pixels tell their picture, row and column in every array."""
    number, row, column = np.mgrid[:2, :side, :side]
    color_NYX3 = np.stack([number, row, column], axis=3).astype(np.uint8)
    whole = (10_000 * number + 100 * row + column).astype(np.float32)
    product_NYX = np.zeros(whole.shape, bool) if product is None else (row == product[0]) & (column == product[1])
    return RgbdImages(color_NYX3, whole, (row + column) % 2 == 0, product_NYX)


def test_chosen_pictures_come_in_the_order_asked_for_and_join_again():
    images = bowls(4)
    some = images.chosen([2, 0, 2])
    assert len(some) == 3
    for place, number in enumerate((2, 0, 2)):
        assert same(some.chosen([place]), images.chosen([number]))
    assert same(RgbdImages.joined([images.chosen([0]), images.chosen(range(1, 4))]), images)
    assert len(images.chosen([])) == 0


def test_scaling_divides_heights_and_leaves_the_rest():
    images = bowls(2)
    scaled = images.scaled(4.0)
    np.testing.assert_array_equal(scaled.height_NYX, images.height_NYX / 4)
    assert scaled.height_NYX.dtype == np.float32
    assert same(scaled.scaled(0.25), images)


def test_inputs_are_what_networks_see_of_the_arrays():
    images = bowls(3)
    found = images.inputs()
    expected = network_inputs(
        torch.from_numpy(np.moveaxis(images.color_NYX3, 3, 1).astype(np.float32)),
        torch.from_numpy(images.height_NYX[:, None]),
        torch.from_numpy(images.valid_NYX[:, None].astype(np.float32)),
    )
    assert found.keys() == {"color", "depth"}
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_heights_are_towards_the_camera_from_the_median_point():
    depth_YX = np.array([[0.5, 0.7, 0.9], [0.0, 0.8, 0.6]], np.float32)
    valid_YX = depth_YX > 0
    found = heights(depth_YX, valid_YX)
    np.testing.assert_allclose(found, [[0.2, 0, -0.2], [0, -0.1, 0.1]], atol=1e-6)
    assert found.dtype == np.float32


def test_the_scale_is_the_deviation_of_all_points_together():
    images = bowls(3)
    points = [images.height_NYX[n, y, x] for n, y, x in np.ndindex(3, 32, 32) if images.valid_NYX[n, y, x]]
    assert height_scale(images) == pytest.approx(np.std(points), rel=1e-5)
    assert height_scale(images.scaled(2.0)) == pytest.approx(height_scale(images) / 2, rel=1e-5)


def test_pictures_without_any_height_can_be_divided_by_their_scale():
    images = bowls(1)
    flat = RgbdImages(images.color_NYX3, np.zeros_like(images.height_NYX), images.valid_NYX, images.product_NYX)
    assert np.isfinite(flat.scaled(height_scale(flat)).height_NYX).all()


def test_windows_are_parts_of_their_pictures_the_same_of_every_array():
    images, random = numbered(40), np.random.default_rng(0)
    for _ in range(50):
        found = cropped(images, np.array([1, 0, 1]), 16, random)
        assert found.color_NYX3.shape == (3, 16, 16, 3)
        for place, number in enumerate((1, 0, 1)):
            _, row, column = found.color_NYX3[place, 0, 0].astype(int)
            assert same(found.chosen([place]), images.window(number, row, column, 16))
            assert (found.color_NYX3[place, ..., 0] == number).all()


@pytest.mark.parametrize("product", [(20, 20), (0, 0), (39, 1), (2, 38)])
def test_nine_windows_in_ten_hold_the_product_wherever_it_lies(product):
    images, random = numbered(40, product=product), np.random.default_rng(0)
    windows = cropped(images, np.zeros(600, int), 8, random)
    share = windows.product_NYX.any(axis=(1, 2)).mean()
    assert 0.86 < share < 0.97  # and some that hold it by chance


def test_windows_reach_every_corner_where_no_product_is_known():
    images, random = numbered(24), np.random.default_rng(0)
    windows = cropped(images, np.zeros(400, int), 8, random)
    corners = {tuple(corner) for corner in windows.color_NYX3[:, 0, 0, 1:].tolist()}
    assert {(0, 0), (0, 16), (16, 0), (16, 16)} <= corners
    assert len(corners) > 100


def test_a_window_as_large_as_the_picture_is_the_picture():
    images = bowls(3)
    for side in (32, 64):
        assert same(cropped(images, np.array([2, 1]), side, np.random.default_rng(0)), images.chosen([2, 1]))


class Scripted:
    """Stands for the generator: changes some pixels of the first patch, and keeps what it was given."""

    def __init__(self, *counts):
        self._counts, self.given = list(counts), []

    def corrupt(self, color_YX3, height_YX, valid_YX, rng, where_YX):
        self.given.append(where_YX)
        mask_YX = np.zeros_like(valid_YX)
        mask_YX[np.unravel_index(np.arange(self._counts.pop(0)), (4, 4))] = True  # a patch is 4 x 4 pixels
        return Corrupted(
            np.where(mask_YX[..., None], 255 - color_YX3, color_YX3), height_YX + mask_YX, valid_YX, mask_YX
        )


def test_a_patch_is_a_target_from_a_fifth_of_it_on():
    images = bowls(4)
    generator = Scripted(0, 3, 4, 16)
    found = corrupted(images, generator, np.random.default_rng(0))
    assert found.target_NHW.shape == (4, 8, 8)
    assert found.target_NHW[:, 0, 0].tolist() == [0, 0, 1, 1]
    found.target_NHW[:, 0, 0] = 0
    assert found.target_NHW.sum() == 0
    assert all(np.array_equal(*pair) for pair in zip(generator.given, images.product_NYX, strict=True))


def test_a_batch_keeps_the_pictures_as_they_were_beside_those_with_anomalies():
    images = bowls(4)
    found = corrupted(images, Scripted(0, 3, 4, 16), np.random.default_rng(0))
    clean = images.inputs()
    for name in ("color", "depth"):
        assert torch.equal(found.clean[name], clean[name])
        assert torch.equal(found.inputs[name][0], clean[name][0])
        changed = (found.inputs[name] != clean[name]).any(dim=1)
        assert changed[3, :4, :4].all()
        assert not changed[:, 6:].any()
    assert not (found.inputs["color"] != clean["color"]).any(dim=1)[:, 4:].any()


def test_targets_lie_where_a_real_generator_changed_the_product():
    images = bowls(16)
    found = corrupted(images, anomalies(32, share=1.0), np.random.default_rng(0))
    changed = torch.cat([found.inputs[name] != found.clean[name] for name in ("color", "depth")], dim=1).any(dim=1)
    share = torch.nn.functional.avg_pool2d(changed[:, None].float(), 4)[:, 0]
    assert found.target_NHW.amax(dim=(1, 2)).mean() > 0.9
    assert (share[found.target_NHW == 1] >= 0.2).all()
    assert found.target_NHW[:, 0, 0].sum() == 0  # no product there
