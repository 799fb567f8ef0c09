import numpy as np
import pytest
import tifffile
from PIL import Image

from eagleray.data import RgbdCategory, RgbdSample, Sample, is_mvtec_3d, open_rgbd, read_mvtec_3d
from eagleray.errors import ConfigError, DataError, EagleRayWarning, UnknownClass


def picture(folder, stem, size=(8, 6)):
    """A colour picture and its points."""
    (folder / "rgb").mkdir(parents=True, exist_ok=True)
    (folder / "xyz").mkdir(exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), 100, np.uint8)).save(folder / f"rgb/{stem}.png")
    tifffile.imwrite(folder / f"xyz/{stem}.tiff", np.ones((size[1], size[0], 3), np.float32), photometric="rgb")


def mask(folder, stem, size=(8, 6)):
    (folder / "gt").mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 255).save(folder / f"gt/{stem}.png")


@pytest.fixture
def bagels(tmp_path):
    """One complete category: two pictures to learn from, one to validate on, one good and one cut to test on."""
    root = tmp_path / "data"
    picture(root / "bagel/train/good", "000")
    picture(root / "bagel/train/good", "001")
    picture(root / "bagel/validation/good", "000")
    picture(root / "bagel/test/good", "000")
    picture(root / "bagel/test/cut", "000")
    mask(root / "bagel/test/good", "000")
    mask(root / "bagel/test/cut", "000")
    (root / "bagel/calibration").mkdir()
    return root


def expected(folder, stem, split, label=0, truth=None):
    return RgbdSample(
        Sample(str(folder / f"rgb/{stem}.png"), "bagel", split, label, folder.name, truth and str(truth)),
        depth=str(folder / f"xyz/{stem}.tiff"),
    )


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_every_field_of_a_complete_category_is_read(bagels):
    folder = bagels / "bagel"
    assert read_mvtec_3d(bagels) == (
        RgbdCategory(
            "bagel",
            train=(expected(folder / "train/good", "000", "train"), expected(folder / "train/good", "001", "train")),
            validation=(expected(folder / "validation/good", "000", "validation"),),
            test=(
                expected(folder / "test/cut", "000", "test", 1, folder / "test/cut/gt/000.png"),
                expected(folder / "test/good", "000", "test"),
            ),
        ),
    )


def test_one_category_alone_reads_as_from_the_folder_above_it(bagels):
    assert read_mvtec_3d(bagels / "bagel") == read_mvtec_3d(bagels)


def test_categories_are_sorted_or_in_the_given_order(bagels):
    for name in ("tire", "carrot"):
        for number in range(4):
            picture(bagels / name / "train/good", f"{number:03}")
    assert [category.name for category in read_mvtec_3d(bagels)] == ["bagel", "carrot", "tire"]
    assert [category.name for category in read_mvtec_3d(bagels, ["tire", "bagel"])] == ["tire", "bagel"]
    with pytest.raises(UnknownClass, match=r"'rope' in .*it has: bagel, carrot, tire"):
        read_mvtec_3d(bagels, ["rope"])


def test_a_test_part_and_masks_are_not_required(bagels):
    (bagels / "bagel/test/cut/gt/000.png").unlink()
    assert [picture.sample.mask for picture in read_mvtec_3d(bagels)[0].test] == [None, None]
    for number in range(4):
        picture(bagels / "rope/train/good", f"{number:03}")
    assert read_mvtec_3d(bagels, ["rope"])[0].test == ()


@pytest.mark.parametrize(("count", "held"), [(8, [2, 6]), (10, [2, 7]), (13, [2, 6, 10])])
def test_a_fifth_of_train_is_held_out_where_there_is_no_validation(tmp_path, count, held):
    for number in range(count):
        picture(tmp_path / "bagel/train/good", f"{number:03}")
    (category,) = read_mvtec_3d(tmp_path)
    assert [int(picture.depth[-8:-5]) for picture in category.validation] == held
    assert [int(picture.depth[-8:-5]) for picture in category.train] == [n for n in range(count) if n not in held]
    assert {picture.sample.split for picture in category.validation} == {"validation"}
    assert {picture.sample.split for picture in category.train} == {"train"}


@pytest.mark.parametrize("count", range(4, 8))
def test_of_few_pictures_two_are_held_out_and_two_or_more_left(tmp_path, count):
    for number in range(count):
        picture(tmp_path / "bagel/train/good", f"{number:03}")
    (category,) = read_mvtec_3d(tmp_path)
    assert (len(category.train), len(category.validation)) == (count - 2, 2)
    assert {*category.train}.isdisjoint(category.validation)


@pytest.mark.parametrize("count", [1, 3])
def test_less_than_four_pictures_cannot_be_parted(tmp_path, count):
    for number in range(count):
        picture(tmp_path / "bagel/train/good", f"{number:03}")
    told = f"{count} good train pictures and none for validation, at least 4 are needed; add {4 - count} or more"
    with pytest.raises(DataError, match=told) as error:
        read_mvtec_3d(tmp_path)
    assert one_line(error).startswith(f"{tmp_path / 'bagel'}: ")


