import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eagleray.banks import (
    covering_radius,
    farthest_first,
    merge_candidates,
    project,
    random_projection,
    shard_candidates,
    sharded_farthest_first,
)


def textbook_loop(points_ND, num_rows, start):
    """Farthest-first in float32 by direct differences; stops when every point equals a chosen one."""
    rows, radii = [start], [np.inf]
    squares_N = ((points_ND - points_ND[start]) ** 2).sum(1)
    while len(rows) < num_rows and squares_N.max() > 0:
        rows.append(int(squares_N.argmax()))
        radii.append(float(np.sqrt(squares_N.max())))
        squares_N = np.minimum(squares_N, ((points_ND - points_ND[rows[-1]]) ** 2).sum(1))
    return rows, radii


def gaussian(num_points=3000, dim=24):
    return np.random.default_rng(1).standard_normal((num_points, dim)).astype(np.float32)


def clustered(num_points=3000, dim=24):
    rng = np.random.default_rng(2)
    centres = 20 * rng.standard_normal((40, dim))
    return (centres[rng.integers(40, size=num_points)] + rng.standard_normal((num_points, dim))).astype(np.float32)


def duplicated():
    rng = np.random.default_rng(3)
    return gaussian(250)[rng.integers(250, size=3000)]


def lattice():
    """Small integers: float32 is exact on them and most distances are tied."""
    return np.random.default_rng(4).integers(0, 4, size=(3000, 5)).astype(np.float32)


def far_from_zero():
    """Where ||x||^2 - 2xy + ||y||^2 in float32 would lose every digit of the distance."""
    return (np.random.default_rng(5).integers(-500, 500, size=(2000, 3)) + 1e6).astype(np.float32)


DATA = {f.__name__: f for f in (gaussian, clustered, duplicated, lattice, far_from_zero)}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("batch_size", [None, 1, 300, 10_000])
def test_rows_and_radii_are_those_of_the_textbook_loop(name, batch_size):
    points_ND = DATA[name]()
    coreset = farthest_first(points_ND, 400, seed=7, batch_size=batch_size)
    rows, radii = textbook_loop(points_ND, 400, start=coreset.indices_M[0])
    assert coreset.indices_M.tolist() == rows
    np.testing.assert_allclose(coreset.radii_M, radii, rtol=1e-5)
    assert coreset.indices_M.dtype == np.int64
    assert coreset.radii_M.dtype == np.float32


@settings(max_examples=100, deadline=None)
@given(
    points=arrays(np.int8, st.tuples(st.integers(1, 60), st.integers(1, 4)), elements=st.integers(-3, 3)),
    num_rows=st.integers(1, 70),
    batch_size=st.integers(1, 80),
    seed=st.integers(0, 5),
)
def test_ties_go_to_the_lowest_row_whatever_the_batch(points, num_rows, batch_size, seed):
    points_ND = points.astype(np.float32)
    coreset = farthest_first(points_ND, num_rows, seed=seed, batch_size=batch_size)
    rows, _ = textbook_loop(points_ND, num_rows, start=coreset.indices_M[0])
    assert coreset.indices_M.tolist() == rows


def test_hand_computed_line():
    points = np.array([[0.0], [1.0], [5.0], [10.0]], np.float32)
    seed = next(s for s in range(100) if farthest_first(points, 1, seed=s).indices_M[0] == 0)
    coreset = farthest_first(points, 4, seed=seed)
    assert coreset.indices_M.tolist() == [0, 3, 2, 1]
    assert coreset.radii_M.tolist() == [np.inf, 10.0, 5.0, 1.0]


def test_first_rows_are_the_smaller_coreset_and_radii_are_its_coverage():
    points_ND = clustered(1500)
    large = farthest_first(points_ND, 200, seed=3)
    small = farthest_first(points_ND, 60, seed=3)
    np.testing.assert_array_equal(small.indices_M, large.indices_M[:60])
    np.testing.assert_array_equal(small.radii_M, large.radii_M[:60])
    assert (np.diff(large.radii_M) <= 0).all()
    assert covering_radius([points_ND], points_ND[small.indices_M]) == pytest.approx(large.radii_M[60], rel=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "duplicated"])
