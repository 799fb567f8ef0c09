from unittest import mock

import numpy as np
import pytest

from eagleray.banks import ClassBank
from eagleray.continual import Arrival, Model, Removal
from eagleray.continual.learner import held_out
from eagleray.data import Category
from eagleray.errors import ConfigError, ExpertsFull, UnknownClass
from eagleray.storage import read_image_list

ALONE = {"similarity_threshold": 1.0}  # every class begins an expert of its own while there is one
TOGETHER = {"similarity_threshold": -1.0}  # every class joins the most similar expert with room

REPLAY = TOGETHER | {"memory": "replay", "rows_per_class": 50}
EVERY_PATCH = {"rows_per_class": 1000, "rows_per_expert": 2000}  # so that every picture learned gives rows


def bank(learner, name):
    """The rows and all of a class, from the store."""
    digest = learner.model.banks[name].digest
    return ClassBank.from_bytes(learner._store.get_blob(digest), name)


def learned(learner, event):
    """Content digests of the images that an event learned."""
    return read_image_list(learner._store, event.images)


def calibrated(held):
    """Number of held-out images."""
    return held.calibration_LN.shape[1]


def digests(learner):
    return {name: stored.digest for name, stored in learner.model.banks.items()}


class TestLearning:
    def test_a_class_is_one_event_and_one_version(self, workshop):
        learner = workshop.learner()
        event = learner.take(workshop.arrival("nut"))
        assert (event.step, event.op, event.class_name, event.expert) == (1, "learn", "nut", 0)
        assert event.num_images == len(learned(learner, event)) == 12
        assert event.skipped == ()
        assert learner.history == (event,)
        assert workshop.store().current().version == learner.model.version == 1
        assert learner.model.banks["nut"].num_rows == 60

    def test_the_manifest_says_what_the_bank_holds(self, workshop):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        entry = workshop.store().current().classes["nut"]
        held = bank(learner, "nut")
        assert entry.rows == held.num_rows
        assert entry.num_images == held.num_images
        assert held.provenance["seed"] == 0
        assert held.provenance["features"]["weights_sha256"] == "0" * 64

    def test_the_assignment_follows_equation_one(self, workshop):
        learner = workshop.learner(**ALONE)
        learner.take(workshop.arrival("nut"))
        event = learner.take(workshop.arrival("bolt"))
        rows_MD = bank(learner, "nut").rows_MD
        expert_D, class_D = rows_MD.mean(0), bank(learner, "bolt").centroid_D
        by_hand = expert_D @ class_D / np.sqrt((expert_D @ expert_D) * (class_D @ class_D))
        assert event.similarities == {"0": pytest.approx(float(by_hand), abs=1e-5)}
        assert event.expert == 1

    def test_an_expert_of_several_classes_is_compared_by_the_mean_of_all_its_rows(self, workshop):
        learner = workshop.learner(**TOGETHER)
        for name in ("nut", "bolt"):
            learner.take(workshop.arrival(name))
        rows_MD = np.concatenate([bank(learner, name).rows_MD for name in ("nut", "bolt")])
        np.testing.assert_allclose(learner.model.expert_centroids()[0], rows_MD.mean(0), atol=1e-5)

    def test_only_the_assigned_expert_changes(self, workshop):
        learner = workshop.learner(**ALONE)
        for name in ("nut", "bolt"):
            learner.take(workshop.arrival(name))
        before = digests(learner)
        learner.take(workshop.arrival("disc"))
        assert learner.model.experts == {"bolt": 1, "disc": 2, "nut": 0}
        after = digests(learner)
        assert {name: after[name] for name in before} == before

    def test_at_the_assigned_expert_older_classes_make_room(self, workshop):
        learner = workshop.learner(**TOGETHER, expert_capacity=3)
        for name in ("nut", "bolt"):
            learner.take(workshop.arrival(name))
        before = {name: bank(learner, name) for name in ("nut", "bolt")}
        learner.take(workshop.arrival("disc"))
        for name, held in before.items():
            kept = bank(learner, name)
            assert kept.num_rows < held.num_rows
            np.testing.assert_array_equal(kept.rows_MD, held.rows_MD[: kept.num_rows])
            np.testing.assert_array_equal(kept.centroid_D, held.centroid_D)
            assert kept.num_images == held.num_images

    @pytest.mark.parametrize("memory", ["nested", "replay"])
    def test_an_expert_is_handed_only_the_banks_that_the_arrival_changes(self, workshop, memory):
        learner = workshop.learner(**TOGETHER, expert_capacity=3, memory=memory)
        for name, train in (("nut", range(6)), ("bolt", range(6)), ("disc", range(6)), ("nut", range(9))):
            before = digests(learner)
            with mock.patch.object(learner._pool, "update_expert", wraps=learner._pool.update_expert) as asked:
                learner.take(workshop.arrival(name, train=train))
            after = digests(learner)
            assert set(asked.call_args.args[2]) == {before[n] for n in before if after[n] != before[n]}

    def test_no_budget_is_ever_exceeded(self, workshop):
        mecad = {"num_experts": 1, "expert_capacity": 9, "rows_per_class": 100, "rows_per_expert": 600}
        learner = workshop.learner(**TOGETHER | mecad)
        for number in range(9):
            learner.take(workshop.arrival(f"product{number}", train=range(6), good=(), defective=()))
            rows = [stored.num_rows for stored in learner.model.banks.values()]
            assert max(rows) <= 100
            assert sum(rows) <= 600
            assert learner.model.rows_held() == {0: sum(rows)}
        assert len(rows) == 9

    def test_experts_that_are_full_refuse_the_class_and_the_store_stays_as_it_was(self, workshop):
        learner = workshop.learner(**ALONE, num_experts=2, expert_capacity=1)
        for name in ("nut", "bolt"):
            learner.take(workshop.arrival(name))
        before = workshop.files()
        with pytest.raises(ExpertsFull, match="'disc'"):
            learner.take(workshop.arrival("disc"))
        assert workshop.files() == before
        assert set(learner.model.banks) == {"nut", "bolt"}

    def test_progress_counts_every_image_once(self, workshop):
        learner = workshop.learner()
        done = []
        learner.take(workshop.arrival("nut"), done.append)
        assert sum(done) == 12
        done.clear()
        learner.take(workshop.arrival("nut", train=range(20)), done.append)
        assert sum(done) == 20


