"""What an expert does with patches: the coreset, its prefixes, calibration, and the budgets."""

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest

from eagleray.banks import BankConfig, covering_radius, farthest_first
from eagleray.continual import ExpertUpdate, MecadConfig, update_expert
from eagleray.experts import BankExpert, ScoringConfig, image_score

DIM = 6
RECIPES = {
    "plain": {"whitening_directions": 0},
    "whitened": {"whitening_directions": 3},
}


def pictures(count, *, seed=0, centre=0.0, shards=2):
    """Patches (n, 4, 4, D) of some pictures, cut into shards."""
    rng = np.random.default_rng(seed)
    patches = centre + rng.normal(size=(count, 4, 4, DIM)) * np.linspace(0.3, 2, DIM)
    return np.array_split(patches.astype(np.float16), shards)


def update(name="nut", *, num_classes=1, recipe="plain", seed=0, top_share=0.0, bank=None, **mecad):
    return ExpertUpdate(
        class_name=name,
        num_classes=num_classes,
        seed=seed,
        mecad=MecadConfig(**{"rows_per_class": 100, "rows_per_expert": 300, "expert_capacity": 5} | mecad),
        bank=BankConfig(**{"num_prototypes": 3} | RECIPES[recipe] | (bank or {})),
        scoring=ScoringConfig(top_share=top_share),
        provenance={"seed": seed},
    )


def fit(name="nut", *, memory=None, fit_on=None, calibrate_on=None, **options):
    return update_expert(
        update(name, num_classes=len({*(memory or {}), name}), **options),
        memory or {},
        fit_on or pictures(20),
        calibrate_on if calibrate_on is not None else pictures(4, seed=1, shards=1),
    )


def to_prototypes(shards, bank):
    """Distance of each picture's mean embedding to the nearest prototype of a class."""
    means_ND = np.concatenate(shards).astype(np.float32).mean(axis=(1, 2))
    return np.linalg.norm(means_ND[:, None] - bank.prototypes_KD, axis=2).min(axis=1)


@pytest.mark.parametrize("recipe", RECIPES)
def test_rows_and_directions_together_keep_the_budget(recipe):
    bank = fit(recipe=recipe)["nut"]
    assert bank.num_vectors == 100
    assert bank.num_rows == 100 - sum(RECIPES[recipe].values())
    assert bank.num_images == 20
    assert bank.centroid_D.shape == (DIM,)
    assert bank.prototypes_KD.shape == (3, DIM)


def test_plain_rows_are_patches_of_the_class_in_farthest_first_order():
    bank = fit(bank={"projection_dim": 64})["nut"]
    points_ND = np.concatenate(pictures(20)).reshape(-1, DIM).astype(np.float32)
    everything = {tuple(point) for point in points_ND}
    assert all(tuple(row) in everything for row in bank.rows_MD)
    radii = [covering_radius([points_ND], bank.rows_MD[:rows]) for rows in (10, 30, 60, 100)]
    assert radii == sorted(radii, reverse=True)
    best = farthest_first(points_ND, 100, seed=0)
    assert radii[-1] <= 2 * covering_radius([points_ND], points_ND[best.indices_M])
    assert bank.coverage_radius == pytest.approx(radii[-1], rel=1e-5)


def test_a_class_smaller_than_its_budget_is_kept_whole():
    assert fit(fit_on=pictures(4))["nut"].num_rows == 64


def test_the_centroid_and_the_count_are_those_of_all_patches():
    bank = fit()["nut"]
    points_ND = np.concatenate(pictures(20)).reshape(-1, DIM).astype(np.float64)
    np.testing.assert_allclose(bank.centroid_D, points_ND.mean(0), atol=1e-3)


