import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eagleray.data import Category, Sample, image_digest, open_dataset, read_folder, read_mvtec_ad
from eagleray.errors import BadImage, DataError, EagleRayWarning, UnknownClass


def picture(path, size=(8, 6), value=100, **save):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path, **save)
    return path


def mask(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)
    return path


@pytest.fixture
def bolts(tmp_path):
    """One complete category: two good, one held out, a scratch with a mask."""
    root = tmp_path / "data"
    picture(root / "bolt/train/good/000.png")
    picture(root / "bolt/train/good/001.png")
    picture(root / "bolt/test/good/000.png")
    picture(root / "bolt/test/scratch/000.png")
    mask(root / "bolt/ground_truth/scratch/000_mask.png")
    return root


def test_every_field_of_a_complete_category_is_read(bolts):
    (category,) = read_mvtec_ad(bolts)
    folder = bolts / "bolt"
    truth = str(folder / "ground_truth/scratch/000_mask.png")
    assert category == Category(
        "bolt",
        train=(
            Sample(str(folder / "train/good/000.png"), "bolt", "train", 0, "good", None),
            Sample(str(folder / "train/good/001.png"), "bolt", "train", 0, "good", None),
        ),
        test=(
            Sample(str(folder / "test/good/000.png"), "bolt", "test", 0, "good", None),
            Sample(str(folder / "test/scratch/000.png"), "bolt", "test", 1, "scratch", truth),
        ),
    )
    assert category.has_masks


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.bmp", "a.tif", "a.TIFF", "a.webp", "ä b.PNG"])
def test_any_image_extension_counts(tmp_path, name):
    picture(tmp_path / "bolt/train/good" / name)
    (category,) = read_mvtec_ad(tmp_path)
    assert [Path(sample.path).name for sample in category.train] == [name]


def test_hidden_and_other_files_are_ignored(bolts):
    for folder in ("", "bolt", "bolt/train/good", "bolt/test/scratch", "bolt/ground_truth/scratch"):
        for name in ("Thumbs.db", ".DS_Store", "._000.png", "readme.txt"):
            (bolts / folder / name).write_bytes(b"x")
    picture(bolts / ".cache/train/good/0.png")
    (bolts / "bolt/train/good/folder.png").mkdir()
    (category,) = read_mvtec_ad(bolts)
    assert (len(category.train), len(category.test)) == (2, 2)


def test_only_good_images_are_a_category(tmp_path):
    picture(tmp_path / "bolt/train/good/0.png")
    (category,) = read_mvtec_ad(tmp_path)
    assert (len(category.train), category.test, category.has_masks) == (1, (), False)


def test_test_images_without_ground_truth_have_no_mask(bolts):
    picture(bolts / "nut/train/good/0.png")
    picture(bolts / "nut/test/rust/0.png")
    nut = read_mvtec_ad(bolts)[1]
    assert [(sample.label, sample.mask) for sample in nut.test] == [(1, None)]


def test_an_image_may_lack_its_mask_while_others_have_theirs(bolts):
    picture(bolts / "bolt/test/scratch/001.png")
    (category,) = read_mvtec_ad(bolts)
    assert [sample.mask is not None for sample in category.test] == [False, True, False]


@pytest.mark.parametrize("name", ["000_mask.png", "000.png", "000_mask.BMP", "000.tif"])
def test_masks_are_found_by_either_name_and_any_extension(bolts, name):
    (bolts / "bolt/ground_truth/scratch/000_mask.png").unlink()
    path = mask(bolts / "bolt/ground_truth/scratch" / name)
    (category,) = read_mvtec_ad(bolts)
    assert category.test[-1].mask == str(path)


def test_masks_of_good_images_are_not_read(bolts):
    mask(bolts / "bolt/ground_truth/good/000.png", size=(1, 1))
    (category,) = read_mvtec_ad(bolts)
    assert category.test[0].mask is None


def test_categories_are_sorted_or_in_the_given_order(tmp_path):
    for name in ("nut", "bolt", "rivet"):
        picture(tmp_path / name / "train/good/0.png")
    assert [c.name for c in read_mvtec_ad(tmp_path)] == ["bolt", "nut", "rivet"]
    assert [c.name for c in read_mvtec_ad(tmp_path, ["rivet", "bolt"])] == ["rivet", "bolt"]


def test_an_unknown_category_is_named_with_the_known_ones(bolts):
    with pytest.raises(UnknownClass, match=r"'nut' in .*data; it has: bolt"):
        read_mvtec_ad(bolts, ["nut"])


def test_a_broken_category_that_is_not_asked_for_does_no_harm(bolts):
    (bolts / "nut/train").mkdir(parents=True)
    assert [c.name for c in read_mvtec_ad(bolts, ["bolt"])] == ["bolt"]


def test_a_root_that_is_one_category_is_named_after_its_folder(bolts):
    for read in (read_mvtec_ad, open_dataset):
        (category,) = read(bolts / "bolt")
        assert category.name == "bolt"


