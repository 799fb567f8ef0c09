import shutil
from pathlib import Path

import numpy as np
import pytest

from eagleray.adapted_moe import with_subclasses
from eagleray.data import Category, read_texture_ad
from eagleray.errors import ConfigError, EagleRayWarning, TooFewImages
from eagleray.mixture import find_subclasses
from tests.unit.adapted_moe.conftest import write_subclass


def one_category(mill, **counts):
    """A category whose data name no subclasses, of pictures of so many of each kind."""
    for name, count in counts.items():
        write_subclass(mill.data / "mixed" / name, train=count)
    kinds = read_texture_ad(mill.data, ("mixed",))[0].subclasses
    train = tuple(sample for kind in kinds for sample in kind.train)
    return with_subclasses(Category("mixed", train, tuple(sample for kind in kinds for sample in kind.test)))


def test_pictures_know_their_subclass_and_whether_it_was_seen(mill):
    data = mill.embed()
    assert (data.name, data.subclasses, data.present) == ("cloth", ("felt", "linen", "twill"), (0, 1, 2))
    assert [Path(path).parts[-4] for path in data.train.paths] == 8 * ["felt"] + 8 * ["linen"] + 8 * ["twill"]
    assert data.labels_N.tolist() == 8 * [0] + 8 * [1] + 8 * [2]
    assert [test.sample.path for test in data.tests] == list(data.test.paths)
    assert {(test.subclass, test.seen) for test in data.tests} == {
        ("denim", False),
        ("felt", True),
        ("linen", True),
        ("twill", True),
    }


def test_each_subclass_holds_out_its_share_and_nothing_held_out_is_fitted(mill):
    data = mill.embed()
    for subclass in data.present:
        held, fitted = data.held(subclass), data.fitted(subclass)
        assert (len(held), len(fitted)) == (2, 6)
        assert sorted((*held, *fitted)) == np.flatnonzero(data.labels_N == subclass).tolist()
    assert sorted((*data.held(), *data.fitted())) == list(range(24))


def test_even_the_smallest_subclass_holds_one_picture_out(mill):
    data = mill.embed(mill.category(train=4))
    assert [len(data.held(subclass)) for subclass in data.present] == [1, 1, 1]


def test_what_is_held_out_depends_on_the_pictures_and_the_seed_not_on_names(mill):
    data = mill.embed()
    chosen = {data.digests[image] for image in data.held_out}
    felt = mill.data / "cloth/felt/train/good"
    for number, path in enumerate(sorted(felt.iterdir(), reverse=True)):
        shutil.move(path, felt / f"{number}-renamed.png")
    renamed = mill.embed(read_texture_ad(mill.data)[0])
    assert {renamed.digests[image] for image in renamed.held_out} == chosen
    other = mill.embed(read_texture_ad(mill.data)[0], seed=1)
    assert {other.digests[image] for image in other.held_out} != chosen


def test_a_subclass_with_too_few_images_is_named(mill):
    category = mill.category()
    for path in sorted((mill.data / "cloth/linen/train/good").iterdir())[3:]:
        path.unlink()
    with pytest.raises(TooFewImages, match=r"'cloth/linen': 3 good images under .*linen/train/good, at least 4"):
        mill.embed(read_texture_ad(mill.data, (category.name,))[0])


def test_unreadable_pictures_are_told_and_left_out_of_every_list(mill):
    category = mill.category()
    broken = [category.subclasses[1].train[0].path, category.subclasses[0].test[0].path]
    for path in broken:
        Path(path).write_bytes(b"no picture")
    with pytest.warns(
        EagleRayWarning, match="2 unreadable images are left out, the first is .*felt/train/good/000.png"
    ):
        data = mill.embed(category)
    assert [skipped.path for skipped in data.skipped] == broken
    assert len(data.labels_N) == len(data.digests) == data.train.num_images == 23
    assert len(data.statistics.means_ND) == 23
    assert data.labels_N.tolist() == 7 * [0] + 8 * [1] + 8 * [2]
    assert [test.sample.path for test in data.tests] == list(data.test.paths)
    assert len(data.tests) == 23


def test_a_category_without_one_subclass_forgets_its_pictures(mill):
    data = mill.embed()
    without = data.without(1)
    assert without.present == (0, 2)
    assert set(without.fitted()) | set(without.held()) == {*range(8), *range(16, 24)}
    assert without.held(1) == without.fitted(1) == ()
    assert without.digest != data.digest


def test_subclasses_that_nobody_named_are_found(mill):
    data = mill.embed(one_category(mill, felt=9, linen=10))
    assert data.subclasses == ("mixed-1", "mixed-2")
    assert len(set(data.labels_N[:9])) == len(set(data.labels_N[9:])) == 1
    assert data.labels_N[0] != data.labels_N[9]


def test_pictures_of_one_kind_are_one_subclass_of_the_categorys_name(mill):
    data = mill.embed(one_category(mill, felt=18))
    assert (data.subclasses, data.present) == (("mixed",), (0,))


def test_more_subclasses_than_the_pictures_can_feed_are_refused(mill):
    with pytest.raises(ConfigError, match=r"--mixture.subclasses .*'mixed'.* got 2"):
        mill.embed(one_category(mill, felt=16, linen=1), num_subclasses=2)


def test_a_change_of_a_training_picture_changes_the_digest(mill):
    before = mill.embed()
    write_subclass(mill.data / "cloth/felt", train=9)
    after = mill.embed(read_texture_ad(mill.data)[0])
    assert before.digest != after.digest
    assert mill.embed(read_texture_ad(mill.data)[0]).digest == after.digest


def test_a_given_number_of_subclasses_is_found_among_few_pictures_too():
    means_ND = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    labels_N = find_subclasses(means_ND, num_subclasses=3, seed=0)
    assert sorted(np.bincount(labels_N)) == [4, 4, 4]
