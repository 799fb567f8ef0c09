import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from eagleray.metrics import aupro, pixel_auroc, pixel_metrics


def drawn_aupro(maps, masks, fpr_limit):
    """Draw the curve: a point per distinct score, every region looked at for each; then trapezoids."""
    masks = [np.zeros(m.shape, bool) if mask is None else mask for m, mask in zip(maps, masks, strict=True)]
    regions = []
    for scores, mask in zip(maps, masks, strict=True):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [scores[labelled == region] for region in range(1, count + 1)]
    good = np.concatenate([scores[~mask] for scores, mask in zip(maps, masks, strict=True)])
    x0 = y0 = area = 0.0
    for level in sorted(set(np.concatenate([m.ravel() for m in maps]).tolist()), reverse=True):
        x1 = float(np.mean(good >= level))
        y1 = float(np.mean([np.mean(region >= level) for region in regions]))
        if x1 > fpr_limit:
            y_limit = y0 + (y1 - y0) * (fpr_limit - x0) / (x1 - x0)
            return (area + (fpr_limit - x0) * (y0 + y_limit) / 2) / fpr_limit
        area += (x1 - x0) * (y0 + y1) / 2
        x0, y0 = x1, y1
    return area / fpr_limit


def image(rows):
    return np.array(rows, dtype=np.float32)


def random_test_set(seed, levels):
    """Three images of different sizes, the last one good, with scores on a few levels so that ties abound."""
    rng = np.random.default_rng(seed)
    sizes = [(6, 9), (8, 5), (7, 7)]
    maps = [rng.integers(0, levels, size).astype(np.float32) for size in sizes]
    masks = [rng.random(size) < 0.2 for size in sizes[:2]]
    masks[0][0, 0], masks[0][-1, -1] = True, False
    return maps, [*masks, None]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 1000]), st.sampled_from([0.01, 0.05, 0.3, 1.0]))
def test_aupro_equals_the_curve_drawn_point_by_point(seed, levels, limit):
    maps, masks = random_test_set(seed, levels)
    assert aupro(maps, masks, fpr_limit=limit) == pytest.approx(drawn_aupro(maps, masks, limit), abs=1e-12)


def test_a_perfect_map_scores_one():
    mask = image([[0, 1, 1], [0, 0, 0], [1, 0, 0]]).astype(bool)
    metrics = pixel_metrics([mask.astype(np.float32)], [mask])
    assert metrics.aupro == {0.3: pytest.approx(1.0, abs=1e-15)}
    assert metrics.pixel_auroc == 1.0


def test_a_constant_map_scores_half_the_limit():
    # All scores tie, so the curve is the straight line from (0, 0) to (1, 1): (L * L / 2) / L.
    mask = image([[0, 1, 1], [0, 0, 0], [1, 0, 0]]).astype(bool)
    metrics = pixel_metrics([np.full((3, 3), 7.0)], [mask], fpr_limits=(0.3, 0.1, 1.0))
    assert metrics.aupro == {0.3: pytest.approx(0.15), 0.1: pytest.approx(0.05), 1.0: pytest.approx(0.5)}
    assert metrics.pixel_auroc == 0.5


def test_the_curve_is_interpolated_at_the_limit():
    # Points (0.25, 0), (0.25, 0.5), (0.5, 1): at 0.3 the overlap is 0.6, the area 0.05 * (0.5 + 0.6) / 2.
    scores = image([[0.7, 0.5, 0.9], [0.5, 0.3, 0.1]])
    mask = image([[1, 1, 0], [0, 0, 0]]).astype(bool)
    assert aupro([scores], [mask]) == pytest.approx(0.0275 / 0.3)


def test_one_found_pixel_is_a_whole_region():
    # The one-pixel region is found and the eight-pixel one is not: overlap 1/2, though 1/9 of the pixels.
    scores, mask = np.zeros((2, 20)), np.zeros((2, 20), bool)
    mask[:, :4] = mask[0, 10] = True
    scores[0, 10], scores[:, :4] = 1.0, -1.0
    assert aupro([scores], [mask]) == pytest.approx(0.5)


