import dataclasses

import numpy as np
import pytest

from eagleray.adaptation import PatchStatistics, fit_adaption

DIM = 8
KINDS = ("none", "mean", "std", "channels", "subspace")


def pictures(count=12, *, height=4, width=5, seed=0, offset=2.0):
    """Pictures whose channels differ in mean and deviation, and which differ from each other."""
    random = np.random.default_rng(seed)
    spread_D = np.linspace(0.5, 3, DIM)
    means_N11D = offset + random.normal(size=(count, 1, 1, DIM))
    return (means_N11D + spread_D * random.normal(size=(count, height, width, DIM))).astype(np.float32)


def fitted(kind, shards=None, *, unit=False, **options):
    own = PatchStatistics.of([pictures()] if shards is None else shards)
    return fit_adaption(kind, own, own, unit=unit, **options)


def root_mean_square(values):
    return (sum(value**2 for value in values) / len(values)) ** 0.5


def mean_and_deviation(patches_HWD):
    """Of each channel, in double precision, patch by patch."""
    channels = [[float(patch[channel]) for row in patches_HWD for patch in row] for channel in range(DIM)]
    means = [sum(values) / len(values) for values in channels]
    return means, [
        root_mean_square([value - mean for value in values]) for values, mean in zip(channels, means, strict=True)
    ]


def equation_5(kind, patches_HWD, training_NHWD):
    known = [mean_and_deviation(picture) for picture in training_NHWD]
    centre = [sum(means[channel] for means, _ in known) / len(known) for channel in range(DIM)]
    means, stds = mean_and_deviation(patches_HWD)
    factors = [1.0] * DIM
    if kind == "std":
        factors = [sum(root_mean_square(theirs) for _, theirs in known) / len(known) / root_mean_square(stds)] * DIM
    if kind == "channels":
        factors = [sum(theirs[channel] for _, theirs in known) / len(known) / stds[channel] for channel in range(DIM)]
    adapted_HWD = np.empty(patches_HWD.shape)
    for place in np.ndindex(patches_HWD.shape):
        channel = place[2]
        adapted_HWD[place] = (patches_HWD[place] - means[channel]) * factors[channel] + centre[channel]
    return adapted_HWD