class TestReplay:
    def test_an_older_class_keeps_a_random_part_of_its_rows_once(self, workshop):
        learner = workshop.learner(**REPLAY, expert_capacity=3)
        learner.take(workshop.arrival("nut"))
        full = {tuple(row) for row in bank(learner, "nut").rows_MD}
        learner.take(workshop.arrival("bolt"))
        kept = bank(learner, "nut").rows_MD
        assert len(kept) == 10
        assert {tuple(row) for row in kept} < full
        before = learner.model.banks["nut"].digest
        learner.take(workshop.arrival("disc"))
        assert learner.model.banks["nut"].digest == before
        assert learner.model.banks["bolt"].num_rows == 10
        assert learner.model.banks["disc"].num_rows == 40  # 120 rows for three classes

    def test_a_replayed_class_is_scored_against_all_rows_of_its_expert(self, workshop):
        learner = workshop.learner(**REPLAY)
        for name in ("nut", "bolt", "disc"):
            learner.take(workshop.arrival(name))
        model = learner.model
        assert model.experts == {"bolt": 0, "disc": 1, "nut": 0}
        both = {model.banks["nut"].digest, model.banks["bolt"].digest}
        assert set(model.scored_against("nut")) == set(model.scored_against("bolt")) == both
        assert model.scored_against("disc") == (model.banks["disc"].digest,)


class TestUpdating:
    def test_more_images_of_a_known_class_update_it(self, workshop):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        before = bank(learner, "nut")
        event = learner.take(workshop.arrival("nut", train=range(12, 22)))
        after = bank(learner, "nut")
        assert (event.op, event.expert, event.num_images) == ("update", 0, 10)
        assert after.num_rows == 60
        assert not np.array_equal(after.rows_MD, before.rows_MD)
        held_out = calibrated(after) - calibrated(before)
        assert 0 < held_out < 10
        assert after.num_images == before.num_images + 10 - held_out

    def test_images_that_are_known_are_not_learned_twice(self, workshop):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        event = learner.take(workshop.arrival("nut", train=range(18)))
        assert event.num_images == 6
        assert not set(learned(learner, event)) & set(learned(learner, learner.history[0]))

    def test_the_same_images_again_change_nothing(self, workshop):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        before = workshop.files()
        assert learner.take(workshop.arrival("nut")) is None
        assert learner.take(workshop.arrival("nut", train=range(3))) is None
        assert workshop.files() == before

    def test_the_same_images_under_other_names_change_nothing(self, workshop):
        learner = workshop.learner()
        product = workshop.product("nut")
        learner.take(Arrival(product))
        copies = tuple(workshop.sample("nut", n, name=f"copy{n}.png") for n in range(12))
        assert learner.take(Arrival(Category("nut", copies, ()))) is None

    @pytest.mark.parametrize("more", [1, 4])
    def test_a_few_images_are_enough_for_an_update(self, workshop, more):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        before = bank(learner, "nut")
        learner.take(workshop.arrival("nut", train=range(12, 12 + more)))
        after = bank(learner, "nut")
        assert after.num_images == before.num_images + more
        assert calibrated(after) == calibrated(before)

    def test_an_update_stays_within_the_share_of_a_crowded_expert(self, workshop):
        learner = workshop.learner(**TOGETHER, expert_capacity=3)
        for name in ("nut", "bolt", "disc"):
            learner.take(workshop.arrival(name))
        others = {name: learner.model.banks[name].digest for name in ("bolt", "disc")}
        learner.take(workshop.arrival("nut", train=range(12, 20)))
        assert learner.model.banks["nut"].num_rows <= 40
        assert sum(learner.model.rows_held().values()) <= 120
        assert {name: learner.model.banks[name].digest for name in others} == others

    def test_the_same_content_twice_in_one_arrival_counts_once(self, workshop):
        product = workshop.product("nut")
        copies = tuple(workshop.sample("nut", n, name=f"zcopy{n}.png") for n in range(5))
        once, twice = workshop.learner("once"), workshop.learner("twice")
        once.take(Arrival(product))
        event = twice.take(Arrival(Category("nut", product.train + copies, product.test)))
        assert event.num_images == 12
        assert digests(once) == digests(twice)


