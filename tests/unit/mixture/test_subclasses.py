import numpy as np
import pytest

from eagleray.mixture import find_subclasses

DIM = 8


def clusters(count, *, each=12, distance=20.0, seed=0):
    """Pictures of clusters that lie apart, mixed, and the number of the cluster of each."""
    random = np.random.default_rng(seed)
    centres = distance * np.eye(DIM)[:count]
    labels_N = random.permutation(np.repeat(np.arange(count), each))
    return (centres[labels_N] + random.normal(size=(len(labels_N), DIM))).astype(np.float32), labels_N


def same_partition(ours_N, theirs_N):
    return np.array_equal(ours_N[:, None] == ours_N, theirs_N[:, None] == theirs_N)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_clusters_that_lie_apart_are_found(count, seed):
    means_ND, labels_N = clusters(count, seed=seed)
    found_N = find_subclasses(means_ND, seed=seed)
    assert found_N.dtype == np.int64
    assert sorted(set(found_N)) == list(range(count))
    assert same_partition(found_N, labels_N)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_cloud_is_one_subclass(seed):
    cloud_ND, _ = clusters(1, each=60, seed=seed)
    np.testing.assert_array_equal(find_subclasses(cloud_ND, seed=seed), np.zeros(60))


@pytest.mark.parametrize("wished", [1, 2, 4, 7])
def test_a_number_that_is_given_is_kept_whatever_the_data_say(wished):
    means_ND, _ = clusters(3)
    assert len(set(find_subclasses(means_ND, num_subclasses=wished, seed=0))) == wished


def test_a_number_that_is_given_holds_for_few_pictures_too():
    means_ND, labels_N = clusters(3, each=4)
    assert same_partition(find_subclasses(means_ND, num_subclasses=3, seed=0), labels_N)
    assert sorted(find_subclasses(means_ND[:2], num_subclasses=3, seed=0)) == [0, 1]


@pytest.mark.parametrize("count", [1, 2, 15])
def test_few_pictures_are_one_subclass_however_far_apart(count):
    random = np.random.default_rng(0)
    means_ND = (random.normal(size=(count, DIM)) + 100 * (np.arange(count) % 2)[:, None]).astype(np.float32)
    np.testing.assert_array_equal(find_subclasses(means_ND, seed=0), np.zeros(count))


def test_no_subclass_that_is_found_has_less_than_eight_pictures():
    near_ND, _ = clusters(2, each=20)
    stray_ND = 500 + clusters(1, each=3)[0]
    sizes = np.bincount(find_subclasses(np.concatenate([near_ND, stray_ND]), seed=0))
    assert sizes.min() >= 8


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_pictures_that_are_all_the_same_are_one_subclass():
    np.testing.assert_array_equal(find_subclasses(np.ones((20, DIM), np.float32), seed=0), np.zeros(20))


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_two_pictures_that_repeat_are_two_subclasses():
    means_ND = np.eye(DIM, dtype=np.float32)[np.arange(20) % 2]
    assert same_partition(find_subclasses(means_ND, seed=0), np.arange(20) % 2)


def test_the_seed_alone_decides_where_the_data_do_not():
    cloud_ND, _ = clusters(1, each=60)
    np.random.seed(1)
    ours_N = find_subclasses(cloud_ND, num_subclasses=5, seed=3)
    np.random.seed(2)
    np.testing.assert_array_equal(find_subclasses(cloud_ND, num_subclasses=5, seed=3), ours_N)
    others = [find_subclasses(cloud_ND, num_subclasses=5, seed=seed) for seed in range(4, 8)]
    assert not all(same_partition(other_N, ours_N) for other_N in others)