def test_an_empty_validation_folder_is_a_mistake(bagels):
    for path in (bagels / "bagel/validation/good/rgb/000.png", bagels / "bagel/validation/good/xyz/000.tiff"):
        path.unlink()
    with pytest.raises(DataError, match="delete the folder to hold out a fifth of train") as error:
        read_mvtec_3d(bagels)
    assert one_line(error).startswith(f"{bagels / 'bagel/validation'}: ")


def test_a_category_without_good_pictures_is_named(tmp_path):
    (tmp_path / "bagel/train/good/rgb").mkdir(parents=True)
    with pytest.raises(DataError, match="has no good picture; put good pictures into train/good/rgb") as error:
        read_mvtec_3d(tmp_path)
    assert one_line(error).startswith(f"{tmp_path / 'bagel'}: ")


@pytest.mark.parametrize("part", ["train/good", "validation/good", "test/good", "test/cut"])
def test_colour_without_points_and_points_without_colour_are_named(bagels, part):
    folder = bagels / "bagel" / part
    (folder / "xyz/000.tiff").rename(folder / "xyz/007.tiff")
    with pytest.raises(DataError, match=r"without its points .*xyz/000\.tiff; restore or delete") as error:
        read_mvtec_3d(bagels)
    assert one_line(error).startswith(f"{folder / 'rgb/000.png'}: ")
    (folder / "rgb/000.png").unlink()
    with pytest.raises(DataError, match=r"points without the colour picture .*rgb/007\.png; restore or") as error:
        read_mvtec_3d(bagels)
    assert one_line(error).startswith(f"{folder / 'xyz/007.tiff'}: ")


def test_points_in_another_format_do_not_count(bagels):
    folder = bagels / "bagel/train/good/xyz"
    (folder / "000.tiff").rename(folder / "000.png")
    with pytest.raises(DataError, match="without its points"):
        read_mvtec_3d(bagels)


def test_two_colour_pictures_of_one_name_are_refused(bagels):
    folder = bagels / "bagel/train/good/rgb"
    Image.open(folder / "000.png").save(folder / "000.bmp")
    with pytest.raises(DataError, match=r"same name as 000\.bmp beside it; delete one of the two") as error:
        read_mvtec_3d(bagels)
    assert one_line(error).startswith(f"{folder / '000.png'}: ")


def test_a_mask_of_another_size_or_without_its_picture_is_named(bagels):
    folder = bagels / "bagel/test/cut"
    mask(folder, "000", size=(6, 8))
    with pytest.raises(DataError, match=r"the mask is 6x8 pixels but its image .* is 8x6; resize or") as error:
        read_mvtec_3d(bagels)
    assert one_line(error).startswith(f"{folder / 'gt/000.png'}: ")
    (folder / "gt/000.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="the mask cannot be read as an image"):
        read_mvtec_3d(bagels)
    (folder / "gt/000.png").rename(folder / "gt/003.png")
    with pytest.raises(DataError, match="a mask without the colour picture"):
        read_mvtec_3d(bagels)


def test_a_folder_in_another_layout_beside_the_categories_is_skipped_aloud(bagels):
    (bagels / "rope/train/good").mkdir(parents=True)
    with pytest.warns(EagleRayWarning, match="rope: skipped, it has no train/good/rgb"):
        assert [category.name for category in read_mvtec_3d(bagels)] == ["bagel"]


def test_a_root_in_neither_layout_is_told_both(tmp_path):
    Image.new("RGB", (8, 6)).save(tmp_path / "000.png")
    assert not is_mvtec_3d(tmp_path)
    with pytest.raises(DataError, match=r"MVTec 3D-AD .*xyz.* or of Eyecandies .*info_depth") as error:
        open_rgbd(tmp_path)
    assert one_line(error).startswith(f"{tmp_path}: ")
    with pytest.raises(DataError, match="no category found; good pictures belong in <category>/train/good/rgb"):
        read_mvtec_3d(tmp_path)


def test_the_layout_is_recognised(bagels):
    assert is_mvtec_3d(bagels)
    assert is_mvtec_3d(bagels / "bagel")
    assert open_rgbd(bagels, ["bagel"]) == read_mvtec_3d(bagels)


def test_few_shots_are_random_pictures_of_train_and_the_same_for_a_seed(tmp_path):
    for number in range(20):
        picture(tmp_path / "bagel/train/good", f"{number:03}")
    (category,) = read_mvtec_3d(tmp_path)
    few = category.few_shot(5, seed=3)
    assert few == category.few_shot(5, seed=3)
    assert few.train != category.few_shot(5, seed=4).train
    assert (few.name, few.validation, few.test) == (category.name, category.validation, category.test)
    kept = [category.train.index(picture) for picture in few.train]
    assert len(set(kept)) == 5
    assert kept == sorted(kept)
    assert set(few.train) < set(category.few_shot(10, seed=3).train)
    assert category.few_shot(16, seed=3) == category


@pytest.mark.parametrize("shots", [-1, 0, 3])
def test_fewer_than_one_shot_or_more_than_there_are_pictures_are_refused(bagels, shots):
    with pytest.raises(ConfigError, match=f"--shots must be from 1 to 2, the train pictures of 'bagel', got {shots}"):
        read_mvtec_3d(bagels)[0].few_shot(shots, seed=0)