class TestRemoving:
    def test_a_removed_class_leaves_no_rows_and_frees_its_place(self, workshop):
        learner = workshop.learner(**ALONE, num_experts=2, expert_capacity=1)
        for name in ("nut", "bolt"):
            learner.take(workshop.arrival(name))
        event = learner.take(Removal("nut"))
        assert (event.op, event.class_name, event.expert, event.images) == ("remove", "nut", 0, None)
        assert set(learner.model.banks) == set(learner.model.experts) == {"bolt"}
        assert set(workshop.store().current().classes) == {"bolt"}
        learner.take(workshop.arrival("disc"))
        assert learner.model.experts == {"bolt": 1, "disc": 0}

    def test_an_unknown_class_cannot_be_removed(self, workshop):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        before = workshop.files()
        with pytest.raises(UnknownClass, match=r"no class 'nutt' in .*model; it has: nut"):
            learner.take(Removal("nutt"))
        assert workshop.files() == before

    def test_a_removal_that_was_done_is_not_done_again(self, workshop):
        learner = workshop.learner()
        for event in (workshop.arrival("nut"), workshop.arrival("bolt"), Removal("nut")):
            learner.take(event)
        before = workshop.files()
        assert learner.take(Removal("nut")) is None
        assert workshop.files() == before

    def test_a_removed_class_can_be_learned_again_as_if_it_were_new(self, workshop):
        learner = workshop.learner(**ALONE)
        first = learner.take(workshop.arrival("nut"))
        before = digests(learner)
        learner.take(Removal("nut"))
        again = learner.take(workshop.arrival("nut"))
        assert again.op == "learn"
        assert again.images == first.images
        assert digests(learner) == before

    def test_an_older_version_still_holds_the_removed_class(self, workshop):
        learner = workshop.learner()
        learner.take(workshop.arrival("nut"))
        learner.take(Removal("nut"))
        store = workshop.store()
        assert set(Model.load(store, store.read(1)).banks) == {"nut"}
        assert Model.load(store, store.read(2)).banks == {}


