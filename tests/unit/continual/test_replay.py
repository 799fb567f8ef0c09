import dataclasses

import numpy as np
import pytest

from eagleray.banks import BankConfig, ClassBank
from eagleray.continual import ExpertUpdate, MecadConfig, update_expert
from eagleray.continual.replay import random_replay
from eagleray.experts import ScoringConfig


@pytest.fixture(scope="module")
def full():
    """A class of 400 rows, as the paper budgets, learned from plain noise."""
    rng = np.random.default_rng(0)
    update = ExpertUpdate(
        class_name="nut",
        num_classes=1,
        seed=0,
        mecad=MecadConfig(memory="replay"),
        bank=BankConfig(whitening_directions=0),
        scoring=ScoringConfig(top_share=0.0),
        provenance={"seed": 0},
    )
    pictures = [rng.normal(size=(6, 8, 8, 5)).astype(np.float16) for _ in range(3)]
    return update_expert(update, {}, pictures[:2], pictures[2:])["nut"]


def as_set(bank: ClassBank):
    return {tuple(row) for row in bank.rows_MD}


def test_the_papers_ratio_keeps_eighty_of_four_hundred_rows(full):
    assert full.num_rows == 400
    kept = random_replay(full, MecadConfig(memory="replay").rows_replayed(), seed=0)
    assert kept.num_rows == round(0.2 * 400) == 80
    assert as_set(kept) < as_set(full)
    assert len(as_set(kept)) == 80


def test_replay_is_deterministic_and_idempotent(full):
    kept = random_replay(full, 80, seed=3)
    assert kept.to_bytes() == random_replay(full, 80, seed=3).to_bytes()
    assert random_replay(kept, 80, seed=3) is kept
    assert random_replay(kept, 80, seed=4) is kept


def test_seed_and_class_change_the_draw(full):
    kept = as_set(random_replay(full, 80, seed=0))
    assert as_set(random_replay(full, 80, seed=1)) != kept
    assert as_set(random_replay(dataclasses.replace(full, name="bolt"), 80, seed=0)) != kept


def test_replay_is_random_not_the_coresets_prefix(full):
    kept = random_replay(full, 80, seed=0)
    positions = [int(np.flatnonzero((full.rows_MD == row).all(axis=1))[0]) for row in kept.rows_MD]
    assert positions == sorted(positions)
    assert 150 < np.mean(positions) < 250  # a prefix would lie around 40


def test_everything_but_the_rows_stays(full):
    kept = random_replay(full, 80, seed=0)
    np.testing.assert_array_equal(kept.centroid_D, full.centroid_D)
    np.testing.assert_array_equal(kept.prototypes_KD, full.prototypes_KD)
    np.testing.assert_array_equal(kept.calibration_LN, full.calibration_LN[-1:])
    np.testing.assert_array_equal(kept.level_rows_L, [80])
    assert (kept.name, kept.num_images) == (full.name, full.num_images)


def test_a_replayed_class_survives_the_store_and_further_truncation(full):
    kept = random_replay(full, 80, seed=0)
    again = ClassBank.from_bytes(kept.to_bytes(), "here")
    np.testing.assert_array_equal(again.rows_MD, kept.rows_MD)
    assert again.truncated(80).num_rows == 80


def test_a_bank_that_is_small_enough_is_kept_as_it_is(full):
    assert random_replay(full, 400, seed=0) is full
    assert random_replay(full, 1000, seed=0) is full
