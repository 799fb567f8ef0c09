from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from eagleray.data import read_eyecandies, read_mvtec_3d, write_solids
from eagleray.data.depth import load_depth
from eagleray.data.synthetic import SOLIDS, solid_writer
from eagleray.data.synthetic.solid_depth import DEPTH_NOISE, DISTANCE_M, SIDE_M
from eagleray.data.synthetic.solid_light import Lamp, Scene, hidden, normals
from eagleray.data.synthetic.solid_render import daylight, shoot, six_lights
from eagleray.data.synthetic.solid_surface import Surface
from eagleray.errors import ConfigError, DataError, UnknownClass

DEFECTS = [(name, defect) for name, solid in SOLIDS.items() for defect in solid.defects]
COUNTS = {"num_train": 3, "num_validation": 2, "num_test_good": 2, "num_test_defective": 3, "image_size": 64}
NOISE_M = DEPTH_NOISE * SIDE_M


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.*")) if path.is_file()}


def pixels(path):
    return np.asarray(Image.open(path))


def pair(name, defect, seed=1, size=128):
    """The same object without and with the defect."""
    return [shoot(SOLIDS[name], size, np.random.SeedSequence([7, seed]), daylight, kind) for kind in (None, defect)]


def surface(height):
    ones = np.ones_like(height)
    white = np.repeat(ones[..., None], 3, axis=2)
    return Surface(height, white, ones, white, 0.0)


