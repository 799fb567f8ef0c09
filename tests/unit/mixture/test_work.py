import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest

from eagleray.adaptation import PatchStatistics, fit_adaption
from eagleray.banks import BankConfig
from eagleray.errors import StoreCorrupt
from eagleray.experts.adapted_expert import UNSCALED, BankWeights, Scale, expert_from_bytes, expert_to_bytes
from eagleray.mixture import (
    BankTask,
    RateTask,
    ScoreTask,
    fit_bank,
    measure_rates,
    pictures,
    route_images,
    routing_embeddings,
    score_images,
    statistics,
    top_weights,
)
from eagleray.routing import RoutingNetwork

DIM, COUNT = 8, 9
PLAIN = BankConfig(whitening_directions=0)


@pytest.fixture
def halves_NHWD():
    return np.random.default_rng(0).normal(size=(COUNT, 4, 3, DIM)).astype(np.float16)


def cut(halves_NHWD, *sizes):
    borders = [0, *itertools.accumulate(sizes)]
    assert borders[-1] == len(halves_NHWD)
    return [halves_NHWD[first:last] for first, last in itertools.pairwise(borders)]


CUTS = ((9,), (2, 4, 3), (1,) * 9)


def adaption(kind="channels", *, unit=True):
    own = PatchStatistics.of([5 + np.random.default_rng(1).normal(size=(12, 4, 3, DIM)).astype(np.float32)])
    return fit_adaption(kind, own, own, unit=unit)


def bank_task(**changes):
    task = BankTask(images=(0, 2, 3, 7), adaption=None, rows=12, bank=PLAIN, seed=0)
    return dataclasses.replace(task, **changes)


def network(*, experts=3, seed=0):
    random = np.random.default_rng(seed)
    centres_EC = random.random((experts, 4), np.float32)
    return RoutingNetwork(
        kernel=random.normal(size=(3, 3, DIM, 4)).astype(np.float32),
        bias_C=random.normal(size=4).astype(np.float32),
        centres_EC=centres_EC / np.linalg.norm(centres_EC, axis=1, keepdims=True),
        classifier_EC=random.normal(size=(experts, 4)).astype(np.float32),
        stride=1,
    )


def expert(seed=0):
    rows_MD = np.random.default_rng(seed).normal(size=(10, DIM)).astype(np.float32)
    return expert_to_bytes(adaption("mean", unit=False), Scale(0.5, 3.0), BankWeights(rows_MD, None))


@pytest.mark.parametrize("sizes", CUTS)
def test_pictures_are_counted_through_all_shards(halves_NHWD, sizes):
    shards = cut(halves_NHWD, *sizes)
    everything = list(pictures(shards))
    assert len(everything) == COUNT
    assert all(patches_HWD.dtype == np.float32 for patches_HWD in everything)
    np.testing.assert_array_equal(everything, halves_NHWD)
    np.testing.assert_array_equal(list(pictures(shards, (8, 0, 5, 5))), halves_NHWD[[8, 0, 5, 5]])
    assert list(pictures(shards, ())) == []


