import numpy as np
import pytest

from eagleray.experts import overlay

GREY = np.full((40, 60, 3), 120, np.uint8)


def hot_square(height):
    values = np.zeros((40, 60), np.float32)
    values[10:30, 20:40] = height
    return values


def test_a_quiet_picture_stays_as_it_is():
    np.testing.assert_array_equal(overlay(GREY, np.full((40, 60), 0.85, np.float32), limit=1.0), GREY)


def test_colours_depend_on_the_limit_not_on_the_picture():
    values = hot_square(1.2)
    np.testing.assert_array_equal(overlay(GREY, values * 7, limit=7.0), overlay(GREY, values, limit=1.0))
    louder = values.copy()
    louder[0, 0] = 100
    np.testing.assert_array_equal(
        overlay(GREY, louder, limit=1.0)[10:30, 20:40], overlay(GREY, values, limit=1.0)[10:30, 20:40]
    )


def test_a_line_with_a_halo_runs_round_what_is_above_the_limit():
    coloured = overlay(GREY, hot_square(1.01), limit=1.0)
    for row, column in ((10, 30), (29, 30), (20, 20), (20, 39)):
        assert coloured[row, column].tolist() == [190, 0, 30]
    for row, column in ((9, 30), (30, 30), (20, 19), (20, 40)):
        assert coloured[row, column].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(coloured[:8], GREY[:8])


def test_just_below_the_limit_there_is_colour_but_no_line():
    coloured = overlay(GREY, hot_square(0.99), limit=1.0)[10:30, 20:40]
    assert (coloured == coloured[0, 0]).all()
    assert coloured[0, 0].tolist() != [120, 120, 120]


def test_hotter_is_redder_and_the_picture_shows_through():
    stripes = GREY.copy()
    stripes[:, ::2] = 30
    warm, hot = (overlay(stripes, hot_square(height), limit=1.0)[20, 28:32].astype(int) for height in (1.05, 1.5))
    assert (hot[:, 1] < warm[:, 1]).all()
    assert (hot[1] - hot[0] > 20).all()


def test_the_line_grows_with_the_picture():
    values = np.zeros((1024, 256), np.float32)
    values[500:600, 100:200] = 2
    coloured = overlay(np.full((1024, 256, 3), 120, np.uint8), values, limit=1.0)
    red = (coloured[550] == (190, 0, 30)).all(axis=1)
    assert red.sum() == 2 * 4


@pytest.mark.parametrize("limit", [0.0, 1e-30])
def test_a_limit_of_zero_divides_by_nothing(limit):
    with np.errstate(all="raise"):
        overlay(GREY, hot_square(1.0), limit=limit)
