import numpy as np
import pytest

from eagleray.errors import ConfigError
from eagleray.experts import ScoringConfig, image_score

GRID = np.arange(100, dtype=np.float32).reshape(10, 10)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 99), (0.001, 99), (0.01, 99), (0.02, 98.5), (0.1, np.mean(range(90, 100))), (1.0, np.mean(range(100)))],
)
def test_the_score_is_the_mean_of_the_most_anomalous_share(share, expected):
    assert image_score(GRID, ScoringConfig(top_share=share)) == pytest.approx(expected)


def test_where_the_patches_lie_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(GRID.ravel()).reshape(20, 5)
    assert image_score(shuffled, ScoringConfig(top_share=0.1)) == image_score(GRID, ScoringConfig(top_share=0.1))


def test_a_picture_of_one_patch_has_its_score():
    assert image_score(np.array([[7]], np.float32), ScoringConfig(top_share=0.02)) == 7


def test_scoring_leaves_the_patch_scores_as_they_are():
    grid_HW = GRID[::-1].copy()
    image_score(grid_HW, ScoringConfig(top_share=0.1))
    np.testing.assert_array_equal(grid_HW, GRID[::-1])


def test_a_higher_patch_never_lowers_the_score():
    rng = np.random.default_rng(0)
    for config in (ScoringConfig(top_share=share) for share in (0.0, 0.05, 0.5)):
        grid_HW = rng.uniform(size=(8, 8)).astype(np.float32)
        raised = grid_HW.copy()
        raised[tuple(rng.integers(0, 8, 2))] += 1
        assert image_score(raised, config) >= image_score(grid_HW, config)


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"top_share": -0.1}, "--scoring.top-share"),
        ({"top_share": 1.1}, "--scoring.top-share"),
        ({"top_share": float("nan")}, "--scoring.top-share"),
    ],
)
def test_wrong_settings_name_their_flag(values, flag):
    with pytest.raises(ConfigError, match=flag):
        ScoringConfig(**values)