def test_threads_do_not_change_a_byte(name):
    points_ND = DATA[name]()
    one = farthest_first(points_ND, 300, seed=0, num_threads=1)
    two = farthest_first(points_ND, 300, seed=0, num_threads=2)
    assert one.indices_M.tobytes() == two.indices_M.tobytes()
    assert one.radii_M.tobytes() == two.radii_M.tobytes()


def test_blas_threads_and_kernels_do_not_change_a_byte():
    """A cluster mixes processors: another BLAS kernel in another process gives the same bytes."""
    program = (
        "import numpy as np, hashlib\n"
        "from eagleray.banks import shard_candidates\n"
        "x = np.random.default_rng(0).standard_normal((3000, 50)).astype(np.float32)\n"
        "s = shard_candidates(x, 200, seed=1, projection_dim=16)\n"
        "print(hashlib.sha256(s.rows_MD.tobytes() + s.radii_M.tobytes() + s.indices_M.tobytes()).hexdigest())\n"
    )
    digests = {
        subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True).stdout
        for env in ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott"})
    }
    assert len(digests) == 1


def test_seed_draws_the_first_row_and_repeats():
    points_ND = gaussian(500)
    starts = {int(farthest_first(points_ND, 1, seed=seed).indices_M[0]) for seed in range(8)}
    assert len(starts) > 1
    np.testing.assert_array_equal(
        farthest_first(points_ND, 50, seed=5).indices_M, farthest_first(points_ND, 50, seed=5).indices_M
    )


def test_more_rows_than_points_gives_every_point_once():
    points_ND = gaussian(40)
    assert sorted(farthest_first(points_ND, 100, seed=0).indices_M) == list(range(40))


def test_equal_points_are_chosen_once():
    points_ND = np.tile(gaussian(7), (30, 1))
    coreset = farthest_first(points_ND, 50, seed=0)
    assert len(np.unique(points_ND[coreset.indices_M], axis=0)) == len(coreset.indices_M) == 7


def test_equal_points_stay_equal_after_projection():
    patches_ND = np.tile(gaussian(7, 100), (301, 1))
    assert len(np.unique(project(patches_ND, random_projection(100, 16, seed=0)), axis=0)) == 7
    assert len(shard_candidates(patches_ND, 50, seed=0, projection_dim=16).rows_MD) == 7


def test_single_point_is_its_own_coreset():
    coreset = farthest_first(np.ones((1, 3), np.float32), 5, seed=0)
    assert coreset.indices_M.tolist() == [0]
    assert coreset.radii_M.tolist() == [np.inf]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1500, 2999])