@pytest.mark.parametrize("kind", ["mean", "std", "channels"])
def test_equation_5_is_that_of_a_loop_over_patches(kind):
    picture_HWD = 1 + 3 * pictures(1, height=3, width=7, seed=5)[0]
    found_HWD = fitted(kind).apply(picture_HWD)
    assert found_HWD.dtype == np.float32
    np.testing.assert_allclose(found_HWD, equation_5(kind, picture_HWD, pictures()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_equation_6_gives_every_patch_length_1_and_keeps_its_direction(kind):
    picture_HWD = pictures(1, seed=5)[0]
    long_HWD, unit_HWD = fitted(kind).apply(picture_HWD), fitted(kind, unit=True).apply(picture_HWD)
    np.testing.assert_allclose(np.linalg.norm(unit_HWD, axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(unit_HWD * np.linalg.norm(long_HWD, axis=2)[..., None], long_HWD, rtol=1e-4, atol=1e-5)
    assert not np.allclose(np.linalg.norm(long_HWD, axis=2), 1, rtol=0.1)


def test_after_channels_every_channel_has_the_mean_and_the_deviation_of_the_training_pictures():
    training_NHWD = pictures()
    adapted_HWD = fitted("channels").apply(100 - 7 * pictures(1, seed=5)[0])
    np.testing.assert_allclose(adapted_HWD.mean(axis=(0, 1)), training_NHWD.mean(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(adapted_HWD.std(axis=(0, 1)), training_NHWD.std(axis=(1, 2)).mean(axis=0), rtol=1e-4)


def test_another_brightness_and_contrast_are_adapted_away_by_std_and_channels_only():
    picture_HWD = pictures(1, seed=5)[0]
    changed_HWD = 3 * picture_HWD + 10
    for kind in KINDS:
        adaption = fitted(kind)
        difference = np.abs(adaption.apply(changed_HWD) - adaption.apply(picture_HWD)).max()
        assert (difference < 1e-3) == (kind in ("std", "channels")), kind


def test_none_leaves_patches_as_they_are():
    picture_HWD = pictures(1, seed=5)[0]
    np.testing.assert_array_equal(fitted("none").apply(picture_HWD), picture_HWD)


def lit(*, count=40):
    """Pictures whose light differs, along channels 0 and 1; everything else is the same to a hundredth."""
    random = np.random.default_rng(3)
    means_ND = 0.01 * random.normal(size=(count, DIM))
    means_ND[:, :2] += 5 * random.normal(size=(count, 2))
    return (means_ND[:, None, None] + random.normal(size=(count, 4, 4, DIM))).astype(np.float32)


def test_subspace_removes_a_shift_in_which_good_pictures_differ_entirely_and_keeps_a_large_defect():
    adaption = fitted("subspace", [lit()], num_directions=2)
    picture_HWD = pictures(1, seed=5, offset=0)[0]
    expected_HWD = adaption.apply(picture_HWD)

    light_D = 4 * adaption.directions_DJ[:, 0] - 9 * adaption.directions_DJ[:, 1]
    assert np.abs(light_D[:2]).max() > 5  # the directions are those of the light
    np.testing.assert_allclose(adaption.apply(picture_HWD + light_D), expected_HWD, atol=1e-4)

    defect_D = np.full(DIM, 6, np.float32)
    defect_D -= adaption.directions_DJ @ (adaption.directions_DJ.T @ defect_D)
    assert np.linalg.norm(defect_D) > 10
    np.testing.assert_allclose(adaption.apply(picture_HWD + defect_D), expected_HWD + defect_D, atol=1e-4)
    by_mean = fitted("mean", [lit()])
    np.testing.assert_allclose(by_mean.apply(picture_HWD + defect_D), by_mean.apply(picture_HWD), atol=1e-4)


def test_subspace_brings_the_mean_to_the_centre_along_the_directions():
    adaption = fitted("subspace", [lit()], num_directions=2)
    mean_D = adaption.apply(pictures(1, seed=5)[0]).mean(axis=(0, 1))
    np.testing.assert_allclose((mean_D - adaption.centre_D) @ adaption.directions_DJ, 0, atol=1e-4)


def test_a_defect_in_one_patch_stays_a_difference_to_its_neighbours():
    picture_HWD = pictures(1, height=10, width=10, seed=5)[0]
    defect_HWD = picture_HWD.copy()
    defect_HWD[3, 4] += 20
    for kind in KINDS:
        adaption = fitted(kind)
        change_HW = np.linalg.norm(adaption.apply(defect_HWD) - adaption.apply(picture_HWD), axis=2)
        assert np.unravel_index(change_HW.argmax(), change_HW.shape) == (3, 4), kind
        assert change_HW[3, 4] > 3 * np.median(change_HW), kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("value", [0, 0.25, -8])
def test_a_constant_picture_gives_numbers(kind, unit, value):
    constant_HWD = np.full((4, 5, DIM), value, np.float32)
    adaption = fitted(kind, unit=unit)
    found_HWD = adaption.apply(constant_HWD)
    assert np.isfinite(found_HWD).all()
    if kind in ("mean", "std", "channels") and not unit:
        np.testing.assert_allclose(found_HWD, np.broadcast_to(adaption.centre_D, found_HWD.shape), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_training_pictures_give_numbers(kind):
    adaption = fitted(kind, [np.full((8, 4, 5, DIM), 3, np.float32)], unit=True)
    assert np.isfinite(adaption.apply(pictures(1, seed=5)[0])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_adapted_alone_and_not_changed_in_place(kind):
    adaption, several_NHWD = fitted(kind, unit=True), pictures(4, seed=5)
    before = several_NHWD.copy()
    together = [adaption.apply(picture_HWD) for picture_HWD in several_NHWD]
    np.testing.assert_array_equal(several_NHWD, before)
    for number in (3, 1):
        np.testing.assert_array_equal(adaption.apply(before[number].copy()), together[number])


def test_half_precision_is_widened_first():
    halves_HWD = pictures(1, seed=5)[0].astype(np.float16)
    adaption = fitted("channels", unit=True)
    found_HWD = adaption.apply(halves_HWD)
    assert found_HWD.dtype == np.float32
    np.testing.assert_array_equal(found_HWD, adaption.apply(halves_HWD.astype(np.float32)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [False, True])
def test_without_moving_only_equation_6_is_left(kind, unit):
    picture_HWD = pictures(1, seed=5)[0]
    adaption = fitted(kind, unit=unit)
    np.testing.assert_array_equal(
        adaption.without_moving().apply(picture_HWD), fitted("none", unit=unit).apply(picture_HWD)
    )
    assert dataclasses.replace(adaption.without_moving(), kind=kind) == adaption  # a copy that differs in this alone


@pytest.mark.parametrize(
    ("count", "wished", "kept"), [(1, 16, 1), (3, 16, 1), (4, 16, 1), (8, 16, 2), (23, 16, 5), (40, 3, 3), (400, 16, 8)]
)
def test_directions_are_at_most_a_quarter_of_the_pictures_and_orthonormal(count, wished, kept):
    everybody = PatchStatistics.of([pictures(count, height=1, width=2)])
    own = everybody.chosen([0])
    directions_DJ = fit_adaption("subspace", own, everybody, unit=False, num_directions=wished).directions_DJ
    assert directions_DJ.shape == (DIM, kept)
    assert directions_DJ.dtype == np.float32
    np.testing.assert_allclose(directions_DJ.T @ directions_DJ, np.eye(kept), atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "subspace"])
def test_other_kinds_have_no_directions(kind):
    assert fitted(kind).directions_DJ.shape == (DIM, 0)


def test_the_centre_is_of_the_experts_pictures_and_the_directions_are_of_everybodys():
    everybody = PatchStatistics.of([lit()])
    own = everybody.chosen([3, 8])
    adaption = fit_adaption("subspace", own, everybody, unit=False, num_directions=2)
    np.testing.assert_allclose(adaption.centre_D, lit()[[3, 8]].mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.abs(adaption.directions_DJ[2:]), 0, atol=0.05)  # two own pictures would not show it


def test_statistics_are_those_of_each_picture_however_the_shards_are_cut():
    halves_NHWD = pictures(7).astype(np.float16)
    whole = PatchStatistics.of([halves_NHWD])
    cut = PatchStatistics.of([halves_NHWD[:2], halves_NHWD[2:3], halves_NHWD[3:]])
    for number, picture_HWD in enumerate(halves_NHWD):
        means, stds = mean_and_deviation(picture_HWD)
        np.testing.assert_allclose(whole.means_ND[number], means, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(whole.stds_ND[number], stds, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(cut.means_ND, whole.means_ND)
    np.testing.assert_array_equal(cut.stds_ND, whole.stds_ND)
    np.testing.assert_array_equal(whole.chosen([5, 0]).means_ND, whole.means_ND[[5, 0]])
    np.testing.assert_array_equal(whole.chosen([5, 0]).stds_ND, whole.stds_ND[[5, 0]])
