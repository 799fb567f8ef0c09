import dataclasses

import numpy as np
import pytest

from eagleray.adapted_moe import image_scores
from eagleray.continual import ScoringSession, load_expert
from eagleray.continual.open_judge import open_judge
from eagleray.data import read_texture_ad
from eagleray.errors import StoreCorrupt, StoreError
from eagleray.experts import BankExpert
from eagleray.experts.adapted_expert import AdaptedExpert
from eagleray.features import load_image
from eagleray.mixture import WHITENED_BANK, Design, Mixture
from eagleray.storage import ModelStore
from tests.unit.adapted_moe.conftest import SCORING, write_subclass

MIXTURE = Design(expert="discriminator", moe=True, adaptions=("std",), norm=True)
BANKS = Design(expert="bank", moe=True, adaptions=("none", "mean"))


@pytest.mark.parametrize(("design", "top_k"), [(WHITENED_BANK, 1), (BANKS, 1), (BANKS, 2), (MIXTURE, 2), (MIXTURE, 3)])
def test_a_kept_mixture_scores_one_picture_at_a_time_as_the_workshop_did_to_the_bit(mill, design, top_k):
    workshop, built = mill.workshop(), mill.built(mill.embed(), design, top_k=top_k)
    mill.keep(built, workshop)
    grids_NHW = workshop.patch_scores(built)
    scores_N = image_scores(grids_NHW, SCORING)
    session = ScoringSession.open(mill.store)
    for path, grid_HW, score in zip(built.data.test.paths, grids_NHW, scores_N, strict=True):
        for category in (None, "cloth"):
            finding = session.score(load_image(path), category=category)
            np.testing.assert_array_equal(finding.patch_scores_HW, grid_HW)
            assert (finding.category, finding.score) == ("cloth", score)


def test_a_picture_scores_the_same_whatever_was_scored_before_it(mill):
    mill.keep(built := mill.built(mill.embed(), MIXTURE, top_k=2))
    session = ScoringSession.open(mill.store)
    forth = [session.score(load_image(path)).score for path in built.data.test.paths]
    back = [session.score(load_image(path)).score for path in reversed(built.data.test.paths)]
    assert forth == back[::-1]


def test_thresholds_come_from_the_held_out_pictures(mill):
    workshop, built = mill.workshop(), mill.built(mill.embed(), MIXTURE, top_k=2)
    _, mixture = mill.keep(built, workshop)
    session = ScoringSession.open(mill.store)
    held = sorted(session.score(load_image(built.data.train.paths[image])).score for image in built.data.held_out)
    assert mixture.calibration_N.tolist() == held


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_a_picture_asks_experts_by_top_k_not_by_their_number(mill, top_k):
    manifest, _ = mill.keep(mill.built(mill.embed(), BANKS, top_k=top_k))
    judge = open_judge(mill.store, manifest, false_alarm_rate=0.1)
    patches_HWD = np.random.default_rng(0).random((8, 8, 6)).astype(np.float32)
    asks = judge.plan(patches_HWD).asks
    assert len({ask.expert for ask in asks}) == len(asks) == 2 * top_k
    assert sum(ask.weight for ask in asks) == pytest.approx(1)
    assert judge.classes["cloth"].experts == (0, 1, 2, 3, 4, 5)


def test_a_category_is_one_version_and_none_the_second_time(mill):
    built, workshop = mill.built(mill.embed(), MIXTURE), mill.workshop()
    first, _ = mill.keep(built, workshop)
    assert (first.version, mill.store.versions()) == (1, (1,))
    again, mixture = mill.keep(built, workshop, first)
    assert (again, mill.store.versions()) == (first, (1,))
    assert mixture.to_bytes() == mill.store.get_blob(first.classes["cloth"].blob).to_pybytes()
    (event,) = first.history
    assert (event.op, event.class_name, event.num_images) == ("learn", "cloth", 24)


def test_a_run_that_starts_from_the_store_commits_nothing_new_either(mill):
    built = mill.built(mill.embed(), MIXTURE)
    first, _ = mill.keep(built)
    again, _ = mill.keep(built)  # another workshop; what lies in the store is where it starts
    assert again == first


def test_two_categories_have_versions_and_expert_numbers_of_their_own(mill):
    cloth, _ = mill.keep(mill.built(mill.embed(), BANKS))
    paper = mill.embed(mill.category("paper", seen=("dark", "light"), unseen=()))
    both, _ = mill.keep(mill.built(paper, BANKS), manifest=cloth)
    judge = open_judge(mill.store, both, false_alarm_rate=0.1)
    assert mill.store.versions() == (1, 2)
    assert judge.categories == ("cloth", "paper")
    assert judge.classes["cloth"].experts == (0, 1, 2, 3, 4, 5)
    assert judge.classes["paper"].experts == (6, 7, 8, 9)


