import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from eagleray.metrics import auroc, pixel_auroc

few_levels = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


def pairwise_auroc(scores, labels):
    """Every pair of a defective and a good one, looked at one by one."""
    defective = [s for s, label in zip(scores, labels, strict=True) if label]
    good = [s for s, label in zip(scores, labels, strict=True) if not label]
    won = sum(1.0 if d > g else 0.5 if d == g else 0.0 for d in defective for g in good)
    return won / (len(defective) * len(good))


@settings(max_examples=100, deadline=None)
@given(few_levels)
def test_auroc_is_the_share_of_pairs_won_with_ties_counting_half(pairs):
    scores, labels = zip(*pairs, strict=True)
    assert auroc(np.array(scores, np.float32), labels) == pytest.approx(pairwise_auroc(scores, labels), abs=1e-15)


@pytest.mark.parametrize("decimals", [1, 7])
def test_auroc_equals_scikit_learns(decimals):
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.1
    scores = (rng.normal(size=20_000) + labels).round(decimals).astype(np.float32)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auroc_of_a_perfect_a_reversed_and_a_constant_score():
    labels = [0, 0, 1, 1]
    assert auroc([1, 2, 3, 4], labels) == 1.0
    assert auroc([4, 3, 2, 1], labels) == 0.0
    assert auroc([5, 5, 5, 5], labels) == 0.5


def test_auroc_takes_infinite_scores():
    assert auroc([-np.inf, 0.0, 0.0, np.inf], [0, 0, 1, 1]) == 7 / 8


def test_auroc_keeps_double_precision_where_it_is_given():
    assert auroc(np.array([1.0, 1.0 + 1e-12]), [0, 1]) == 1.0


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_auroc_needs_both_kinds_of_label(labels):
    assert auroc([1.0, 2.0], labels) is None


def test_auroc_of_nothing_is_none():
    assert auroc([], []) is None


def test_auroc_depends_on_the_order_of_scores_only():
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 50, 500), rng.random(500) < 0.3
    assert auroc(scores, labels) == auroc(np.exp(scores / 10.0), labels)
    assert auroc(scores, labels) == pytest.approx(1 - auroc(-scores, labels), abs=1e-15)


def test_nan_scores_are_refused_with_their_number():
    with pytest.raises(ValueError, match="2 of 3 scores are NaN"):
        auroc([np.nan, np.nan, 1.0], [0, 1, 1])


def test_scores_and_labels_of_different_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        auroc([1.0, 2.0], [0, 1, 1])


def test_pixel_auroc_pools_the_pixels_of_images_of_all_sizes():
    rng = np.random.default_rng(2)
    maps = [rng.random(size, dtype=np.float32) for size in [(5, 7), (9, 4), (6, 6)]]
    masks = [rng.random((5, 7)) < 0.3, None, np.zeros((6, 6), bool)]
    labels = np.concatenate([masks[0].ravel(), np.zeros(36 + 36, bool)])
    scores = np.concatenate([scores.ravel() for scores in maps])
    assert pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
