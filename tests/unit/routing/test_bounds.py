import numpy as np
import pytest

from eagleray.routing.bounds import DistanceBounds


def drawn(*, points=3000, dim=48, spread=1.0, seed=0):
    """Points that differ in some directions more than in others, as far from the origin as embeddings are."""
    rng = np.random.default_rng(seed)
    shares_D = spread / np.arange(1, dim + 1)
    points_MD = 1.7 / dim**0.5 + shares_D * rng.standard_normal((points, dim))
    return points_MD.astype(np.float32)


def squares(points_MD, point_D):
    return np.square(points_MD.astype(np.float64) - point_D).sum(axis=1)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("num_directions", [1, 8, 48, 100])
def test_no_bound_is_above_the_distance(spread, num_directions):
    points_MD = drawn(spread=spread)
    bounds = DistanceBounds(points_MD, num_directions=num_directions)
    for point_D in (*drawn(points=20, spread=spread, seed=1), points_MD[7], np.zeros(48, np.float32)):
        assert (bounds.squares(point_D) <= squares(points_MD, point_D)).all()


@pytest.mark.parametrize(("num_directions", "share"), [(8, 0.6), (48, 0.99)])
def test_bounds_come_close_to_the_distances_the_more_directions_there_are(num_directions, share):
    points_MD = drawn()
    point_D = drawn(points=1, seed=1)[0]
    found = DistanceBounds(points_MD, num_directions=num_directions).squares(point_D)
    assert np.median(found / squares(points_MD, point_D)) > share


def test_directions_come_from_all_over_the_points():
    """The first points do not differ where the others do."""
    points_MD = np.zeros((9000, 6), np.float32)
    points_MD[8000:] = 5 * np.random.default_rng(0).standard_normal((1000, 6))
    points_MD[:, :4] = 0
    found = DistanceBounds(points_MD, num_directions=2).squares(points_MD[8500])
    np.testing.assert_allclose(found, squares(points_MD, points_MD[8500]), atol=0.05)


def test_a_single_point_has_bounds():
    bounds = DistanceBounds(np.ones((1, 4), np.float32))
    assert bounds.squares(np.zeros(4, np.float32)) == pytest.approx([4], rel=1e-4)
    assert bounds.squares(np.ones(4, np.float32))[0] <= 0
