"""Unreadable and missing pictures: few are skipped and counted, many are refused; the store is never harmed."""

from pathlib import Path

import pytest

from eagleray.continual import Arrival, LocalPool, embed_shard
from eagleray.data import Category
from eagleray.errors import EagleRayWarning, TooFewImages, TooManyBadImages


def refused(workshop, learner, arrival, kind):
    """Take an arrival that must fail; returns the error. Version and blobs stay as they were."""
    before = workshop.files()
    with pytest.raises(kind) as caught:
        learner.take(arrival)
    assert workshop.files() == before
    assert "\n" not in str(caught.value)
    return caught.value


def arrival_with_bad(workshop, name, train, bad, **options):
    arrival = workshop.arrival(name, train=train, **options)
    for number in bad:
        workshop.spoil(arrival.category.train[number])
    return arrival


def test_one_bad_image_in_many_is_skipped_warned_of_and_recorded(workshop):
    learner = workshop.learner()
    arrival = arrival_with_bad(workshop, "nut", range(40), [7])
    path = arrival.category.train[7].path
    with pytest.warns(EagleRayWarning, match=rf"class 'nut': 1 of 40 images .*{path}: cannot be read"):
        event = learner.take(arrival)
    assert [skipped.path for skipped in event.skipped] == [path]
    assert event.num_images == 39
    assert learner.history[0].skipped == event.skipped


def test_a_skipped_image_leaves_no_trace_in_the_bank(workshop):
    arrival = arrival_with_bad(workshop, "nut", range(40), [7])
    clean = Category("nut", tuple(s for n, s in enumerate(arrival.category.train) if n != 7), ())
    with_bad, without = workshop.learner("with"), workshop.learner("without")
    with pytest.warns(EagleRayWarning):
        with_bad.take(arrival)
    without.take(Arrival(clean))
    assert with_bad.model.banks["nut"].digest == without.model.banks["nut"].digest


def test_a_missing_file_is_skipped_like_an_unreadable_one(workshop):
    learner = workshop.learner()
    arrival = workshop.arrival("nut", train=range(40))
    Path(arrival.category.train[3].path).unlink()
    with pytest.warns(EagleRayWarning, match="1 of 40"):
        event = learner.take(arrival)
    assert [skipped.path for skipped in event.skipped] == [arrival.category.train[3].path]


def test_too_many_bad_images_name_the_first_the_share_and_the_flag(workshop):
    learner = workshop.learner()
    arrival = arrival_with_bad(workshop, "nut", range(20), [4, 9])
    error = refused(workshop, learner, arrival, TooManyBadImages)
    assert "class 'nut': 2 of 20 images are unreadable, more than the allowed share 0.05" in str(error)
    assert arrival.category.train[4].path in str(error)
    assert "--stream.max-bad-share" in str(error)


def test_bad_images_of_equal_bytes_count_each_for_itself(workshop):
    arrival = workshop.arrival("nut", train=range(20))
    for number in range(3, 9):  # what an interrupted copy leaves: files without a byte
        workshop.spoil(arrival.category.train[number], lambda _: b"")
    error = refused(workshop, workshop.learner(), arrival, TooManyBadImages)
    assert "6 of 20 images are unreadable" in str(error)
    with pytest.warns(EagleRayWarning, match="6 of 20"):
        event = workshop.learner(max_bad_share=0.3).take(arrival)
    assert [skipped.path for skipped in event.skipped] == [s.path for s in arrival.category.train[3:9]]


def test_exactly_the_allowed_share_is_allowed(workshop):
    arrival = arrival_with_bad(workshop, "nut", range(20), [4, 9])
    with pytest.warns(EagleRayWarning, match="2 of 20"):
        assert workshop.learner(max_bad_share=0.1).take(arrival).num_images == 18


def test_a_share_of_zero_makes_one_bad_image_fatal(workshop):
    arrival = arrival_with_bad(workshop, "nut", range(40), [0])
    refused(workshop, workshop.learner(max_bad_share=0), arrival, TooManyBadImages)


def test_all_images_unreadable_are_refused(workshop):
    arrival = arrival_with_bad(workshop, "nut", range(12), range(12))
    refused(workshop, workshop.learner(), arrival, TooManyBadImages)
    error = refused(workshop, workshop.learner(max_bad_share=1), arrival, TooFewImages)
    assert "0 good images" in str(error)