def test_links_are_followed_and_name_their_category(bolts, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/screw").symlink_to(bolts / "bolt")
    (category,) = read_mvtec_ad(tmp_path / "linked")
    assert (category.name, len(category.train)) == ("screw", 2)


def test_paths_are_absolute_whatever_the_working_directory(bolts, monkeypatch):
    monkeypatch.chdir(bolts / "bolt")
    (category,) = read_mvtec_ad(".")
    assert category.name == "bolt"
    assert category.train[0].path == str(bolts / "bolt/train/good/000.png")


def test_a_folder_with_test_but_no_train_is_skipped_aloud(bolts):
    picture(bolts / "nut/test/good/0.png")
    with pytest.warns(EagleRayWarning, match="nut: skipped"):
        assert [c.name for c in read_mvtec_ad(bolts)] == ["bolt"]


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("read", [read_mvtec_ad, read_folder, open_dataset])
def test_a_missing_a_filed_and_an_empty_root_are_told_apart(tmp_path, read):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, word in (("missing", "no such folder"), ("file", "is a file"), ("empty", "is empty")):
        with pytest.raises(DataError) as error:
            read(tmp_path / name)
        assert one_line(error).startswith(f"{tmp_path / name}: ") and word in str(error.value)


def test_a_root_without_a_category_says_where_images_belong(tmp_path):
    (tmp_path / "bolt").mkdir()
    with pytest.raises(DataError, match="train/good"):
        read_mvtec_ad(tmp_path)


def test_a_category_without_a_good_image_is_named(bolts):
    (bolts / "nut/train/good").mkdir(parents=True)
    (bolts / "nut/train/good/notes.txt").write_text("x")
    with pytest.raises(DataError) as error:
        read_mvtec_ad(bolts)
    assert one_line(error).startswith(f"{bolts / 'nut'}: ")


@pytest.mark.parametrize("name", ["scratch/007_mask.png", "dent/000_mask.png"])
def test_a_mask_without_its_image_is_named(bolts, name):
    path = mask(bolts / "bolt/ground_truth" / name)
    with pytest.raises(DataError) as error:
        read_mvtec_ad(bolts)
    assert one_line(error).startswith(f"{path}: ")


def test_a_mask_of_another_size_is_named_with_both_sizes(bolts):
    path = mask(bolts / "bolt/ground_truth/scratch/000_mask.png", size=(6, 8))
    with pytest.raises(DataError) as error:
        read_mvtec_ad(bolts)
    assert one_line(error).startswith(f"{path}: ") and "6x8" in str(error.value) and "8x6" in str(error.value)


@pytest.mark.parametrize("name", ["000.jpg", "000.png", "000.tif"])
@pytest.mark.parametrize(("orientation", "shown"), [(1, (8, 6)), (3, (8, 6)), (6, (6, 8)), (8, (6, 8))])
def test_a_mask_must_fit_the_image_as_exif_turns_it(tmp_path, name, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(tmp_path / "bolt/train/good/0.png")
    picture(tmp_path / "bolt/test/rust" / name, exif=exif)
    mask(tmp_path / "bolt/ground_truth/rust/000_mask.png", size=shown)
    read_mvtec_ad(tmp_path)
    mask(tmp_path / "bolt/ground_truth/rust/000_mask.png", size=shown[::-1])
    with pytest.raises(DataError, match="resize or replace"):
        read_mvtec_ad(tmp_path)


def test_an_unreadable_image_is_listed_for_the_learner_to_count(bolts):
    (bolts / "bolt/test/scratch/000.png").write_bytes(b"not an image")
    (bolts / "bolt/train/good/000.png").write_bytes(b"")
    (category,) = read_mvtec_ad(bolts)
    assert (len(category.train), category.test[-1].mask is not None) == (2, True)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_an_unreadable_mask_is_an_error(bolts, content):
    path = bolts / "bolt/ground_truth/scratch/000_mask.png"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_mvtec_ad(bolts)
    assert one_line(error).startswith(f"{path}: ")


def test_a_name_that_is_no_utf8_is_refused_before_any_work(bolts):
    (bolts / "bolt/train/good" / os.fsdecode(b"Geh\x84use.png")).write_bytes(b"x")
    with pytest.raises(DataError, match="not valid UTF-8"):
        read_mvtec_ad(bolts)


def test_a_plain_folder_is_one_category_of_good_images(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt"):
        (tmp_path / "bolts").mkdir(exist_ok=True)
        (tmp_path / "bolts" / name).write_bytes(b"x")
    (category,) = open_dataset(tmp_path / "bolts")
    assert (category.name, category.test) == ("bolts", ())
    assert category.train == tuple(
        Sample(str(tmp_path / "bolts" / name), "bolts", "train", 0, "good", None) for name in ("a.JPG", "b.png")
    )


def test_a_folder_of_folders_is_one_category_each(tmp_path):
    picture(tmp_path / "nut/0.png")
    picture(tmp_path / "bolt/0.png")
    (tmp_path / "notes").mkdir()
    assert [c.name for c in open_dataset(tmp_path)] == ["bolt", "nut"]
    assert [c.name for c in open_dataset(tmp_path, ["nut"])] == ["nut"]
    with pytest.raises(UnknownClass):
        read_folder(tmp_path, ["notes"])


def test_images_beside_folders_win_aloud(tmp_path):
    picture(tmp_path / "0.png")
    picture(tmp_path / "thumbnails/0.png")
    with pytest.warns(EagleRayWarning, match="thumbnails"):
        (category,) = read_folder(tmp_path)
    assert (category.name, len(category.train)) == (tmp_path.name, 1)


def test_one_train_folder_is_enough_for_the_mvtec_layout(bolts):
    picture(bolts / "nut/0.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [c.name for c in open_dataset(bolts)] == ["bolt"]


def test_a_plain_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no image in it"):
        open_dataset(tmp_path)


def test_the_digest_follows_the_content_not_the_name(tmp_path):
    first = picture(tmp_path / "a.png")
    same = tmp_path / "b.png"
    same.write_bytes(first.read_bytes())
    other = picture(tmp_path / "c.png", value=101)
    assert image_digest(str(first)) == image_digest(str(same)) == hashlib.sha256(first.read_bytes()).hexdigest()[:16]
    assert image_digest(str(other)) != image_digest(str(first))
    with pytest.raises(BadImage, match=r"gone\.png"):
        image_digest(str(tmp_path / "gone.png"))
