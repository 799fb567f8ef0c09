import dataclasses
import itertools
from collections import Counter

import numpy as np

from eagleray.adaptation import PatchStatistics
from eagleray.continual import PatchSet
from eagleray.experts.adapted_expert import expert_from_bytes
from eagleray.mixture import PLAIN_BANK, SIMPLENET, WHITENED_BANK, Design

MIXTURE = Design(expert="discriminator", moe=True, adaptions=("std",), norm=True)
BANKS = Design(expert="bank", moe=True, adaptions=("none", "mean"))


def test_a_mixture_has_a_network_and_an_expert_for_each_subclass_and_adaption(mill):
    workshop, built = mill.workshop(), mill.built(mill.embed(), BANKS)
    workshop.prepare([built])
    assert len(workshop.network(built).centres_EC) == 3
    rows = workshop.experts(built)
    assert [[one.adaption.kind for one in row] for row in rows] == 3 * [["none", "mean"]]
    assert [len(one.inner.rows_MD) + one.inner.whitening.num_directions for row in rows for one in row] == 6 * [10]
    assert [task.images for task in mill.pool.items("fit_bank")] == [
        built.data.fitted(subclass) for subclass in (0, 1, 2) for _ in range(2)
    ]


def test_one_subclass_alone_needs_no_network(mill):
    workshop, data = mill.workshop(), mill.embed(mill.category(seen=("felt",)))
    for design in (SIMPLENET, WHITENED_BANK):
        built = mill.built(data, design)
        workshop.prepare([built])
        assert workshop.network(built) is None
        assert [len(row) for row in workshop.experts(built)] == [1]
        assert workshop.patch_scores(built).shape == (data.test.num_images, 8, 8)
    assert mill.trainer.routers == 0


def test_what_two_designs_share_is_fitted_once_and_scored_once(mill):
    workshop, data = mill.workshop(), mill.embed()
    softmax = dataclasses.replace(mill.built(data, MIXTURE), loss="softmax")
    wanted = [mill.built(data, MIXTURE), mill.built(data, MIXTURE, top_k=3), softmax, mill.built(data, SIMPLENET)]
    workshop.prepare(wanted)
    workshop.prepare(wanted)
    assert mill.trainer.routers == 2  # one a loss
    assert mill.trainer.experts == ["cloth/felt", "cloth/linen", "cloth/twill", "cloth"]
    for built in (*wanted, *wanted):
        workshop.patch_scores(built)
    assert set(mill.pool.scored.values()) == {1}
    routed = [name for name, _ in mill.pool.asked if name == "route_images"]
    assert len(routed) == 2


def test_other_seeds_and_other_whitening_are_other_experts(mill):
    workshop, data = mill.workshop(), mill.embed()
    wanted = [mill.built(data, PLAIN_BANK, seed=seed) for seed in (0, 1)] + [mill.built(data, WHITENED_BANK)]
    workshop.prepare(wanted)
    assert len(mill.pool.items("fit_bank")) == 3
    assert len({workshop.experts(built)[0][0].to_bytes() for built in wanted}) == 3


def test_what_is_finished_is_not_trained_again_by_another_run(mill, monkeypatch):
    data, first, again = mill.embed(), mill.workshop(), mill.workshop()
    built = mill.built(data, MIXTURE)
    first.prepare([built])
    monkeypatch.setattr("eagleray.experts.expert_task.DiscriminatorTraining", None)  # who trains, fails
    again.prepare([built])
    assert _bytes(again, built) == _bytes(first, built)


def test_what_held_out_pictures_show_decides_scales_and_nothing_else(mill):
    data = mill.embed()
    shards = [shard.copy() for shard in data.train.shards]
    for image in data.held_out:
        shards[image // 8][image % 8] *= 3  # pool shards are of eight pictures
    train = PatchSet(data.train.infos, tuple(shards))
    spoiled = dataclasses.replace(data, train=train, statistics=PatchStatistics.of(shards), digest="spoiled")
    for design in (MIXTURE, BANKS):
        one, other = mill.built(data, design), mill.built(spoiled, design)
        workshop = mill.workshop()
        workshop.prepare([one, other])
        assert workshop.network(one).to_bytes() == workshop.network(other).to_bytes()
        fitted = (itertools.chain.from_iterable(workshop.experts(built)) for built in (one, other))
        for mine, theirs in zip(*fitted, strict=True):
            assert mine.scale != theirs.scale
            assert dataclasses.replace(mine, scale=theirs.scale).to_bytes() == theirs.to_bytes()


def test_a_picture_asks_as_many_experts_as_were_wanted_and_no_more(mill):
    data = mill.embed()
    for top_k in (1, 2, 3):
        workshop, built = mill.workshop(), mill.built(data, MIXTURE, top_k=top_k)
        workshop.prepare([built])
        mill.pool.asked.clear()
        workshop.patch_scores(built)
        asked = Counter(image for _, image in mill.pool.scored)
        assert asked == dict.fromkeys(range(data.test.num_images), top_k)
        order_NK, weight_NK = workshop.routes(built)
        assert order_NK.shape == (data.test.num_images, top_k)
        np.testing.assert_allclose(weight_NK.sum(axis=1), 1, rtol=1e-6)


def test_scores_are_the_weighted_sum_of_the_experts_asked(mill):
    data, workshop = mill.embed(), mill.workshop()
    built = mill.built(data, BANKS, top_k=2)
    workshop.prepare([built])
    order_NK, weight_NK = workshop.routes(built)
    scores_NHW = workshop.patch_scores(built)
    patches = np.concatenate(data.test.shards).astype(np.float32)
    experts = [[_expert(one) for one in row] for row in workshop.experts(built)]
    for number in (0, 5, 11):
        expected_HW = sum(
            weight * np.mean([expert.patch_scores(patches[number]) for expert in experts[subclass]], axis=0)
            for subclass, weight in zip(order_NK[number], weight_NK[number], strict=True)
        )
        np.testing.assert_allclose(scores_NHW[number], expected_HW, rtol=1e-5, atol=1e-5)


def test_held_out_pictures_are_scored_in_their_own_order(mill):
    data, workshop = mill.embed(), mill.workshop()
    built = mill.built(data, WHITENED_BANK)
    workshop.prepare([built])
    (expert,) = (_expert(one) for one in workshop.experts(built)[0])
    patches = np.concatenate(data.train.shards).astype(np.float32)
    expected = [expert.patch_scores(patches[image]) for image in data.held_out]
    np.testing.assert_array_equal(workshop.patch_scores(built, held_out=True), expected)


def _bytes(workshop, built):
    return [one.to_bytes() for row in workshop.experts(built) for one in row] + [workshop.network(built).to_bytes()]


def _expert(fitted):
    return expert_from_bytes(fitted.to_bytes(), "here")