def test_a_category_that_grew_takes_no_number_of_another(mill):
    data = mill.embed()
    manifest, _ = mill.keep(mill.built(data, WHITENED_BANK))
    paper = mill.embed(mill.category("paper", seen=("dark", "light"), unseen=()))
    manifest, _ = mill.keep(mill.built(paper, BANKS), manifest=manifest)
    manifest, _ = mill.keep(mill.built(data, MIXTURE), manifest=manifest)
    judge = open_judge(mill.store, manifest, false_alarm_rate=0.1)
    assert judge.classes["paper"].experts == (1, 2, 3, 4)
    assert len(judge.classes["cloth"].experts) == 3
    assert not {*judge.classes["cloth"].experts} & {*judge.classes["paper"].experts}
    assert [event.op for event in manifest.history] == ["learn", "learn", "update"]


def test_more_pictures_make_a_new_version_with_the_same_numbers(mill):
    first, _ = mill.keep(mill.built(mill.embed(), BANKS))
    write_subclass(mill.data / "cloth/felt", train=9)
    second, _ = mill.keep(mill.built(mill.embed(read_texture_ad(mill.data)[0]), BANKS))
    assert (second.version, second.classes["cloth"].expert) == (2, first.classes["cloth"].expert)
    assert second.classes["cloth"].num_images == 25
    assert [event.op for event in second.history] == ["learn", "update"]


def test_a_version_names_all_that_it_needs_and_nothing_that_was_replaced(mill):
    data = mill.embed()
    manifest, _ = mill.keep(mill.built(data, BANKS))
    manifest, mixture = mill.keep(mill.built(data, MIXTURE), manifest=manifest)
    experts = {digest for row in mixture.head.experts for digest in row}
    assert set(manifest.blobs.values()) == {manifest.blobs["extractor"], *experts}
    assert sorted(manifest.blobs) == ["cloth/felt/std", "cloth/linen/std", "cloth/twill/std", "extractor"]


def test_a_picture_is_recognised_as_of_its_category(mill):
    cloth, _ = mill.keep(mill.built(mill.embed(), WHITENED_BANK))
    paper = mill.embed(mill.category("paper", seen=("dark", "light"), unseen=()))
    mill.keep(mill.built(paper, WHITENED_BANK), manifest=cloth)
    session = ScoringSession.open(mill.store)
    finding = session.score(load_image(paper.train.paths[0]))
    assert finding.category == "paper"
    assert [route.category for route in finding.routing] == ["paper", "cloth"]
    assert finding.novelty is None


def test_a_loaded_expert_is_a_class_bank_or_an_adapted_one_by_its_bytes(mill, tiny_model):
    _, mixture = mill.keep(mill.built(mill.embed(), MIXTURE))
    banks = ModelStore.open(tiny_model.store)
    bank = load_expert(banks.get_blob(banks.current().classes["dots"].blob), "here")
    adapted = load_expert(mill.store.get_blob(mixture.head.experts[0][0]), "here")
    assert isinstance(bank, BankExpert)
    assert isinstance(adapted, AdaptedExpert)
    with pytest.raises(StoreCorrupt, match=r"^there: not an expert"):
        load_expert(mill.store.get_blob(mill.store.put_blob(b"neither")), "there")


def test_bytes_that_are_no_mixture_are_refused():
    with pytest.raises(StoreCorrupt, match=r"^there: not a mixture"):
        Mixture.from_bytes(b"no mixture", "there")


def test_a_model_of_another_kind_is_refused_in_one_line(mill):
    manifest, _ = mill.keep(mill.built(mill.embed(), WHITENED_BANK))
    with pytest.raises(StoreError) as caught:
        open_judge(mill.store, dataclasses.replace(manifest, kind="oracle"), false_alarm_rate=0.1)
    assert len(str(caught.value).splitlines()) == 1
    assert "'oracle', not 'mecad' or 'adapted_moe'" in str(caught.value)


def test_a_judge_of_a_new_version_takes_over_the_mixtures_that_did_not_change(mill):
    first, _ = mill.keep(mill.built(mill.embed(), WHITENED_BANK))
    paper = mill.embed(mill.category("paper", seen=("dark", "light"), unseen=()))
    second, _ = mill.keep(mill.built(paper, WHITENED_BANK), manifest=first)
    old = open_judge(mill.store, first, false_alarm_rate=0.1)
    new = open_judge(mill.store, second, false_alarm_rate=0.1, previous=old)
    assert new.mixtures["cloth"].mixture is old.mixtures["cloth"].mixture