@pytest.fixture(scope="module")
def mvtec_3d(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "data"
    write_solids(root, seed=3, **COUNTS)
    return root


@pytest.fixture(scope="module")
def eyecandies(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "data"
    write_solids(root, seed=3, classes=["gear", "potato"], layout="eyecandies", **COUNTS)
    return root


def test_there_are_at_least_four_solids_with_two_defects_in_each_modality():
    assert len(SOLIDS) >= 4
    for solid in SOLIDS.values():
        shows = [defect.shows for defect in solid.defects.values()]
        assert min(shows.count(modality) for modality in ("color", "depth", "both")) >= 2


def test_the_first_layout_is_that_of_mvtec_3d_ad(mvtec_3d):
    categories = read_mvtec_3d(mvtec_3d)
    assert [category.name for category in categories] == list(SOLIDS)
    for category in categories:
        defective = [sample.sample.defect for sample in category.test if sample.sample.label]
        assert (len(category.train), len(category.validation), len(category.test), len(defective)) == (3, 2, 11, 9)
        assert set(defective) <= set(SOLIDS[category.name].defects)
        shows = [SOLIDS[category.name].defects[defect].shows for defect in defective]
        assert [shows.count(modality) for modality in ("color", "depth", "both")] == [3, 3, 3]


def test_only_test_pictures_have_masks_and_those_of_good_ones_are_empty(mvtec_3d):
    masks = sorted(path.relative_to(mvtec_3d) for path in mvtec_3d.rglob("gt/*.png"))
    assert len(masks) == len(SOLIDS) * 11
    assert {mask.parts[1] for mask in masks} == {"test"}
    for mask in masks:
        shown = pixels(mvtec_3d / mask)
        assert (shown.dtype, shown.shape) == (np.uint8, (64, 64))
        assert set(np.unique(shown)) == ({0} if mask.parts[2] == "good" else {0, 255})


def test_points_are_in_metres_on_the_camera_s_rays_and_unmeasured_ones_are_0(mvtec_3d):
    measured = []
    for path in mvtec_3d.rglob("xyz/*.tiff"):
        points = tifffile.imread(path)
        assert (points.shape, points.dtype) == ((64, 64, 3), np.float32)
        valid = points[..., 2] > 0
        measured.append(valid.mean())
        assert not points[~valid].any()
        x, y, z = points[valid].T
        assert 0.75 * DISTANCE_M < z.min() < z.max() < 1.05 * DISTANCE_M
        row, column = np.nonzero(valid)
        np.testing.assert_allclose(x / z, ((column + 0.5) / 64 - 0.5) * SIDE_M / DISTANCE_M, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(y / z, ((row + 0.5) / 64 - 0.5) * SIDE_M / DISTANCE_M, rtol=1e-4, atol=1e-7)
    assert 0.85 < min(measured) < np.mean(measured) < 0.998


def test_the_second_layout_is_that_of_eyecandies(eyecandies):
    categories = read_eyecandies(eyecandies)
    assert [category.name for category in categories] == ["gear", "potato"]
    for category in categories:
        assert (len(category.train), len(category.validation), len(category.test)) == (3, 2, 11)
        groups = [sample.sample.defect.replace("bumps", "dents") for sample in category.test]
        groups = ["+".join(sorted(group.split("+"))) for group in groups]
        assert [groups.count(group) for group in ("good", "colors", "dents", "colors+dents")] == [2, 3, 3, 3]
    names = sorted(path.name for path in (eyecandies / "gear/train/data").glob("000_*"))
    lights = [f"000_image_{light}.png" for light in range(6)]
    others = ["000_depth.png", "000_info_depth.yaml", "000_mask.png", "000_metadata.yaml", "000_normals.png"]
    assert names == sorted(lights + others)
    assert (eyecandies / "gear/test_public/data/10_depth.png").is_file()


def test_depth_in_eyecandies_is_the_measured_distance_scaled_to_16_bits(eyecandies):
    (category,) = read_eyecandies(eyecandies, ["gear"])
    stem = eyecandies / "gear/train/data/000"
    limits = yaml.safe_load(Path(f"{stem}_info_depth.yaml").read_text())["normalization"]
    depth = pixels(f"{stem}_depth.png")
    assert (depth.min(), depth.max()) == (0, 65535)
    seed = solid_writer._Picture("train", None, 0).seed(3, "gear")
    shot = shoot(SOLIDS["gear"], 64, seed, six_lights)
    step = (limits["max"] - limits["min"]) / 65535
    loaded = load_depth(category.train[0])
    assert loaded.valid_YX.all()
    assert np.abs(loaded.depth_YX - shot.depth.distance).max() <= step
    assert np.abs(pixels(f"{stem}_normals.png") / 127.5 - 1 - shot.normals).max() < 0.01


def test_a_defect_in_eyecandies_is_told_by_its_kinds(eyecandies):
    for path in eyecandies.rglob("test_public/data/*_metadata.yaml"):
        told = yaml.safe_load(path.read_text())
        mask = pixels(str(path).replace("_metadata.yaml", "_mask.png"))
        assert told["anomalous"] == int(mask.any()) == int(told["bumps"] + told["colors"] + told["dents"] > 0)


def test_the_six_lights_shine_from_the_sides_that_eyecandies_names():
    bowl = np.linspace(-1, 1, 64, dtype=np.float32)
    dome = 0.1 * np.sqrt(np.maximum(1 - bowl[None, :] ** 2 - bowl[:, None] ** 2, 0)).astype(np.float32)
    every, bottom, right, top, left, camera = six_lights(Scene(surface(dome)), np.random.default_rng(0))
    assert bottom[40:56].mean() > 1.2 * bottom[8:24].mean()
    assert top[8:24].mean() > 1.2 * top[40:56].mean()
    assert right[:, 40:56].mean() > 1.2 * right[:, 8:24].mean()
    assert left[:, 8:24].mean() > 1.2 * left[:, 40:56].mean()
    assert camera.mean() > every.mean()


def test_a_surface_is_lit_by_the_cosine_law():
    x = np.linspace(-0.5, 0.5, 64, dtype=np.float32)[None, :] * np.ones((64, 1), dtype=np.float32)
    slope = np.float32(np.tan(np.deg2rad(30))) * x * (63 / 64)  # 64 pixels are 63 steps
    lit = Scene(surface(slope - slope.min())).under([Lamp(180, 70, 0.5)])
    np.testing.assert_allclose(lit[20:40, 20:40], 0.5 * np.cos(np.deg2rad(10)), atol=0.01)  # 90 - 70 - 30 degrees
    np.testing.assert_allclose(np.linalg.norm(normals(slope), axis=2), 1, rtol=1e-5)


def test_a_post_throws_a_shadow_away_from_the_lamp_as_long_as_its_height_says():
    height = np.zeros((128, 128), dtype=np.float32)
    height[56:72, 60:68] = 0.2
    shadow = hidden(height, 0.0, 45.0, 0.1) > 0.5  # the lamp stands to the right
    assert shadow[64, 40:58].all()
    assert not shadow[64, 69:].any()
    assert not shadow[:50].any()
    assert not shadow[64, : 60 - 26 - 3].any()  # 0.2 of 128 pixels is 26


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_bytes(tmp_path):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        write_solids(tmp_path / name, seed=seed, classes=["bolt"], **COUNTS)
    one, other = files(tmp_path / "one"), files(tmp_path / "other")
    assert files(tmp_path / "same") == one
    assert other.keys() == one.keys()
    assert not any(one[name] == content for name, content in other.items() if "gt" not in name)


def test_fewer_pictures_of_fewer_solids_are_a_part_of_more(mvtec_3d, tmp_path):
    fewer = {"num_train": 1, "num_validation": 0, "num_test_good": 1, "num_test_defective": 1, "image_size": 64}
    write_solids(tmp_path / "part", seed=3, classes=["potato"], **fewer)
    part, whole = files(tmp_path / "part"), files(mvtec_3d)
    del part["DEMO_DATA.md"]
    assert len(part) == 2 + 3 + 3 * 3
    assert all(whole[name] == content for name, content in part.items())


def test_no_two_pictures_are_the_same(mvtec_3d):
    contents = [content for name, content in files(mvtec_3d).items() if "gt" not in name]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_a_defect_shows_in_its_modalities_only_and_where_the_mask_says(name, defect):
    shows = SOLIDS[name].defects[defect].shows
    good, bad = pair(name, defect)
    assert not good.mask.any() and 0.001 < bad.mask.mean() < 0.15
    tone = np.abs(bad.colors[0].astype(int) - good.colors[0]).max(axis=2)
    rise = np.abs(bad.depth.distance - good.depth.distance) / NOISE_M
    if shows == "depth":
        assert not tone.any()
    else:
        assert tone[bad.mask].mean() > 8 > 16 * tone[~bad.mask].mean()
    if shows == "color":
        assert not rise.any()
        assert np.array_equal(good.depth.valid, bad.depth.valid)
    else:
        assert np.median(rise[bad.mask]) > 4.5
        assert np.median(rise[~bad.mask]) == 0


@pytest.mark.parametrize(("name", "defect"), [(n, d) for n, d in DEFECTS if SOLIDS[n].defects[d].shows == "depth"])
def test_a_depth_defect_is_five_times_the_noise_over_a_third_of_a_percent_of_the_picture(name, defect):
    for seed in range(4):
        good, bad = pair(name, defect, seed)
        assert (np.abs(bad.depth.distance - good.depth.distance) >= 5 * NOISE_M).mean() > 0.003


def test_the_noise_of_the_depth_camera_is_what_it_says(mvtec_3d):
    depth = tifffile.imread(mvtec_3d / "potato/train/good/xyz/000.tiff")[:8, :, 2]  # the table, tilted
    row, column = np.mgrid[: depth.shape[0], : depth.shape[1]]
    level = np.stack([row, column, np.ones_like(row)], axis=2)[depth > 0]
    rest = depth[depth > 0] - level @ np.linalg.lstsq(level, depth[depth > 0], rcond=None)[0]
    assert rest.std() == pytest.approx(NOISE_M, rel=0.15)


def test_the_folder_says_that_its_data_are_generated_and_what_shows_each_defect(mvtec_3d):
    text = (mvtec_3d / "DEMO_DATA.md").read_text()
    assert "never report" in text and '"seed": 3' in text and "write_solids" in text
    assert "- bolt: color: rust, tarnish; depth: dent, worn; both: gouge, spatter" in text


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        write_solids(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_data_that_could_not_be_written_to_the_end(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(DataError, match="No space left"):
        write_solids(tmp_path / "new", **COUNTS)
    assert list((tmp_path / "new").iterdir()) == []


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UnknownClass, match="'wood' in the demo data; it has: biscuit, bolt, gear, potato, tray"):
        write_solids(tmp_path / "new", classes=["wood"])
    wrong_ones = ({"num_train": 0}, {"num_validation": -1}, {"image_size": 8}, {"seed": -1}, {"layout": "coco"})
    for wrong in wrong_ones:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            write_solids(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