@pytest.mark.parametrize("sizes", CUTS)
def test_statistics_are_of_every_picture(halves_NHWD, sizes):
    found = statistics(None, *cut(halves_NHWD, *sizes))
    patches_NHWD = halves_NHWD.astype(np.float64)
    np.testing.assert_allclose(found.means_ND, patches_NHWD.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.stds_ND, patches_NHWD.std(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("directions", [0, 2, 64])
@pytest.mark.parametrize("rows", [2, 5, 16, 40])
def test_a_bank_has_as_many_vectors_as_asked_directions_included(halves_NHWD, rows, directions):
    found = fit_bank(bank_task(rows=rows, bank=BankConfig(whitening_directions=directions)), halves_NHWD)
    kept = found.whitening.num_directions if found.whitening else 0
    assert kept == min(directions, max(rows // 4, 1), DIM)
    assert len(found.rows_MD) == rows - kept


def known_rows(rows_MD, patches_PD):
    """Whether each row is one of the patches."""
    return (np.abs(rows_MD[:, None] - patches_PD).max(axis=2) < 1e-4).any(axis=1)


@pytest.mark.parametrize("whitened", [False, True])
def test_rows_are_patches_of_the_tasks_pictures_and_of_no_others(halves_NHWD, whitened):
    images = [0, 2, 3, 7]
    bank = BankConfig(whitening_directions=4 * whitened)
    found = fit_bank(bank_task(images=tuple(images), rows=48, bank=bank), *cut(halves_NHWD, 2, 4, 3))
    learned_PD = halves_NHWD[images].reshape(-1, DIM).astype(np.float32)
    others_PD = np.delete(halves_NHWD, images, axis=0).reshape(-1, DIM).astype(np.float32)
    if whitened:
        learned_PD, others_PD = found.whitening.apply(learned_PD), found.whitening.apply(others_PD)
        np.testing.assert_allclose(
            found.whitening.mean_D, halves_NHWD[images].mean(axis=(0, 1, 2), dtype=float), atol=1e-5
        )
    assert known_rows(found.rows_MD, learned_PD).all()
    assert not known_rows(found.rows_MD, others_PD).any()
    assert len(found.rows_MD) == 48 - 4 * whitened


def test_the_training_pictures_are_adapted_each_by_itself(halves_NHWD):
    task = bank_task(rows=48, adaption=adaption())
    adapted_PD = np.concatenate(
        [adaption().apply(halves_NHWD[image].astype(np.float32)).reshape(-1, DIM) for image in task.images]
    )
    found = fit_bank(task, halves_NHWD)
    assert len(found.rows_MD) == 48
    assert known_rows(found.rows_MD, adapted_PD).all()
    np.testing.assert_allclose(np.linalg.norm(found.rows_MD, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("sizes", CUTS[1:])
@pytest.mark.parametrize("directions", [0, 3])
def test_a_bank_does_not_depend_on_how_the_shards_are_cut(halves_NHWD, sizes, directions):
    task = bank_task(bank=BankConfig(whitening_directions=directions), adaption=adaption())
    whole, found = fit_bank(task, halves_NHWD), fit_bank(task, *cut(halves_NHWD, *sizes))
    np.testing.assert_array_equal(found.rows_MD, whole.rows_MD)
    assert expert_to_bytes(adaption(), UNSCALED, found) == expert_to_bytes(adaption(), UNSCALED, whole)


def test_the_seed_decides_which_row_is_the_first(halves_NHWD):
    firsts = {fit_bank(bank_task(seed=seed), halves_NHWD).rows_MD[0].tobytes() for seed in range(8)}
    assert len(firsts) > 2
    again = fit_bank(bank_task(seed=3), halves_NHWD)
    np.testing.assert_array_equal(fit_bank(bank_task(seed=3), halves_NHWD).rows_MD, again.rows_MD)


def test_more_pictures_than_the_memory_holds_give_as_many_rows():
    wide_NHWD = np.random.default_rng(0).normal(size=(3, 20, 20, 512)).astype(np.float16)  # 0.8 MB each, single
    task = bank_task(images=(0, 1, 2), rows=6, bank=BankConfig(whitening_directions=0, memory_mb=1))
    found = fit_bank(task, wide_NHWD)
    assert len(found.rows_MD) == 6
    assert known_rows(found.rows_MD, wide_NHWD.reshape(-1, 512).astype(np.float32)).all()


def test_of_many_pictures_no_more_than_a_group_is_held_in_single_precision():
    wide_NHWD = np.random.default_rng(0).normal(size=(24, 20, 20, 512)).astype(np.float16)  # 0.8 MB each, single
    task = bank_task(images=tuple(range(24)), rows=6, bank=BankConfig(whitening_directions=2, memory_mb=2))
    tracemalloc.start()
    fit_bank(task, wide_NHWD)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 0.8e6


@pytest.mark.parametrize("sizes", CUTS)
def test_scores_are_the_experts_own_picture_by_picture(halves_NHWD, sizes):
    images = (8, 0, 5)
    found_NHW = score_images(ScoreTask(images=images, expert=expert()), *cut(halves_NHWD, *sizes))
    assert found_NHW.shape == (3, 4, 3)
    asked = expert_from_bytes(expert(), "here")
    for scores_HW, image in zip(found_NHW, images, strict=True):
        np.testing.assert_allclose(scores_HW, asked.patch_scores(halves_NHWD[image].astype(np.float32)), rtol=1e-4)


def test_foreign_bytes_are_no_expert_and_no_network(halves_NHWD):
    with pytest.raises(StoreCorrupt, match=r"^the expert: not an expert"):
        score_images(ScoreTask(images=(0,), expert=b"foreign"), halves_NHWD)
    with pytest.raises(StoreCorrupt, match=r"^the routing network: "):
        route_images(b"foreign", halves_NHWD)


@pytest.mark.parametrize("sizes", CUTS)
def test_a_ranking_holds_every_subclass_once_and_its_first_k_are_the_networks_route(halves_NHWD, sizes):
    order_NE, weight_NE = route_images(network().to_bytes(), *cut(halves_NHWD, *sizes))
    assert (order_NE.shape, order_NE.dtype) == ((COUNT, 3), np.int64)
    assert (weight_NE.shape, weight_NE.dtype) == ((COUNT, 3), np.float32)
    np.testing.assert_array_equal(np.sort(order_NE, axis=1), [[0, 1, 2]] * COUNT)
    assert len({tuple(order) for order in order_NE}) > 1
    for top_k in (1, 2, 3):
        order_NK, weight_NK = top_weights(order_NE, weight_NE, top_k)
        for image, patches_HWD in enumerate(halves_NHWD.astype(np.float32)):
            expected = network().route(patches_HWD, top_k)
            assert order_NK[image].tolist() == [number for number, _ in expected]
            assert weight_NK[image].tolist() == pytest.approx([weight for _, weight in expected], rel=1e-4)


def test_a_ranking_and_its_weights_agree_with_the_network_where_logits_are_large(halves_NHWD):
    certain = dataclasses.replace(network(), classifier_EC=1e4 * network().classifier_EC)
    order_NE, weight_NE = route_images(certain.to_bytes(), halves_NHWD)
    assert (weight_NE[:, 0] == 0).any()  # near to a centre that the classifier rules out
    np.testing.assert_array_equal(top_weights(order_NE, weight_NE, 1)[1], 1)


@pytest.mark.parametrize("sizes", CUTS)
def test_routing_embeddings_are_the_networks(halves_NHWD, sizes):
    found_NC = routing_embeddings(network().to_bytes(), *cut(halves_NHWD, *sizes))
    expected = [network().embed(patches_HWD) for patches_HWD in halves_NHWD]
    np.testing.assert_allclose(found_NC, expected, rtol=1e-5, atol=1e-6)


def rate_task(**changes):
    experts = tuple((expert(2 * number), expert(2 * number + 1)) for number in range(3))
    task = RateTask(network=network().to_bytes(), experts=experts, top_k=(1, 2, 3), num_images=4)
    return dataclasses.replace(task, **changes)


def test_there_is_one_positive_rate_for_each_number_of_experts(halves_NHWD):
    rates = measure_rates(rate_task(), *cut(halves_NHWD, 2, 4, 3))
    assert len(rates) == 3
    assert all(np.isfinite(rate) and rate > 0 for rate in rates)
    assert len(measure_rates(rate_task(top_k=(2,)), halves_NHWD)) == 1


def test_a_rate_counts_the_pictures_shown_at_most_those_there_are(halves_NHWD, monkeypatch):
    ticks = itertools.count(step=2)  # every measurement takes two seconds
    monkeypatch.setattr("eagleray.mixture.work.time.perf_counter", lambda: next(ticks))
    assert measure_rates(rate_task(), *cut(halves_NHWD, 2, 4, 3)) == [2, 2, 2]
    assert measure_rates(rate_task(num_images=99), halves_NHWD) == [4.5, 4.5, 4.5]


def test_a_rate_asks_the_experts_of_the_subclasses_that_are_routed_to(halves_NHWD, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "eagleray.experts.adapted_expert.AdaptedExpert.patch_scores",
        lambda self, patches_HWD: asked.append(1) or np.zeros(patches_HWD.shape[:2], np.float32),
    )
    measure_rates(rate_task(), halves_NHWD)
    assert len(asked) == 4 * 2 * (1 + 2 + 3)  # pictures, adaptions, experts asked
