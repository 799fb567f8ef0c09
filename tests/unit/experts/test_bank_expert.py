import numpy as np
import pytest

from eagleray.banks import fit_whitening
from eagleray.experts import BankExpert


def patches(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_patch_score_is_the_distance_to_the_nearest_row():
    rows_MD, patches_HWD = patches(30, 6), patches(3, 5, 6, seed=1)
    found_HW = BankExpert(rows_MD).patch_scores(patches_HWD)
    assert found_HW.shape == (3, 5)
    for y in range(3):
        for x in range(5):
            distances = np.sqrt(((rows_MD - patches_HWD[y, x]) ** 2).sum(axis=1))
            assert found_HW[y, x] == pytest.approx(distances.min(), rel=1e-5)


def test_a_row_itself_scores_zero_and_what_is_farther_scores_higher():
    rows_MD = patches(10, 4)
    line_HWD = np.stack([rows_MD[0] + step for step in (0, 5, 50)])[None]
    scores = BankExpert(rows_MD).patch_scores(line_HWD)[0]
    assert scores[0] == pytest.approx(0, abs=1e-3)
    assert scores[0] < scores[1] < scores[2]


def test_more_rows_never_score_higher():
    rows_MD, patches_HWD = patches(50, 6), patches(4, 4, 6, seed=1)
    few, many = (BankExpert(rows_MD[:count]).patch_scores(patches_HWD) for count in (10, 50))
    assert (many <= few + 1e-5).all()


def test_with_a_whitening_distances_are_those_of_whitened_patches():
    known = patches(200, 6) * np.array([10, 1, 1, 1, 1, 0.1], np.float32)
    whitening = fit_whitening([known], num_directions=2, shrinkage=0.2)
    patches_HWD = patches(4, 4, 6, seed=1)
    expert = BankExpert(whitening.apply(known[:20]), whitening)
    whitened_HWD = whitening.apply(patches_HWD.reshape(-1, 6)).reshape(4, 4, 6)
    np.testing.assert_allclose(
        expert.patch_scores(patches_HWD), BankExpert(whitening.apply(known[:20])).patch_scores(whitened_HWD), rtol=1e-5
    )


def test_whitening_lets_a_defect_stand_out_from_natural_variation():
    known = patches(500, 4) * np.array([10, 0.5, 0.5, 0.5], np.float32)  # lighting varies, nothing else does
    natural, defect = np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 4), np.float32)
    natural[..., 0], defect[..., 1] = 40, 5  # far along the natural direction; less far along a quiet one
    whitening = fit_whitening([known], num_directions=1, shrinkage=0.01)
    plain, whitened = BankExpert(known), BankExpert(whitening.apply(known), whitening)
    assert plain.patch_scores(natural) > plain.patch_scores(defect)
    assert whitened.patch_scores(natural) < whitened.patch_scores(defect)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_scores(threads):
    rows_MD, patches_HWD = patches(300, 16), patches(16, 16, 16, seed=1)
    expected = BankExpert(rows_MD).patch_scores(patches_HWD)
    np.testing.assert_array_equal(BankExpert(rows_MD, num_threads=threads).patch_scores(patches_HWD), expected)


def test_a_bank_of_one_row_and_a_picture_of_one_patch():
    found = BankExpert(np.array([[3, 4]], np.float32)).patch_scores(np.zeros((1, 1, 2), np.float32))
    assert found == pytest.approx(5)