def test_pixels_that_touch_at_a_corner_are_one_region():
    # One pixel of the diagonal pair and the lone one are found: (1/2 + 1) / 2; with 4-connectivity it would be 2/3.
    scores = image([[2, 1, 1, 2], [1, 0, 1, 1]])
    mask = image([[1, 0, 0, 1], [0, 1, 0, 0]]).astype(bool)
    metrics = pixel_metrics([scores], [mask])
    assert metrics.num_regions == 2
    assert metrics.aupro[0.3] == pytest.approx(0.75)


def test_regions_of_different_images_are_not_joined():
    mask = np.array([[False, True]])
    assert pixel_metrics([np.ones((1, 2))] * 3, [mask, mask, None]).num_regions == 2


def test_pixels_of_good_images_count_as_false_positives():
    scores, mask = image([[1, 0, 0, 0]]), np.array([[True, False, False, False]])
    assert aupro([scores], [mask]) == pytest.approx(1.0)
    assert aupro([scores, image([[2, 2, 2]])], [mask, None]) == pytest.approx(0.0)  # 3 of 6 good pixels score higher


def test_a_mask_of_0_and_255_is_a_mask():
    scores, mask = image([[1, 0, 0, 0]]), np.array([[255, 0, 0, 0]], np.uint8)
    assert aupro([scores], [mask]) == pytest.approx(1.0)


def test_without_a_defective_region_there_is_no_figure():
    metrics = pixel_metrics([np.ones((2, 2)), np.ones((3, 3))], [None, np.zeros((3, 3), bool)])
    assert (metrics.pixel_auroc, metrics.aupro, metrics.num_regions) == (None, {0.3: None}, 0)
    assert aupro([], []) is None


def test_without_a_good_pixel_there_is_no_figure():
    metrics = pixel_metrics([np.ones((2, 2))], [np.ones((2, 2), bool)])
    assert (metrics.pixel_auroc, metrics.aupro, metrics.num_regions) == (None, {0.3: None}, 1)


def test_aupro_depends_on_the_order_of_scores_only():
    maps, masks = random_test_set(seed=3, levels=20)
    assert aupro(maps, masks) == aupro([3 * m**3 + 1 for m in maps], masks)


def test_the_one_sort_gives_what_the_single_functions_give():
    maps, masks = random_test_set(seed=4, levels=20)
    metrics = pixel_metrics(maps, masks, fpr_limits=(0.3, 0.05))
    assert metrics.pixel_auroc == pixel_auroc(maps, masks)
    assert metrics.aupro == {0.3: aupro(maps, masks), 0.05: aupro(maps, masks, fpr_limit=0.05)}


def test_the_callers_maps_are_left_as_they_were():
    maps, masks = random_test_set(seed=5, levels=1000)
    before = [m.copy() for m in maps]
    pixel_metrics(maps, masks)
    pixel_metrics(maps[2:], [None])
    assert all(np.array_equal(a, b) for a, b in zip(maps, before, strict=True))


def test_maps_may_be_made_one_at_a_time():
    maps, masks = random_test_set(seed=6, levels=20)
    assert pixel_metrics((m for m in maps), (m for m in masks)) == pixel_metrics(maps, masks)


def test_a_nan_score_is_refused_with_the_number_of_its_map():
    with pytest.raises(ValueError, match="anomaly map 1 holds 1 NaN"):
        aupro([np.ones((1, 2)), image([[np.nan, 1]])], [None, None])


def test_a_mask_of_another_size_is_refused_with_its_number():
    with pytest.raises(ValueError, match=r"mask 0 has shape \(1, 3\), its anomaly map \(1, 2\)"):
        aupro([np.ones((1, 2))], [np.ones((1, 3), bool)])


def test_a_missing_mask_is_refused():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        aupro([np.ones((1, 2))] * 2, [None])


@pytest.mark.parametrize("limit", [0.0, 1.01, float("nan")])
def test_a_limit_outside_0_to_1_is_refused(limit):
    with pytest.raises(ValueError, match="FPR limit"):
        aupro([np.ones((1, 2))], [None], fpr_limit=limit)
