import numpy as np
import pytest
from scipy import ndimage

from eagleray.mixture.anomalies import add_anomaly

SHAPES = ((48, 48), (32, 64), (70, 30))


def picture(height=48, width=48, *, seed=0):
    """Coloured noise: no surface can be pasted into it without a change."""
    return np.random.default_rng(seed).integers(20, 236, (height, width, 3)).astype(np.uint8)


def donors():
    return [picture(20, 33, seed=1), picture(90, 64, seed=2)]


def painted(seed, shape=(48, 48)):
    good_YX3 = picture(*shape)
    return good_YX3, *add_anomaly(good_YX3, donors(), np.random.default_rng(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mask_is_of_a_five_hundredth_to_half_of_the_picture(shape):
    shares = []
    for seed in range(150):
        _, painted_YX3, mask_YX = painted(seed, shape)
        assert painted_YX3.shape == (*shape, 3)
        assert painted_YX3.dtype == np.uint8
        assert (mask_YX.shape, mask_YX.dtype) == (shape, np.bool_)
        shares.append(mask_YX.mean())
    pixel = 1 / (shape[0] * shape[1])
    assert 0.002 - pixel <= min(shares) < 0.003
    assert 0.35 < max(shares) <= 0.5 + pixel
    assert 0.015 < np.median(shares) < 0.065  # evenly drawn on a logarithmic scale


@pytest.mark.parametrize("shape", SHAPES)
def test_beyond_a_soft_edge_the_picture_stays_as_it_is_and_within_it_changes(shape):
    blur = 0.004 * max(shape)
    changes = []
    for seed in range(100):
        good_YX3, painted_YX3, mask_YX = painted(seed, shape)
        change_YX = np.abs(painted_YX3.astype(int) - good_YX3).max(axis=2)
        distance_YX = ndimage.distance_transform_edt(~mask_YX)
        assert not change_YX[distance_YX > 1 + 4 * blur].any()
        assert change_YX[mask_YX].mean() > 3 * change_YX[~mask_YX].mean()
        changes.append(change_YX[mask_YX].mean())
    assert min(changes) > 2
    assert np.median(changes) > 20


def test_the_generator_decides_everything():
    ours, again, other = painted(5), painted(5), painted(6)
    np.testing.assert_array_equal(ours[1], again[1])
    np.testing.assert_array_equal(ours[2], again[2])
    assert not np.array_equal(ours[2], other[2])


def test_one_generator_gives_one_anomaly_after_the_other():
    rng = np.random.default_rng(0)
    masks = [add_anomaly(picture(), donors(), rng)[1] for _ in range(4)]
    assert len({mask_YX.tobytes() for mask_YX in masks}) == 4


def test_neither_the_good_picture_nor_a_donor_is_changed():
    good_YX3, others = picture(), donors()
    for seed in range(20):
        add_anomaly(good_YX3, others, np.random.default_rng(seed))
    np.testing.assert_array_equal(good_YX3, picture())
    for ours_YX3, before_YX3 in zip(others, donors(), strict=True):
        np.testing.assert_array_equal(ours_YX3, before_YX3)


def test_grey_pictures_get_anomalies_of_no_colour_or_a_slight_tone():
    grey_YX3 = np.repeat(picture()[..., :1], 3, axis=2)
    coloured = 0
    for seed in range(60):
        painted_YX3, mask_YX = add_anomaly(grey_YX3, [grey_YX3[:20]], np.random.default_rng(seed))
        assert (painted_YX3[mask_YX] != grey_YX3[mask_YX]).any()
        coloured += np.ptp(painted_YX3, axis=2).any()
    assert 10 < coloured < 30  # a third is a tone


def test_no_value_wraps_around_at_black_or_white():
    for value in (0, 255):
        flat_YX3 = np.full((48, 48, 3), value, np.uint8)
        opposite_YX3 = np.full((9, 9, 3), 255 - value, np.uint8)
        changed = []
        for seed in range(60):
            painted_YX3, mask_YX = add_anomaly(flat_YX3, [opposite_YX3], np.random.default_rng(seed))
            change_YX = np.abs(painted_YX3.astype(int) - value).max(axis=2)
            assert change_YX[ndimage.distance_transform_edt(~mask_YX) > 2].max(initial=0) == 0
            changed.append(bool(change_YX.any()))
        assert any(changed)
        assert not all(changed)  # a flat picture's own surface, turned, is the same surface


def test_what_is_pasted_comes_from_donors_as_well_as_from_the_picture_itself():
    dark_YX3, bright_YX3 = (np.clip(picture() // 4 + low, 0, 255).astype(np.uint8) for low in (0, 190))
    bright = [
        add_anomaly(dark_YX3, [bright_YX3], np.random.default_rng(seed))[0].max() > 1.7 * dark_YX3.max()
        for seed in range(90)
    ]
    assert 15 < sum(bright) < 45


def test_tiny_and_slender_pictures_get_an_anomaly():
    for shape in ((1, 1), (2, 40), (8, 8)):
        for seed in range(20):
            mask_YX = add_anomaly(picture(*shape), donors(), np.random.default_rng(seed))[1]
            assert mask_YX.any()
            assert mask_YX.mean() <= 0.5 + 1 / mask_YX.size


def test_what_is_pasted_is_turned():
    striped_YX3 = np.repeat(picture(48, 1), 48, axis=1)  # every row has one colour
    across = 0
    for seed in range(60):
        painted_YX3, mask_YX = add_anomaly(striped_YX3, [striped_YX3], np.random.default_rng(seed))
        inner_YX = ndimage.binary_erosion(mask_YX, iterations=2)
        across += any(np.ptp(painted_YX3[y, inner_YX[y]], axis=0).any() for y in np.flatnonzero(inner_YX.any(axis=1)))
    assert 10 < across < 40  # by a quarter or three; a half turn, a tone and a thin region keep rows what they are
