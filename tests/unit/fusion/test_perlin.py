import numpy as np
import pytest

from eagleray.fusion.perlin import draw_blob, draw_perlin_region, perlin_noise

AREAS = (0.001, 0.2)
SIZE = 96


def lattice(cells, size, seed=0):
    """Noise on a square of `cells` cells, its pixels row after row."""
    across = (np.arange(size) * cells / size).astype(np.float32)
    y, x = np.meshgrid(across, across, indexing="ij")
    return perlin_noise(np.random.default_rng(seed), y.reshape(-1), x.reshape(-1)).reshape(size, size)


def draws(where_YX, count=60, areas=AREAS, scales=(0, 5)):
    rng = np.random.default_rng(0)
    perlin = [draw_perlin_region(rng, where_YX, scales, areas) for _ in range(count)]
    return perlin + [draw_blob(rng, where_YX, areas) for _ in range(count)]


def test_noise_is_the_textbooks_one_written_point_by_point():
    y_P = np.float32([0.0, 0.25, 1.5, 2.9, 0.7])
    x_P = np.float32([0.0, 1.75, 0.5, 0.1, 2.2])
    angles = np.random.default_rng(7).random(4 * 4, dtype=np.float32).reshape(4, 4) * 2 * np.pi
    expected = []
    for y, x in zip(y_P.astype(float), x_P.astype(float), strict=True):
        j, i = int(y), int(x)
        total = 0.0
        for dj in (0, 1):
            for di in (0, 1):
                fade = [6 * t**5 - 15 * t**4 + 10 * t**3 for t in (abs(1 - dj - (y - j)), abs(1 - di - (x - i)))]
                angle = angles[j + dj, i + di]
                total += fade[0] * fade[1] * (np.sin(angle) * (y - j - dj) + np.cos(angle) * (x - i - di))
        expected.append(np.sqrt(2) * total)
    np.testing.assert_allclose(perlin_noise(np.random.default_rng(7), y_P, x_P), expected, atol=1e-6)


def test_noise_is_nothing_at_the_corners_of_its_lattice_and_lies_within_one():
    noise_YX = lattice(8, 128)
    assert np.abs(noise_YX[::16, ::16]).max() < 1e-6
    assert 0.5 < np.abs(noise_YX).max() <= 1
    assert abs(noise_YX.mean()) < 0.05


def test_noise_has_no_steps_between_its_cells_nor_between_chunks():
    noise_YX = lattice(4, 256)
    assert max(np.abs(np.diff(noise_YX, axis=axis)).max() for axis in (0, 1)) < 0.06


def test_coordinates_below_zero_are_as_good_as_others():
    y_P, x_P = np.random.default_rng(3).uniform(0, 5, (2, 500)).astype(np.float32)
    y_P[0] = x_P[0] = 0  # the lattice starts at the lowest points
    np.testing.assert_allclose(
        perlin_noise(np.random.default_rng(1), y_P - 9, x_P - 4),
        perlin_noise(np.random.default_rng(1), y_P, x_P),
        atol=1e-4,
    )


@pytest.mark.parametrize("shape", ["everywhere", "disc", "few", "one"])
def test_a_region_is_never_empty_lies_on_valid_points_and_leaves_half_of_them(shape):
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    where_YX = {
        "everywhere": y > -SIZE,
        "disc": y**2 + x**2 < 900,
        "few": abs(y) + abs(x) < 3,
        "one": (y == 3) & (x == 5),
    }
    valid = where_YX[shape]
    for region in draws(valid):
        assert len(region.points_P) > 0
        assert valid.reshape(-1)[region.points_P].all()
        assert (np.diff(region.points_P) > 0).all()
        assert len(region.points_P) <= max(1, valid.sum() // 2)


def test_a_profile_rises_from_a_tenth_to_one():
    for region in draws(np.ones((SIZE, SIZE), bool)):
        assert region.profile_P.max() == 1
        assert region.profile_P.min() == pytest.approx(0.1, abs=1e-6) or len(region.points_P) == 1


def test_areas_stay_within_the_limits_and_reach_from_small_to_large():
    regions = draws(np.ones((SIZE, SIZE), bool), 300)
    areas = np.array([len(region.points_P) for region in regions]) / SIZE**2
    assert areas.min() >= 0.0009  # nine pixels
    assert areas.max() <= 0.2
    assert np.quantile(areas, 0.1) < 0.005
    assert np.quantile(areas, 0.9) > 0.06


def test_a_blobs_area_is_log_uniform():
    rng = np.random.default_rng(0)
    where_YX = np.ones((SIZE, SIZE), bool)
    logs = np.log([len(draw_blob(rng, where_YX, AREAS).points_P) / SIZE**2 for _ in range(600)])
    low, high = np.log(AREAS)
    shares = np.histogram(logs, np.linspace(low, high, 5))[0] / 600
    assert (np.abs(shares - 0.25) < 0.08).all()


def test_a_blob_is_one_piece_where_noise_gives_many():
    from scipy import ndimage

    regions = draws(np.ones((SIZE, SIZE), bool), scales=(4, 5))

    def pieces(region):
        mask = np.zeros(SIZE * SIZE, bool)
        mask[region.points_P] = True
        return ndimage.label(mask.reshape(SIZE, SIZE), np.ones((3, 3)))[1]

    assert np.median([pieces(region) for region in regions[60:]]) == 1
    assert np.median([pieces(region) for region in regions[:60]]) > 10


def test_noise_reaches_the_corners_of_the_picture_as_often_as_its_middle():
    hits_YX = np.zeros(SIZE * SIZE)
    for region in draws(np.ones((SIZE, SIZE), bool), 400, scales=(2, 5))[:400]:
        hits_YX[region.points_P] += 1
    hits_YX = hits_YX.reshape(SIZE, SIZE)
    corners = np.mean([hits_YX[:16, :16], hits_YX[:16, -16:], hits_YX[-16:, :16], hits_YX[-16:, -16:]])
    assert corners == pytest.approx(hits_YX[40:56, 40:56].mean(), rel=0.3)