def test_nan_and_infinity_are_refused(bad, row):
    points_ND = gaussian()
    points_ND[row, 3] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        farthest_first(points_ND, 10, seed=0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        project(points_ND, random_projection(24, 4, seed=0))
    with pytest.raises(ValueError, match="NaN or infinity"):
        covering_radius([points_ND], gaussian(5))


def test_wrong_shapes_and_numbers_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        farthest_first(np.empty((0, 3), np.float32), 1, seed=0)
    with pytest.raises(ValueError, match="num_rows"):
        farthest_first(gaussian(5), 0, seed=0)
    with pytest.raises(ValueError, match="do not fit"):
        project(gaussian(5), random_projection(10, 4, seed=0))
    with pytest.raises(ValueError, match="oversample"):
        shard_candidates(gaussian(5), 2, seed=0, projection_dim=4, oversample=0.5)
    with pytest.raises(ValueError, match="no candidates"):
        sharded_farthest_first([], 5, seed=0, projection_dim=4)
    with pytest.raises(ValueError, match="no patches"):
        covering_radius(iter([]), gaussian(5))


def test_read_only_half_precision_patches_equal_their_float32_copy(tmp_path):
    np.save(tmp_path / "patches.npy", gaussian().astype(np.float16))
    halves_ND = np.load(tmp_path / "patches.npy", mmap_mode="r")
    singles_ND = halves_ND.astype(np.float32)
    half = shard_candidates(halves_ND, 50, seed=2, projection_dim=8)
    single = shard_candidates(singles_ND, 50, seed=2, projection_dim=8)
    np.testing.assert_array_equal(half.indices_M, single.indices_M)
    np.testing.assert_array_equal(half.rows_MD, singles_ND[half.indices_M])
    assert half.rows_MD.dtype == np.float32
    assert covering_radius([halves_ND], half.rows_MD) == covering_radius([singles_ND], half.rows_MD)


def test_projection_is_the_matrix_product_and_keeps_distances():
    patches_ND = gaussian(400, 300)
    projection_Dd = random_projection(300, 128, seed=1)
    points_Nd = project(patches_ND, projection_Dd)
    np.testing.assert_allclose(points_Nd, patches_ND @ projection_Dd, atol=1e-4)
    before_N = np.linalg.norm(patches_ND[::2] - patches_ND[1::2], axis=1)
    after_N = np.linalg.norm(points_Nd[::2] - points_Nd[1::2], axis=1)
    ratio = after_N / before_N
    assert abs(ratio.mean() - 1) < 0.02
    assert ratio.std() < 0.1
    assert not np.array_equal(projection_Dd, random_projection(300, 128, seed=2))


def test_projection_that_would_not_shrink_is_the_identity():
    points_ND = gaussian(50)
    projection_Dd = random_projection(24, 24, seed=0)
    np.testing.assert_array_equal(projection_Dd, np.eye(24))
    np.testing.assert_allclose(project(points_ND, projection_Dd), points_ND, atol=1e-6)


def test_one_shard_gives_its_own_coreset_again():
    patches_ND = gaussian()
    own = shard_candidates(patches_ND, 80, seed=4, projection_dim=8)
    merged = sharded_farthest_first([patches_ND], 80, seed=4, projection_dim=8, oversample=2)
    np.testing.assert_array_equal(merged.indices_M, own.indices_M)
    np.testing.assert_array_equal(merged.rows_MD, own.rows_MD)


@pytest.mark.parametrize("name", ["gaussian", "clustered"])
def test_two_rounds_cover_within_four_times_the_exact_radius(name):
    """Malkomes et al. 2015: at most 4 times the optimum, and the exact traversal is never below the optimum."""
    points_ND = DATA[name]()
    exact = covering_radius([points_ND], points_ND[farthest_first(points_ND, 40, seed=0).indices_M])
    shards = np.array_split(points_ND, 5)
    plain = sharded_farthest_first(iter(shards), 40, seed=0, projection_dim=24)
    more = sharded_farthest_first(iter(shards), 40, seed=0, projection_dim=24, oversample=8)
    assert covering_radius(iter(shards), plain.rows_MD) <= 4 * exact
    assert covering_radius(iter(shards), more.rows_MD) <= 1.3 * exact


def test_rows_know_where_they_came_from_and_workers_may_compute_shards_in_any_order():
    patches_ND = clustered()
    shards = [patches_ND[:700], patches_ND[700:701], patches_ND[701:]]
    streamed = sharded_farthest_first(iter(shards), 60, seed=9, projection_dim=8, oversample=2)
    np.testing.assert_array_equal(streamed.rows_MD, patches_ND[streamed.indices_M])
    starts = [0, 700, 701]
    candidates = {
        k: shard_candidates(shards[k], 60, seed=9, projection_dim=8, oversample=2, first_index=starts[k])
        for k in (2, 0, 1)
    }
    merged = merge_candidates([candidates[k] for k in range(3)], 60, seed=9, projection_dim=8, num_threads=2)
    assert merged.rows_MD.tobytes() == streamed.rows_MD.tobytes()
    assert merged.radii_M.tobytes() == streamed.radii_M.tobytes()
    assert merged.indices_M.tobytes() == streamed.indices_M.tobytes()


@pytest.mark.parametrize("name", ["gaussian", "clustered", "duplicated"])
@pytest.mark.parametrize("ordered", [True, False])
def test_the_covering_radius_is_the_largest_distance_over_all_shards(name, ordered):
    patches_ND = DATA[name]()
    chosen = farthest_first(patches_ND, 40, seed=0).indices_M if ordered else np.arange(40)
    distances_N = np.linalg.norm(patches_ND[:, None] - patches_ND[chosen][None], axis=2).min(1)
    for parts in (1, 4):
        radius = covering_radius(iter(np.array_split(patches_ND, parts)), patches_ND[chosen])
        assert radius == pytest.approx(distances_N.max(), rel=1e-5, abs=1e-6)
