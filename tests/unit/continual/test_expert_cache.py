from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from eagleray.continual import ExpertCache
from eagleray.errors import StoreCorrupt
from eagleray.storage import ModelStore

PATCHES = np.zeros((2, 3, 4), np.float32)


class Constant:
    """An expert of another kind than banks: scores every patch with the number that its blob holds."""

    def __init__(self, value):
        self.value = value

    def patch_scores(self, patches_HWD):
        return np.full(patches_HWD.shape[:2], self.value, np.float32)


@pytest.fixture
def store(tmp_path):
    return ModelStore.create(tmp_path / "model")


@pytest.fixture
def loads():
    return []


@pytest.fixture
def load(loads):
    def load(data, place):
        loads.append(place)
        return Constant(float(bytes(data)[:8]))

    return load


def blob(store, value, size=2**19):
    return store.put_blob(f"{value:<8}".encode().ljust(size))


def test_of_several_experts_the_smallest_score_of_a_patch_counts(store, load):
    cache = ExpertCache(store, load=load)
    digests = [blob(store, value) for value in (3, 2, 5)]
    np.testing.assert_array_equal(cache.patch_scores(digests, PATCHES), np.full((2, 3), 2))
    np.testing.assert_array_equal(cache.patch_scores(digests[2:], PATCHES), np.full((2, 3), 5))


def test_a_blob_is_loaded_once_and_under_its_own_name_in_errors(store, load, loads):
    cache = ExpertCache(store, load=load)
    digest = blob(store, 1)
    for _ in range(3):
        cache.patch_scores([digest], PATCHES)
    assert loads == [store.blob_path(digest)]


def test_beyond_its_capacity_the_least_recently_used_goes(store, load, loads):
    cache = ExpertCache(store, capacity_mb=1, load=load)
    first, second, third = (blob(store, value) for value in (1, 2, 3))
    for digest in (first, second, first, third, first):
        cache.patch_scores([digest], PATCHES)
    assert len(loads) == 3
    assert len(cache) == 2
    cache.patch_scores([second], PATCHES)
    assert len(loads) == 4


def test_an_expert_larger_than_the_capacity_still_works(store, load):
    cache = ExpertCache(store, capacity_mb=0.1, load=load)
    assert cache.patch_scores([blob(store, 7)], PATCHES)[0, 0] == 7
    assert len(cache) == 1


def test_a_lost_blob_is_named(store, load, tmp_path):
    digest = blob(store, 1)
    (tmp_path / "model" / "blobs" / digest).unlink()
    with pytest.raises(StoreCorrupt, match=digest):
        ExpertCache(store, load=load).patch_scores([digest], PATCHES)


def test_bytes_that_are_no_expert_are_refused(store):
    with pytest.raises(StoreCorrupt, match="not an expert"):
        ExpertCache(store).patch_scores([blob(store, 1)], PATCHES)


def test_threads_that_ask_at_once_load_a_blob_once_and_never_lose_one_that_another_evicts(store, load, loads):
    cache = ExpertCache(store, capacity_mb=1, load=load)
    digests = [blob(store, value) for value in range(4)]
    with ThreadPoolExecutor(8) as threads:
        first = list(threads.map(lambda _: cache.patch_scores(digests[:1], PATCHES)[0, 0], range(64)))
        assert (len(loads), set(first)) == (1, {0})
        asked = [index % 4 for index in range(400)]
        found = list(threads.map(lambda index: cache.patch_scores([digests[index]], PATCHES)[0, 0], asked))
    assert found == asked
    assert len(cache) == 2  # what was counted is what is held