class TestHeldOutImages:
    def without_rows(self, learner, product):
        """The pictures of which no patch is a row: those that were held out."""
        rows_MD = bank(learner, product.name).rows_MD
        found = set()
        for sample in product.train:
            patches_HWD = learner._pool.embed([sample.path]).shards[0][0].astype(np.float32)
            differences = patches_HWD.reshape(-1, 1, rows_MD.shape[1]) - rows_MD
            if np.abs(differences).max(axis=2).min() > 1e-4:
                found.add(sample.path)
        return found

    def test_a_held_out_image_gives_no_row(self, workshop):
        learner = workshop.learner(**EVERY_PATCH)
        product = workshop.product("nut")
        learner.take(Arrival(product))
        held = bank(learner, "nut")
        assert calibrated(held) + held.num_images == 12
        assert held.num_rows == 64 * held.num_images
        assert len(self.without_rows(learner, product)) == calibrated(held) > 0

    def test_held_out_images_score_higher_than_those_learned(self, workshop):
        learner = workshop.learner(**EVERY_PATCH)
        learner.take(workshop.arrival("nut"))
        assert bank(learner, "nut").calibration_LN[-1].min() > 1e-3  # a picture in the bank would score 0

    def test_the_split_depends_on_content_not_on_names_or_order(self, workshop):
        product = workshop.product("nut")
        turned = tuple(workshop.sample("nut", n, name=f"{99 - n}.png") for n in range(12))
        plain, renamed = workshop.learner("plain", **EVERY_PATCH), workshop.learner("renamed", **EVERY_PATCH)
        event = plain.take(Arrival(product))
        other = renamed.take(Arrival(Category("nut", turned[::-1], ())))
        assert set(learned(plain, event)) == set(learned(renamed, other))
        ours, theirs = (sorted(map(tuple, bank(learner, "nut").rows_MD)) for learner in (plain, renamed))
        assert ours == theirs

    def test_the_seed_changes_the_split(self, workshop):
        product = workshop.product("nut")
        found = set()
        for seed in range(3):
            learner = workshop.learner(f"seed{seed}", seed=seed, **EVERY_PATCH)
            learner.take(Arrival(product))
            found.add(frozenset(self.without_rows(learner, product)))
        assert len(found) == 3

    @pytest.mark.parametrize(("share", "expected"), [(0.2, 10), (0.5, 25), (0.999, 49)])
    def test_the_share_is_kept_and_never_takes_everything(self, share, expected):
        digests = tuple(f"{n:016x}" for n in range(50))
        held = held_out(digests, share, 0)
        assert len(held) == expected
        assert held < set(digests)

    def test_of_very_few_images_none_or_a_part_is_held_out(self):
        digests = tuple(f"{n:016x}" for n in range(5))
        assert held_out(digests[:4], 0.2, 0) == frozenset()
        assert 1 <= len(held_out(digests, 0.0001, 0)) <= 2


class TestContinuing:
    def test_a_second_learner_goes_on_where_the_first_one_stopped(self, workshop):
        first = workshop.learner()
        for name in ("nut", "bolt"):
            first.take(workshop.arrival(name))
        second = workshop.learner()
        assert second.history == first.history
        assert digests(second) == digests(first)
        assert second.take(workshop.arrival("nut")) is None
        assert second.take(workshop.arrival("disc")).step == 3

    def test_learned_in_one_go_or_in_three_the_bytes_are_the_same(self, workshop):
        at_once = workshop.learner("once", **TOGETHER)
        for name in ("nut", "bolt", "disc"):
            at_once.take(workshop.arrival(name))
            workshop.learner("thrice", **TOGETHER).take(workshop.arrival(name))
        assert workshop.files("once") == workshop.files("thrice")

    def test_same_seed_same_bytes_other_seed_other_rows(self, workshop):
        for out, seed in (("a", 1), ("b", 1), ("c", 2)):
            workshop.learner(out, seed=seed).take(workshop.arrival("nut"))
        assert workshop.files("a") == workshop.files("b")
        assert digests(workshop.learner("b", seed=1)) != digests(workshop.learner("c", seed=2))

    @pytest.mark.parametrize(
        ("changes", "field", "value"),
        [
            ({"rows_per_class": 50}, "--mecad.rows-per-class", 50),
            ({"memory": "replay"}, "--mecad.memory", "'replay'"),
            ({"seed": 5}, "--seed", 5),
            ({"features": {"weights_sha256": "1" * 64}}, "--features.", None),
        ],
    )
    def test_other_settings_than_the_models_are_refused_by_name(self, workshop, changes, field, value):
        workshop.learner().take(workshop.arrival("nut"))
        before = workshop.files()
        with pytest.raises(ConfigError) as caught:
            workshop.learner(**changes)
        text = str(caught.value)
        assert text.startswith(field)
        assert "--out another folder" in text
        if value:
            assert text.endswith(f"got {value}")
        assert workshop.files() == before

    def test_the_model_read_from_the_store_equals_the_live_one(self, workshop):
        learner = workshop.learner(**TOGETHER)
        for name in ("nut", "disc", "bolt"):
            learner.take(workshop.arrival(name))
        live, read = learner.model, Model.load(workshop.store(), workshop.store().current())
        assert live.version == read.version == 3
        assert list(live.experts.items()) == list(read.experts.items())
        assert list(digests(learner).items()) == [(name, stored.digest) for name, stored in read.banks.items()]
        assert live.mecad == read.mecad
        for expert, centroid_D in live.expert_centroids().items():
            np.testing.assert_array_equal(centroid_D, read.expert_centroids()[expert])
        for name, stored in live.banks.items():
            np.testing.assert_array_equal(stored.bank.prototypes_KD, read.banks[name].bank.prototypes_KD)
            np.testing.assert_array_equal(stored.bank.calibration_LN, read.banks[name].bank.calibration_LN)
            np.testing.assert_array_equal(stored.row_mean_D, read.banks[name].row_mean_D)
