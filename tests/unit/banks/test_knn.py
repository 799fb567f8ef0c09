import time
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_info

from eagleray.banks import NearestRows, knn


def all_distances(queries_QD, rows_MD):
    return np.linalg.norm(queries_QD[:, None].astype(np.float64) - rows_MD[None], axis=2)


def rows_and_queries(num_rows=150, num_queries=1500, dim=40):
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((num_rows, dim)).astype(np.float32),
        rng.standard_normal((num_queries, dim)).astype(np.float32),
    )


@pytest.mark.parametrize("num_neighbors", [1, 9, 150])
@pytest.mark.parametrize("num_queries", [1, 5, 1500])
def test_distances_and_rows_are_those_of_brute_force(num_neighbors, num_queries):
    rows_MD, queries_QD = rows_and_queries(num_queries=num_queries)
    distances_QK, indices_QK = NearestRows(rows_MD).search(queries_QD, num_neighbors)
    expected_QM = all_distances(queries_QD, rows_MD)
    np.testing.assert_allclose(distances_QK, np.sort(expected_QM, axis=1)[:, :num_neighbors], rtol=1e-5)
    np.testing.assert_allclose(distances_QK, np.take_along_axis(expected_QM, indices_QK, 1), rtol=1e-6)
    assert all(len(set(found)) == num_neighbors for found in indices_QK.tolist())
    assert distances_QK.dtype == np.float32
    assert indices_QK.dtype == np.int64


def test_a_row_of_the_bank_is_at_zero_even_far_from_the_origin():
    rows_MD = rows_and_queries()[0] + 100
    distances_QK, indices_QK = NearestRows(rows_MD).search(rows_MD)
    assert (distances_QK == 0).all()
    np.testing.assert_array_equal(indices_QK[:, 0], np.arange(len(rows_MD)))


@settings(max_examples=50, deadline=None)
@given(
    rows=arrays(np.int8, st.tuples(st.integers(1, 30), st.just(3)), elements=st.integers(-3, 3)),
    queries=arrays(np.int8, st.tuples(st.integers(1, 40), st.just(3)), elements=st.integers(-3, 3)),
    data=st.data(),
)
def test_equal_distances_come_in_order_of_row_number(rows, queries, data):
    num_neighbors = data.draw(st.integers(1, len(rows)))
    distances_QK, indices_QK = NearestRows(rows.astype(np.float32)).search(queries.astype(np.float32), num_neighbors)
    expected_QM = all_distances(queries, rows.astype(np.float64))
    np.testing.assert_allclose(distances_QK, np.sort(expected_QM, axis=1)[:, :num_neighbors], rtol=1e-6)
    tied = np.diff(distances_QK, axis=1) == 0
    assert (np.diff(indices_QK, axis=1)[tied] > 0).all()


def test_half_precision_queries_give_the_distances_of_their_float32_copy():
    rows_MD, queries_QD = rows_and_queries()
    halves_QD = queries_QD.astype(np.float16)
    halves_QD.flags.writeable = False
    for half, single in zip(
        NearestRows(rows_MD).search(halves_QD, 3),
        NearestRows(rows_MD).search(halves_QD.astype(np.float32), 3),
        strict=True,
    ):
        np.testing.assert_array_equal(half, single)


def test_threads_change_no_byte_and_are_put_back():
    rows_MD, queries_QD = rows_and_queries()
    before = [library["num_threads"] for library in threadpool_info()]
    one = NearestRows(rows_MD, num_threads=1).search(queries_QD, 5)
    two = NearestRows(rows_MD, num_threads=2).search(queries_QD, 5)
    assert [library["num_threads"] for library in threadpool_info()] == before
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_no_queries_give_empty_answers():
    distances_QK, indices_QK = NearestRows(rows_and_queries()[0]).search(np.empty((0, 40), np.float32), 2)
    assert distances_QK.shape == indices_QK.shape == (0, 2)


def test_bad_rows_queries_and_neighbour_counts_are_refused():
    rows_MD, queries_QD = rows_and_queries()
    bad_QD = queries_QD.copy()
    bad_QD[-1, 0] = np.nan
    nearest = NearestRows(rows_MD)
    with pytest.raises(ValueError, match="NaN or infinity"):
        nearest.search(bad_QD)
    with pytest.raises(ValueError, match=r"queries must be \(Q, 40\)"):
        nearest.search(queries_QD[:, :39])
    with pytest.raises(ValueError, match="num_neighbors"):
        nearest.search(queries_QD, 151)
    with pytest.raises(ValueError, match="at least one row"):
        NearestRows(rows_MD[:0])
    with pytest.raises(ValueError, match="NaN or infinity"):
        NearestRows(bad_QD)
    with pytest.raises(ValueError, match="num_threads"):
        NearestRows(rows_MD, num_threads=0)


def test_indexes_on_a_gpu_share_its_resources_and_are_searched_by_one_thread_at_a_time(monkeypatch):
    """No GPU is needed: what faiss would put there stays an index on the CPU, which notes who comes meanwhile."""
    made, inside, overlaps = [], [], []

    class OnGpu:
        def __init__(self, index):
            self._index = index

        def add(self, rows_MD):
            self._index.add(rows_MD)

        def search(self, *arguments):
            inside.append(1)
            overlaps.append(len(inside) > 1)
            time.sleep(0.005)
            found = self._index.search(*arguments)
            inside.pop()
            return found

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: made.append(1) or object(), raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda _, __, index: OnGpu(index), raising=False)
    knn._gpu_resources.cache_clear()
    rows_MD, queries_QD = rows_and_queries(num_queries=10)
    indexes = [NearestRows(rows_MD), NearestRows(rows_MD)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: indexes[number % 2].search(queries_QD), range(8)))
    knn._gpu_resources.cache_clear()
    assert len(made) == 1
    assert not any(overlaps)
    for distances_QK, _ in found:
        np.testing.assert_allclose(distances_QK[:, 0], all_distances(queries_QD, rows_MD).min(axis=1), rtol=1e-5)
