import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eagleray.routing import similarities

VECTORS = arrays(np.float32, 5, elements=st.floats(-100, 100, width=32))


def vector(*values):
    return np.array(values, np.float32)


def test_similarity_is_the_cosine_of_the_centroids_worked_by_hand():
    # (1, 2, 2) . (2, 1, 2) = 8; both have length 3.
    assert similarities(vector(1, 2, 2), {4: vector(2, 1, 2)}) == {4: pytest.approx(8 / 9)}


def test_each_expert_gets_its_own_figure():
    found = similarities(vector(1, 0), {0: vector(3, 0), 1: vector(0, 5), 2: vector(-2, 0), 7: vector(1, 1)})
    assert found == {0: 1.0, 1: 0.0, 2: -1.0, 7: pytest.approx(2**-0.5)}


def test_without_experts_there_is_nothing_to_compare():
    assert similarities(vector(1, 2), {}) == {}


def test_length_does_not_count():
    assert similarities(vector(1e-20, 2e-20), {0: vector(1e15, 2e15)})[0] == pytest.approx(1)


def test_a_centroid_of_zeros_is_similar_to_nothing():
    assert similarities(vector(0, 0), {0: vector(1, 1)}) == {0: 0.0}


@given(VECTORS, VECTORS)
def test_similarity_is_symmetric_and_within_its_range(ours, theirs):
    found = similarities(ours, {0: theirs})[0]
    assert -1 <= found <= 1
    assert found == similarities(theirs, {0: ours})[0]
    assert similarities(ours, {0: ours})[0] == pytest.approx(1 if ours.any() else 0)