def test_prototypes_are_the_centres_of_the_pictures_closest_to_them():
    bank = fit()["nut"]
    means_ND = np.concatenate(pictures(20)).astype(np.float32).mean(axis=(1, 2))
    nearest_N = np.linalg.norm(means_ND[:, None] - bank.prototypes_KD, axis=2).argmin(axis=1)
    for number, prototype_D in enumerate(bank.prototypes_KD):
        np.testing.assert_allclose(prototype_D, means_ND[nearest_N == number].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_prefix_is_calibrated_with_the_scores_it_would_give(recipe):
    bank = fit(recipe=recipe, top_share=0.1)["nut"]
    held_out = np.concatenate(pictures(4, seed=1)).astype(np.float32)
    assert bank.level_rows_L[-1] == bank.num_rows
    for rows, scores_N in zip(bank.level_rows_L, bank.calibration_LN, strict=True):
        expert = BankExpert(bank.rows_MD[:rows], bank.whitening)
        by_hand = [image_score(expert.patch_scores(p), ScoringConfig(top_share=0.1)) for p in held_out]
        np.testing.assert_allclose(scores_N, by_hand, rtol=1e-5)
    assert (np.diff(bank.calibration_LN, axis=0) <= 1e-4).all()  # more rows, lower scores


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_older_class_keeps_a_prefix_that_was_calibrated(recipe):
    memory = fit("nut", recipe=recipe)
    for number in range(1, 5):
        memory |= fit(f"other{number}", recipe=recipe, memory=memory, fit_on=pictures(20, seed=number))
    full, kept = fit("nut", recipe=recipe)["nut"], memory["nut"]
    assert kept.num_rows < full.num_rows
    np.testing.assert_array_equal(kept.rows_MD, full.rows_MD[: kept.num_rows])
    assert kept.num_rows == kept.level_rows_L[-1]
    np.testing.assert_array_equal(kept.calibration_LN, full.calibration_LN[: len(kept.level_rows_L)])
    np.testing.assert_array_equal(kept.routing_distances_N, full.routing_distances_N)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("capacity", [2, 5, 12, 30])
def test_however_many_classes_join_the_experts_budget_holds(recipe, capacity):
    memory = {}
    for number in range(capacity):
        name = f"class{number}"
        memory |= fit(name, recipe=recipe, memory=memory, fit_on=pictures(10, seed=number), expert_capacity=capacity)
        assert sum(bank.num_vectors for bank in memory.values()) <= 300
        assert max(bank.num_vectors for bank in memory.values()) <= 100
        assert min(bank.num_rows for bank in memory.values()) >= 1


def test_classes_that_need_not_make_room_are_not_touched():
    memory = fit("nut")
    assert set(fit("bolt", memory=memory)) == {"bolt"}
    memory |= fit("bolt", memory=memory)
    assert set(fit("disc", memory=memory)) == {"disc"}
    memory |= fit("disc", memory=memory)
    assert set(fit("pin", memory=memory)) == {"nut", "bolt", "disc", "pin"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_update_covers_old_and_new_images(recipe):
    memory = fit("nut", recipe=recipe)
    before = memory["nut"]
    after = fit("nut", recipe=recipe, memory=memory, fit_on=pictures(10, seed=5, centre=8.0), calibrate_on=[])["nut"]
    assert after.num_vectors <= 100
    assert after.num_images == 30
    np.testing.assert_allclose(after.centroid_D, before.centroid_D * 2 / 3 + 8 / 3, atol=0.2)
    assert after.calibration_LN.shape[1] == before.calibration_LN.shape[1]

    def worst(bank, patches):
        expert = BankExpert(bank.rows_MD, bank.whitening)
        return max(expert.patch_scores(picture.astype(np.float32)).max() for shard in patches for picture in shard)

    foreign = pictures(3, seed=9, centre=-8.0)
    for known in (pictures(20), pictures(10, seed=5, centre=8.0)):
        assert worst(after, known) < 0.7 * worst(after, foreign)
    assert worst(before, pictures(10, seed=5, centre=8.0)) > 2 * worst(after, pictures(10, seed=5, centre=8.0))


def test_an_update_adds_its_calibration_to_the_earlier_one():
    memory = fit("nut")
    after = fit("nut", memory=memory, calibrate_on=pictures(3, seed=7, shards=2))["nut"]
    assert after.calibration_LN.shape[1] == 4 + 3
    np.testing.assert_array_equal(after.calibration_LN[-1][:4], memory["nut"].calibration_LN[-1])


def test_routing_distances_are_those_of_held_out_pictures_to_the_nearest_prototype():
    held_out = pictures(4, seed=1, centre=0.5, shards=2)
    bank = fit(calibrate_on=held_out)["nut"]
    assert bank.routing_distances_N.dtype == np.float32
    np.testing.assert_allclose(bank.routing_distances_N, to_prototypes(held_out, bank), rtol=1e-5)


def test_an_update_adds_its_routing_distances_to_the_earlier_ones():
    memory = fit("nut")
    held_out = pictures(3, seed=7, shards=2)
    after = fit("nut", memory=memory, fit_on=pictures(10, seed=5, centre=8.0), calibrate_on=held_out)["nut"]
    np.testing.assert_array_equal(after.routing_distances_N[:4], memory["nut"].routing_distances_N)
    np.testing.assert_allclose(after.routing_distances_N[4:], to_prototypes(held_out, after), rtol=1e-5)


def test_an_update_that_holds_nothing_out_keeps_the_routing_distances():
    memory = fit("nut")
    after = fit("nut", memory=memory, fit_on=pictures(3, seed=5), calibrate_on=[])["nut"]
    np.testing.assert_array_equal(after.routing_distances_N, memory["nut"].routing_distances_N)


def test_a_class_of_an_older_store_gets_routing_distances_with_its_next_update():
    memory = fit("nut")
    old = {"nut": dataclasses.replace(memory["nut"], routing_distances_N=np.empty(0, np.float32))}
    held_out = pictures(3, seed=7, shards=1)
    after = fit("nut", memory=old, calibrate_on=held_out)["nut"]
    np.testing.assert_allclose(after.routing_distances_N, to_prototypes(held_out, after), rtol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_seed_same_bytes_other_seed_other_bytes(recipe):
    first, again, other = (fit(recipe=recipe, seed=seed)["nut"].to_bytes() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("recipe", RECIPES)
def test_how_pictures_are_cut_into_shards_does_not_matter_within_the_memory_budget(recipe):
    rows = [fit(recipe=recipe, fit_on=pictures(20, shards=shards))["nut"].rows_MD for shards in (1, 2, 7)]
    for ours, theirs in itertools.pairwise(rows):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_beyond_the_memory_budget_a_class_is_selected_in_groups_nearly_as_well():
    large = pictures(3000, shards=60)  # 48,000 patches, 1.1 MB in single precision
    small_memory = fit(fit_on=large, bank={"memory_mb": 1})["nut"]
    whole = fit(fit_on=large)["nut"]
    assert small_memory.num_rows == whole.num_rows == 100
    assert not np.array_equal(small_memory.rows_MD, whole.rows_MD)
    assert small_memory.coverage_radius <= 1.5 * whole.coverage_radius


def test_one_and_the_same_patch_everywhere_is_a_bank_of_one_row():
    flat = [np.full((6, 4, 4, DIM), 0.5, np.float16)]
    for recipe in RECIPES:
        bank = fit(recipe=recipe, fit_on=flat, calibrate_on=[flat[0][:2]])["nut"]
        assert np.isfinite(bank.rows_MD).all()
        np.testing.assert_allclose(bank.calibration_LN, 0, atol=1e-3)
        assert bank.coverage_radius == pytest.approx(0, abs=1e-3)


def test_directions_of_a_replayed_class_take_the_place_of_rows():
    older = fit(recipe="whitened")["nut"]
    crowded = {"rows_per_class": 40, "rows_per_expert": 40, "replay_ratio": 1.0}
    arriving = update("bolt", num_classes=2, recipe="whitened", memory="replay", **crowded)
    changed = update_expert(arriving, {"nut": older}, pictures(20), [])
    assert changed["nut"].num_vectors == 20
    assert changed["nut"].num_rows == 17


def test_held_out_pictures_are_whitened_one_after_the_other():
    many = [np.random.default_rng(0).normal(size=(40, 24, 24, 96)).astype(np.float16)]  # 8.8 MB, single
    tracemalloc.start()
    fit(fit_on=[many[0][:4]], calibrate_on=many, recipe="whitened")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
