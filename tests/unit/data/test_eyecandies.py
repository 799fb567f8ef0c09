from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eagleray.data import RgbdCategory, RgbdSample, Sample, is_eyecandies, open_rgbd, read_eyecandies
from eagleray.data.eyecandies import read_depth_range
from eagleray.errors import ConfigError, DataError, UnknownClass

GOOD = "anomalous: 0\nbumps: 0\ncolors: 0\ndents: 0\nnormals: 0\n"
DENTED = "anomalous: 1\nbumps: 0\ncolors: 1\ndents: 1\nnormals: 0\n"


def scene(folder, number, metadata=GOOD, size=(8, 6)):
    """All files of one scene, as the data set has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for light in range(6):
        Image.new("RGB", size).save(folder / f"{number}_image_{light}.png")
    Image.fromarray(np.ones(size[::-1], np.uint16)).save(folder / f"{number}_depth.png")
    Image.new("RGB", size).save(folder / f"{number}_normals.png")
    for kind in ("bumps_", "colors_", "dents_", "normals_", ""):
        Image.new("L", size).save(folder / f"{number}_{kind}mask.png")
    (folder / f"{number}_info_depth.yaml").write_text("normalization:\n  max: 2.5\n  min: 0.5\n")
    (folder / f"{number}_metadata.yaml").write_text(metadata)
    (folder / f"{number}_pose.txt").write_text("1 0 0 0\n")


@pytest.fixture
def candies(tmp_path):
    """One complete category: two scenes to learn from, one to validate on, one good and one dented to test on."""
    root = tmp_path / "data"
    scene(root / "Confetto/train/data", "000")
    scene(root / "Confetto/train/data", "001")
    scene(root / "Confetto/val/data", "000")
    scene(root / "Confetto/test_public/data", "00")
    scene(root / "Confetto/test_public/data", "01", DENTED)
    (root / "Confetto/test_private/data").mkdir(parents=True)
    return root


def expected(folder, number, split, defect="good", light="image_5"):
    mask = str(folder / f"{number}_mask.png") if defect != "good" else None
    path = str(folder / f"{number}_{light}.png")
    return RgbdSample(
        Sample(path, "Confetto", split, int(defect != "good"), defect, mask),
        depth=str(folder / f"{number}_depth.png"),
        depth_range=str(folder / f"{number}_info_depth.yaml"),
        normals=str(folder / f"{number}_normals.png"),
    )


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_every_field_of_a_complete_category_is_read(candies):
    folder = candies / "Confetto"
    assert read_eyecandies(candies) == (
        RgbdCategory(
            "Confetto",
            train=(expected(folder / "train/data", "000", "train"), expected(folder / "train/data", "001", "train")),
            validation=(expected(folder / "val/data", "000", "validation"),),
            test=(
                expected(folder / "test_public/data", "00", "test"),
                expected(folder / "test_public/data", "01", "test", "colors+dents"),
            ),
        ),
    )
    assert read_eyecandies(candies / "Confetto") == read_eyecandies(candies)


def test_the_light_can_be_chosen_and_no_other(candies):
    folder = candies / "Confetto/train/data"
    train = read_eyecandies(candies, light="image_0")[0].train
    assert train[0] == expected(folder, "000", "train", light="image_0")
    with pytest.raises(ConfigError, match=r"light must be one of image_0, .*image_5, got 'image_6'"):
        read_eyecandies(candies, light="image_6")


def test_the_layout_is_recognised(candies, tmp_path):
    assert is_eyecandies(candies)
    assert is_eyecandies(candies / "Confetto")
    assert open_rgbd(candies, ["Confetto"]) == read_eyecandies(candies)
    (tmp_path / "other/bagel/train/good").mkdir(parents=True)
    assert not is_eyecandies(tmp_path / "other")
    with pytest.raises(UnknownClass, match="'Lollipop'"):
        read_eyecandies(candies, ["Lollipop"])


def test_normals_masks_and_the_test_part_are_not_required(candies):
    (candies / "Confetto/train/data/000_normals.png").unlink()
    (candies / "Confetto/test_public/data/01_mask.png").unlink()
    (category,) = read_eyecandies(candies)
    assert [scene.normals is None for scene in category.train] == [True, False]
    assert category.test[1].sample.mask is None
    (candies / "Confetto/test_public").rename(candies / "Confetto/kept")
    assert read_eyecandies(candies) == (replace(category, test=()),)


def test_a_fifth_of_train_is_held_out_where_there_is_no_validation(candies):
    (candies / "Confetto/val").rename(candies / "Confetto/kept")
    folder = candies / "Confetto/train/data"
    for number in range(2, 8):
        scene(folder, f"{number:03}")
    (category,) = read_eyecandies(candies)
    assert category.train == tuple(expected(folder, f"{number:03}", "train") for number in (0, 1, 3, 4, 5, 7))
    assert category.validation == tuple(expected(folder, f"{number:03}", "validation") for number in (2, 6))


@pytest.mark.parametrize("end", ["image_5.png", "depth.png", "info_depth.yaml"])
@pytest.mark.parametrize("part", ["train", "val", "test_public"])
def test_a_missing_file_of_a_scene_is_named(candies, part, end):
    missing = next((candies / f"Confetto/{part}/data").glob(f"*0_{end}"))
    missing.unlink()
    with pytest.raises(DataError, match=r"is missing; restore it or delete all files 000?_") as error:
        read_eyecandies(candies)
    assert one_line(error).startswith(f"{missing}: ")


@pytest.mark.parametrize(("part", "cure"), [("train", "put <id>_image_5.png into"), ("val", "hold out a fifth")])
def test_a_part_without_scenes_is_named(candies, part, cure):
    for path in (candies / f"Confetto/{part}/data").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=cure) as error:
        read_eyecandies(candies)
    assert one_line(error).startswith(f"{candies / 'Confetto'}")


def test_a_mask_of_another_size_is_named(candies):
    path = candies / "Confetto/test_public/data/01_mask.png"
    Image.new("L", (6, 8)).save(path)
    with pytest.raises(DataError, match=r"the mask is 6x8 pixels but its image .* is 8x6") as error:
        read_eyecandies(candies)
    assert one_line(error).startswith(f"{path}: ")


def test_an_anomaly_of_no_kind_is_called_anomalous(candies):
    (candies / "Confetto/test_public/data/01_metadata.yaml").write_text("anomalous: 1\n")
    assert read_eyecandies(candies)[0].test[1].sample.defect == "anomalous"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must map anomalous, .* got NoneType"),
        ("- 1\n", "must map anomalous, .* got list"),
        ("bumps: 0\n", "has no key 'anomalous'"),
        ("anomalous: 1\nscratches: 1\n", "unknown key 'scratches', expected anomalous, bumps, colors, dents, normals"),
        ("anomalous: 2\n", "anomalous must be 0 or 1, got 2"),
        ("anomalous: yes please\n", "anomalous must be 0 or 1, got 'yes please'"),
        ("anomalous: [1]\n", r"anomalous must be 0 or 1, got \[1\]"),
        ("anomalous: 0\ndents: 1\n", "anomalous is 0 but dents is 1"),
        ("anomalous: {\n", "is not valid YAML"),
        (None, "cannot be read .*No such file"),
    ],
)
def test_wrong_metadata_are_named(candies, text, problem):
    path = candies / "Confetto/test_public/data/01_metadata.yaml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=problem) as error:
        read_eyecandies(candies)
    assert one_line(error).startswith(f"{path}: ")
    assert "restore the file" in one_line(error)


def test_a_depth_range_is_read_whether_its_numbers_have_a_point_or_not(candies, tmp_path):
    assert read_depth_range(candies / "Confetto/train/data/000_info_depth.yaml") == (0.5, 2.5)
    (tmp_path / "range.yaml").write_text("normalization: {min: 0, max: 3}\n")
    assert read_depth_range(tmp_path / "range.yaml") == (0.0, 3.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("normalization: 3\n", "must map min, max to values, got int"),
        ("normalization: {min: 1.0}\n", "has no key 'max'"),
        ("normalization: {min: 1.0, max: 2.0, unit: mm}\n", "unknown key 'unit', expected min, max"),
        ("normalization: {min: 1.0, max: 2.0}\nunit: mm\n", "unknown key 'unit', expected normalization"),
        ("normalization: {min: 2.0, max: 2.0}\n", r"max \(2\) must be above min \(2\)"),
        ("normalization: {min: near, max: 2.0}\n", "must be finite numbers, got 'near'"),
        ("normalization: {min: no, max: 2.0}\n", "must be finite numbers, got False"),
        ("normalization: {min: 1.0, max: .inf}\n", "must be finite numbers, got inf"),
        ("normalization: {min: .nan, max: 1.0}\n", "must be finite numbers, got nan"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_a_wrong_depth_range_is_named(tmp_path, text, problem):
    path = tmp_path / "000_info_depth.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=problem) as error:
        read_depth_range(path)
    assert one_line(error).startswith(f"{path}: ")
    assert "restore the file" in one_line(error)
