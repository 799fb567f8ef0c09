from collections import Counter

import numpy as np
import pytest

from eagleray.continual import Removal, controls
from eagleray.continual.pool import load_bank

NAMES = ("nut", "bolt", "disc", "pin")


class Learned:
    """Some products learned, and the manifest after each step."""

    def __init__(self, workshop, names=NAMES, *, bank=None, **mecad):
        self.store = workshop.store()
        self.learner = workshop.learner(config=workshop.config(bank=bank, **mecad))
        for name in names:
            self.learner.take(workshop.arrival(name, good=(), defective=()))

    @property
    def versions(self):
        return {len(self.store.read(n).history): self.store.read(n) for n in self.store.versions()}

    @property
    def model(self):
        return self.learner.model

    def rows(self, digest):
        return load_bank(self.store, digest).num_rows

    def random(self, seed=0):
        return controls.random_assignment(self.versions, self.store, self.model.mecad, seed=seed)


def test_the_oracle_expert_is_what_the_class_was_assigned(workshop):
    learned = Learned(workshop)
    assert controls.oracle_expert(learned.model) == {
        name: (stored.digest,) for name, stored in learned.model.banks.items()
    }


def test_the_oracle_expert_with_replay_is_all_of_the_experts_rows(workshop):
    learned = Learned(workshop, memory="replay", similarity_threshold=-1.0)
    for name, group in controls.oracle_expert(learned.model).items():
        assert group == learned.model.expert_blobs(learned.model.experts[name])
        assert len(group) == 2


def test_the_shared_bank_is_every_row_in_one_bank_for_every_class(workshop):
    learned = Learned(workshop)
    groups = controls.shared_bank(learned.model, learned.store)
    assert set(groups) == set(NAMES)
    ((digest,),) = set(groups.values())
    rows = [tuple(row) for row in load_bank(learned.store, digest).rows_MD]
    own = [load_bank(learned.store, stored.digest).rows_MD for stored in learned.model.banks.values()]
    assert sorted(rows) == sorted(tuple(row) for rows_MD in own for row in rows_MD)


def test_the_shared_bank_knows_no_class_not_even_by_its_whitening(workshop):
    learned = Learned(workshop, bank={"whitening_directions": 3})
    (digest,) = controls.shared_bank(learned.model, learned.store)["nut"]
    shared = load_bank(learned.store, digest)
    own = [load_bank(learned.store, stored.digest) for stored in learned.model.banks.values()]
    plain_MD = np.concatenate([bank.whitening.undo(bank.rows_MD) for bank in own])
    np.testing.assert_allclose(shared.rows_MD, shared.whitening.apply(plain_MD), atol=1e-4)
    weights = [bank.num_images for bank in own]
    mean_D = np.average([bank.whitening.mean_D for bank in own], axis=0, weights=weights)
    np.testing.assert_allclose(shared.whitening.mean_D, mean_D, atol=1e-5)


def test_a_model_without_classes_shares_nothing(workshop):
    learned = Learned(workshop, ())
    assert controls.shared_bank(learned.model, learned.store) == {}


@pytest.mark.parametrize("memory", ["nested", "replay"])
def test_a_bank_per_class_is_the_bank_before_others_asked_for_room(workshop, memory):
    learned = Learned(workshop, memory=memory, similarity_threshold=-1.0, expert_capacity=4, num_experts=1)
    found = controls.bank_per_class(learned.versions)
    assert set(found) == set(NAMES)
    for step, name in enumerate(NAMES, start=1):
        assert found[name] == (learned.versions[step].classes[name].blob,)
    assert learned.rows(found["nut"][0]) == 60
    assert learned.model.banks["nut"].num_rows < 60


def test_a_bank_per_class_follows_updates_and_removals(workshop):
    learned = Learned(workshop, similarity_threshold=1.0)
    learned.learner.take(workshop.arrival("nut", train=range(12, 20)))
    learned.learner.take(Removal("disc"))
    found = controls.bank_per_class(learned.versions)
    assert set(found) == {"nut", "bolt", "pin"}
    assert found["nut"] == (learned.model.banks["nut"].digest,)


def experts_of(groups):
    """Classes that are scored against the same blobs share an expert."""
    return Counter(groups.values())


def test_random_assignment_respects_the_capacity_and_is_seeded(workshop):
    learned = Learned(workshop, memory="replay")
    seen = set()
    for seed in range(12):
        groups = learned.random(seed)
        assert set(groups) == set(NAMES)
        assert max(experts_of(groups).values()) <= 2
        assert learned.random(seed) == groups
        seen.add(tuple(sorted(groups.items())))
    assert len(seen) > 3


def test_random_assignment_with_replay_keeps_the_newest_class_whole(workshop):
    learned = Learned(workshop, memory="replay", num_experts=1, expert_capacity=4, rows_per_class=50)
    (group,) = set(learned.random().values())
    assert [learned.rows(digest) for digest in group[:-1]] == [10, 10, 10]
    full = controls.bank_per_class(learned.versions)
    assert group[-1] == full["pin"][0]


def test_random_assignment_shares_an_experts_rows_as_the_learner_does(workshop):
    learned = Learned(workshop, num_experts=1, expert_capacity=4)
    groups = learned.random()
    rows = {name: learned.rows(digest) for name, (digest,) in groups.items()}
    assert max(rows.values()) <= 120 // 4
    assert sum(rows.values()) <= 120


def test_random_assignment_leaves_removed_classes_out(workshop):
    learned = Learned(workshop)
    learned.learner.take(Removal("bolt"))
    assert set(learned.random()) == {"nut", "disc", "pin"}


def test_controls_leave_the_model_as_it_is(workshop):
    learned = Learned(workshop, similarity_threshold=-1.0)
    before = learned.store.current()
    learned.random()
    assert learned.store.current() == before


def test_every_control_has_a_note():
    assert set(controls.NOTES) == {
        "routed", "oracle_expert", "shared_bank", "bank_per_class", "random_assignment"
    }  # fmt: skip
