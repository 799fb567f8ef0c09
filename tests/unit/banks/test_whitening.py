import itertools

import numpy as np
import pytest

from eagleray.banks import fit_whitening, pool_whitenings

DIM = 8
SPREAD = np.array([9, 5, 2, 1, 1, 0.5, 0.3, 0.1])


def embeddings(count=600, seed=0, centre=3.0):
    rng = np.random.default_rng(seed)
    turn_DD = np.linalg.qr(np.random.default_rng(42).normal(size=(DIM, DIM)))[0]
    return ((rng.normal(size=(count, DIM)) * SPREAD) @ turn_DD + centre).astype(np.float32)


def fit(shards, *, directions=3, shrinkage=0.2, **known):
    return fit_whitening(shards, num_directions=directions, shrinkage=shrinkage, **known)


def test_mean_and_variances_are_those_of_the_embeddings():
    points_ND = embeddings()
    whitening = fit([points_ND])
    np.testing.assert_allclose(whitening.mean_D, points_ND.mean(0), atol=1e-4)
    variances_D = np.linalg.eigvalsh(np.cov(points_ND.T, bias=True))
    np.testing.assert_allclose(np.sort(whitening.variances_J), variances_D[-3:], rtol=1e-4)
    assert whitening.rest_variance == pytest.approx(variances_D[:-3].mean(), rel=1e-4)
    assert whitening.num_directions == 3
    np.testing.assert_allclose(whitening.directions_DJ.T @ whitening.directions_DJ, np.eye(3), atol=1e-5)


def test_with_all_directions_and_hardly_any_shrinkage_it_is_the_mahalanobis_distance():
    points_ND = embeddings()
    whitening = fit([points_ND], directions=DIM, shrinkage=1e-9)
    covariance_DD = np.cov(points_ND.T, bias=True)
    inverse_DD = np.linalg.inv(covariance_DD) * np.trace(covariance_DD) / DIM
    white_ND = whitening.apply(points_ND[:20])
    for first, second in itertools.combinations(range(20), 2):
        difference_D = (points_ND[first] - points_ND[second]).astype(np.float64)
        expected = np.sqrt(difference_D @ inverse_DD @ difference_D)
        assert np.linalg.norm(white_ND[first] - white_ND[second]) == pytest.approx(expected, rel=1e-2)


def test_shrinkage_of_one_only_moves_the_mean():
    points_ND = embeddings()
    np.testing.assert_allclose(
        fit([points_ND], shrinkage=1.0).apply(points_ND), points_ND - points_ND.mean(0), atol=1e-3
    )


def test_the_directions_of_largest_variance_are_damped_and_quiet_ones_raised():
    points_ND = embeddings()
    before, after = (np.linalg.eigvalsh(np.cov(p.T)) for p in (points_ND, fit([points_ND]).apply(points_ND)))
    assert after.max() < 0.5 * before.max()
    assert after.min() > before.min()


@pytest.mark.parametrize("directions", [1, 3, DIM, 100])
def test_undo_gives_the_embeddings_back(directions):
    points_ND = embeddings()
    whitening = fit([points_ND], directions=directions)
    np.testing.assert_allclose(whitening.undo(whitening.apply(points_ND)), points_ND, atol=2e-3)
    assert whitening.num_directions == min(directions, DIM)


def test_half_precision_embeddings_are_whitened_in_single_precision():
    whitening = fit([embeddings()])
    assert whitening.apply(embeddings().astype(np.float16)).dtype == np.float32


def test_how_the_embeddings_are_cut_does_not_matter():
    points_ND = embeddings(20_000)
    whole, cut = fit([points_ND]), fit(np.array_split(points_ND, 7))
    np.testing.assert_allclose(whole.apply(points_ND[:50]), cut.apply(points_ND[:50]), atol=1e-3)


def test_the_same_embeddings_give_the_same_bits():
    first, second = fit([embeddings()]), fit([embeddings()])
    np.testing.assert_array_equal(first.apply(embeddings()), second.apply(embeddings()))


def test_more_embeddings_join_a_known_estimate_as_if_seen_together():
    old_ND, new_ND = embeddings(500), embeddings(300, seed=1, centre=-2.0)
    known = fit([old_ND], directions=DIM)
    joined = fit([new_ND], directions=DIM, known=known, known_count=500)
    together = fit([old_ND, new_ND], directions=DIM)
    np.testing.assert_allclose(joined.mean_D, together.mean_D, atol=1e-4)
    np.testing.assert_allclose(joined.covariance(), together.covariance(), rtol=1e-3, atol=1e-3)


def test_the_covariance_that_is_kept_has_the_right_total():
    points_ND = embeddings()
    assert np.trace(fit([points_ND]).covariance()) == pytest.approx(np.cov(points_ND.T, bias=True).trace(), rel=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_embeddings_are_enough_to_go_on(count):
    whitening = fit([embeddings(count)])
    assert np.isfinite(whitening.apply(embeddings(5))).all()
    assert whitening.num_directions == 1


def test_one_and_the_same_embedding_everywhere_is_left_as_it_is():
    flat_ND = np.full((30, DIM), 0.25, np.float32)
    whitening = fit([flat_ND])
    np.testing.assert_allclose(whitening.apply(flat_ND), 0, atol=1e-6)
    np.testing.assert_allclose(whitening.undo(whitening.apply(flat_ND)), flat_ND, atol=1e-6)


def test_means_far_from_zero_do_not_drown_the_variances():
    near, far = fit([embeddings(centre=0.0)]), fit([embeddings(centre=1000.0)])
    np.testing.assert_allclose(np.sort(far.variances_J), np.sort(near.variances_J), rtol=1e-2)


def test_pooled_estimates_are_those_of_everything_seen_together():
    rng = np.random.default_rng(5)
    parts = [rng.normal(loc, 1 + loc, (200 + 50 * loc, 6)).astype(np.float32) for loc in range(3)]
    alone = [(fit_whitening([part], num_directions=6, shrinkage=0.2), len(part)) for part in parts]
    together = fit_whitening(parts, num_directions=6, shrinkage=0.2)
    pooled = pool_whitenings(alone)
    np.testing.assert_allclose(pooled.mean_D, together.mean_D, rtol=1e-5)
    np.testing.assert_allclose(pooled.covariance(), together.covariance(), rtol=1e-4, atol=1e-5)


def test_pooled_estimates_are_those_of_all_embeddings_together():
    parts = [embeddings(count, seed=count, centre=float(count % 7)) for count in (200, 300, 500)]
    pooled = pool_whitenings([(fit([part_ND], directions=DIM), len(part_ND)) for part_ND in parts])
    together = fit(parts, directions=DIM)
    np.testing.assert_allclose(pooled.mean_D, together.mean_D, atol=1e-4)
    np.testing.assert_allclose(pooled.covariance(), together.covariance(), rtol=1e-3, atol=1e-3)
    assert pooled.shrinkage == together.shrinkage


def test_pooling_one_estimate_changes_nothing():
    whitening = fit([embeddings()])
    pooled = pool_whitenings([(whitening, 600)])
    np.testing.assert_allclose(pooled.apply(embeddings(20)), whitening.apply(embeddings(20)), atol=1e-3)
