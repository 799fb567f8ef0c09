import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleray.errors import ConfigError
from eagleray.metrics import p_value, threshold

tied_scores = st.lists(st.integers(0, 12), min_size=1, max_size=40)
rates = st.one_of(
    st.floats(0.001, 0.999), st.builds(lambda a, b: min(a, b) / (max(a, b) + 1), st.integers(1, 40), st.integers(1, 40))
)


def test_p_values_by_hand():
    # Three, two (the tie counts), one and none of the calibration scores are as high or higher.
    p = p_value([0.5, 2.0, 2.5, 9.0], [1.0, 2.0, 3.0])
    assert p.tolist() == [4 / 4, 3 / 4, 2 / 4, 1 / 4]


def test_p_values_keep_the_shape_of_the_scores():
    assert float(p_value(5.0, [1.0, 9.0])) == 2 / 3
    assert p_value(np.zeros((2, 3), np.float32), [1.0]).shape == (2, 3)


def test_without_calibration_nothing_is_unusual():
    assert p_value([1.0, 99.0], []).tolist() == [1.0, 1.0]


@settings(max_examples=200, deadline=None)
@given(tied_scores, st.lists(st.integers(-1, 13), min_size=1, max_size=20), rates)
def test_an_image_is_flagged_exactly_when_its_p_value_is_at_most_the_rate(calibration, scores, rate):
    limit = threshold(calibration, rate)
    flagged = np.array(scores) > limit.value
    p = p_value(scores, calibration)
    assert (flagged == (p <= limit.attained_rate)).all()
    assert (flagged == (p <= max(rate, limit.attained_rate))).all()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), rates)
def test_the_attained_rate_is_the_largest_possible_p_value_within_the_wish(n, rate):
    possible = [j / (n + 1) for j in range(1, n + 1)]
    within = [p for p in possible if p <= rate]
    assert threshold(np.arange(n), rate).attained_rate == (max(within) if within else 1 / (n + 1))


@pytest.mark.parametrize(
    ("n", "rate", "rank", "attained"),
    [
        (99, 0.01, 99, 0.01),  # the smallest n that can promise 1 %
        (98, 0.01, 98, 1 / 99),  # one fewer cannot: the largest score, and the truth about it
        (199, 0.01, 198, 0.01),
        (198, 0.01, 198, 1 / 199),
        (99, 0.29, 71, 0.29),  # 0.29 * 100 is 28.999... in floating point
        (1, 0.01, 1, 0.5),
        (9, 0.95, 1, 0.9),
    ],
)
def test_the_threshold_is_the_right_rank(n, rate, rank, attained):
    limit = threshold(np.random.default_rng(0).permutation(np.arange(1, n + 1)), rate)
    assert (limit.value, limit.attained_rate) == (rank, attained)


def test_the_next_smaller_calibration_score_would_break_the_promise():
    calibration = np.arange(50.0)
    limit = threshold(calibration, 0.1)
    just_above_the_next_smaller = limit.value - 0.5
    assert p_value(just_above_the_next_smaller, calibration) > 0.1


@pytest.mark.parametrize(("n", "rate"), [(30, 0.1), (99, 0.01), (20, 0.01)])
def test_good_images_are_flagged_at_the_attained_rate(n, rate):
    # Scores without ties: the bound is attained. 4 standard errors of a binomial share.
    rng = np.random.default_rng(0)
    runs = 20_000
    draws = rng.gamma(2.0, size=(runs, n + 1))
    limits = [threshold(row[1:], rate) for row in draws]
    share = np.mean(draws[:, 0] > [limit.value for limit in limits])
    attained = limits[0].attained_rate
    assert abs(share - attained) < 4 * np.sqrt(attained * (1 - attained) / runs)


def test_ties_make_the_bound_conservative():
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 4, size=(5_000, 31))
    share = np.mean([row[0] > threshold(row[1:], 0.1).value for row in draws])
    assert share < 0.1


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(ConfigError, match="false_alarm_rate must be in"):
        threshold([1.0], rate)


def test_a_threshold_needs_a_calibration_score():
    with pytest.raises(ValueError, match="at least one"):
        threshold([], 0.01)


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="1 of 2 calibration scores are NaN"):
        threshold([1.0, np.nan], 0.01)
    with pytest.raises(ValueError, match="1 of 1 scores are NaN"):
        p_value([np.nan], [1.0])