def test_a_shard_without_a_single_readable_image_is_passed_over(workshop):
    arrival = arrival_with_bad(workshop, "nut", range(60), range(8, 28))  # an interrupted copy: neighbours are broken
    clean = Category("nut", tuple(s for n, s in enumerate(arrival.category.train) if n not in range(8, 28)), ())
    with_bad, without = workshop.learner("with", max_bad_share=0.4), workshop.learner("without")
    with pytest.warns(EagleRayWarning, match="20 of 60"):
        event = with_bad.take(arrival)
    assert event.num_images == 40
    without.take(Arrival(clean))
    assert with_bad.model.banks["nut"].num_rows == without.model.banks["nut"].num_rows


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_images_are_refused_with_what_is_needed(workshop, count):
    error = refused(workshop, workshop.learner(), workshop.arrival("nut", train=range(count)), TooFewImages)
    assert f"class 'nut': {count} good images under" in str(error)
    assert "at least 5 are needed" in str(error)
    if count:
        assert str(workshop.root / "data" / "nut" / "train" / "good") in str(error)


def test_five_images_are_enough(workshop):
    learner = workshop.learner()
    assert learner.take(workshop.arrival("nut", train=range(5))).num_images == 5
    bank = learner.model.banks["nut"].bank
    assert bank.num_images + bank.calibration_LN.shape[1] == 5


def test_copies_of_one_image_do_not_make_up_for_too_few(workshop):
    copies = tuple(workshop.sample("nut", n % 3, name=f"{n}.png") for n in range(12))
    error = refused(workshop, workshop.learner(), Arrival(Category("nut", copies, ())), TooFewImages)
    assert "3 good images" in str(error)


def test_a_refused_class_does_not_stop_the_next_one(workshop):
    learner = workshop.learner()
    learner.take(workshop.arrival("bolt"))
    refused(workshop, learner, workshop.arrival("nut", train=range(2)), TooFewImages)
    assert learner.take(workshop.arrival("disc")).step == 2


def test_one_bad_new_image_of_a_known_class_is_skipped_and_changes_nothing(workshop):
    learner = workshop.learner()
    learner.take(workshop.arrival("nut", train=range(40)))
    before = workshop.files()
    with pytest.warns(EagleRayWarning, match="1 of 41"):
        assert learner.take(arrival_with_bad(workshop, "nut", range(41), [40])) is None
    assert workshop.files() == before


def test_the_same_images_again_learn_nothing_even_if_some_are_bad(workshop):
    learner = workshop.learner()
    arrival = arrival_with_bad(workshop, "nut", range(40), [7])
    with pytest.warns(EagleRayWarning):
        learner.take(arrival)
    before = workshop.files()
    with pytest.warns(EagleRayWarning, match="1 of 40"):
        assert learner.take(arrival) is None
    assert workshop.files() == before


def test_a_repaired_image_is_learned_when_it_comes_again(workshop):
    learner = workshop.learner()
    arrival = arrival_with_bad(workshop, "nut", range(40), [7])
    with pytest.warns(EagleRayWarning):
        learner.take(arrival)
    Path(arrival.category.train[7].path).unlink()
    event = learner.take(workshop.arrival("nut", train=range(40)))
    assert (event.op, event.num_images, event.skipped) == ("update", 1, ())


def test_an_update_with_too_many_bad_images_is_refused(workshop):
    learner = workshop.learner()
    learner.take(workshop.arrival("nut"))
    refused(workshop, learner, arrival_with_bad(workshop, "nut", range(12, 22), [0, 1, 2]), TooManyBadImages)


def test_a_shard_tells_what_it_read_and_what_it_skipped(workshop):
    samples = workshop.product("nut", train=range(3)).train
    workshop.spoil(samples[1])
    info, patches = embed_shard(workshop.extractor.open(), [s.path for s in samples], 32)
    assert info.paths == (samples[0].path, samples[2].path)
    assert [skipped.path for skipped in info.skipped] == [samples[1].path]
    assert "replace or delete it" in info.skipped[0].reason
    assert patches.shape == (2, 8, 8, 8)
    assert patches.dtype == "float16"
    assert info.means_ND.shape == (2, 8)


def test_a_pool_keeps_order_and_counts_every_picture(workshop):
    samples = workshop.product("nut", train=range(20)).train
    workshop.spoil(samples[9])
    done = []
    found = LocalPool(workshop.extractor, workshop.store()).embed([s.path for s in samples], done.append)
    assert sum(done) == 20
    assert found.paths == tuple(s.path for n, s in enumerate(samples) if n != 9)
    assert found.num_images == len(found.means_ND) == 19
    assert [skipped.path for skipped in found.skipped] == [samples[9].path]
