"""`eagleray score` and its kin on models that look at colour and depth."""

import json
from pathlib import Path

import pytest

from eagleray.adnas import FusionSession
from eagleray.data import open_rgbd
from eagleray.features import load_image
from eagleray.storage import ModelStore
from tests.unit.tiny_fusion import BOTH, COLOR, keep, write_pictures


@pytest.fixture(scope="module")
def fusion(tmp_path_factory):
    """A model that looks at colour and depth, and its pictures."""
    folder = tmp_path_factory.mktemp("fusion")
    return keep(ModelStore.create(folder / "model"), write_pictures(folder / "data"), BOTH)


@pytest.fixture(scope="module")
def color_fusion(fusion, tmp_path_factory):
    """One whose architecture looks at colour alone."""
    return keep(ModelStore.create(tmp_path_factory.mktemp("color") / "model"), fusion.data, COLOR)


@pytest.fixture
def score_depth(run_cli, fusion):
    """Run `eagleray score` on the model with depth; returns the records, and what stderr says beside the rates."""

    def score_depth(*arguments):
        code, lines, complaints = run_cli("score", "--model", fusion.store.uri, *arguments)
        assert code == 0, complaints
        return [json.loads(line) for line in lines], [line for line in complaints if "held out" not in line]

    return score_depth


def test_pictures_with_depth_are_scored_as_the_session_does(score_depth, fusion, tmp_path):
    bolt, _ = open_rgbd(fusion.data)
    session = FusionSession.open(fusion.store)
    folders = {Path(sample.sample.path).parent for sample in bolt.test}
    given = [flag for folder in folders for flag in ("--depth", folder.parent / "xyz")]
    records, complaints = score_depth(*(sample.sample.path for sample in bolt.test), *given, "--out", tmp_path)
    assert (complaints, len(records)) == ([], 4)
    assert list(records[0]) == [
        "path", "score", "p_value", "verdict", "anomalous", "threshold", "category", "expert", "routing",
        "model_version", "heatmap",
    ]  # fmt: skip
    for record, sample in zip(records, bolt.test, strict=True):
        found = session.score(sample)
        assert record["path"] == sample.sample.path
        assert (record["score"], record["p_value"]) == (found.score, found.p_value)
        assert (record["category"], record["expert"], record["model_version"]) == (found.category, 0, 1)
        assert [route["category"] for route in record["routing"]] == [route.category for route in found.routing]
        expected = session.heat_map(load_image(sample.sample.path), found)
        assert (load_image(record["heatmap"]) == expected).all()


def test_flags_work_for_models_with_depth_too(run_cli, fusion):
    folder = fusion.data / "tray/validation/good"
    given = ("score", "--model", fusion.store.uri, "--depth", folder / "xyz", folder / "rgb")
    code, lines, complaints = run_cli(*given, "--category", "bolt", "--version", 1, "--false-alarm-rate", 0.3)
    records = [json.loads(line) for line in lines]
    assert (code, complaints, len(records)) == (0, [], 3)  # a quarter can be promised by three pictures
    assert {(record["category"], len(record["routing"])) for record in records} == {("bolt", 0)}
    rates = run_cli(*given)[2]
    assert (len(rates), rates[0].endswith("0.25 for tray")) == (1, True)


def test_a_whole_folder_of_scenes_in_six_lights_gives_one_line_a_scene(score_depth, tmp_path):
    scenes = write_pictures(tmp_path / "candies", layout="eyecandies") / "bolt/val/data"
    records, complaints = score_depth("--depth", scenes, scenes)
    assert complaints == []
    assert [Path(record["path"]).name for record in records] == [f"{number:02d}_image_5.png" for number in range(3)]
    (alone,), _ = score_depth(scenes / "01_image_5.png", "--depth", scenes / "01_depth.png")
    assert alone == records[1]


def test_one_picture_and_one_depth_need_no_names_in_common(score_depth, fusion, tmp_path):
    folder = fusion.data / "bolt/validation/good"
    (picture := tmp_path / "shot.png").write_bytes((folder / "rgb/000.png").read_bytes())
    (depth := tmp_path / "points.tiff").write_bytes((folder / "xyz/000.tiff").read_bytes())
    (record,), _ = score_depth("--depth", depth, picture)
    (expected,), _ = score_depth(folder / "rgb/000.png", "--depth", folder / "xyz/000.tiff")
    assert {**record, "path": ""} == {**expected, "path": ""}


def test_depth_that_cannot_be_read_gives_a_line_that_names_it(score_depth, fusion, tmp_path):
    folder = fusion.data / "bolt/validation/good"
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes((folder / f"rgb/00{number}.png").read_bytes())
    (broken := tmp_path / "0.tiff").write_bytes(b"no points")
    (tmp_path / "1.tiff").write_bytes((folder / "xyz/001.tiff").read_bytes())
    records, complaints = score_depth(tmp_path / "0.png", tmp_path / "1.png", "--depth", tmp_path)
    assert sorted(records[0]) == ["error", "path"]
    assert records[0]["path"] == str(tmp_path / "0.png")
    assert records[0]["error"].startswith(f"{broken}: cannot be read as a TIFF")
    assert "score" in records[1]
    assert complaints == [f"warning: {records[0]['error']}"]


def test_distances_that_cannot_be_read_cost_their_picture_alone(score_depth, tmp_path):
    scenes = write_pictures(tmp_path / "candies", layout="eyecandies") / "bolt/val/data"
    (scenes / "01_info_depth.yaml").write_text("normalization: {min: 2, max: 1}")
    records, (complaint,) = score_depth("--depth", scenes, scenes)
    assert ["error" in record for record in records] == [False, True, False]
    assert records[1]["error"].startswith(f"{scenes / '01_info_depth.yaml'}: max (1) must be above min (2)")
    assert complaint == f"warning: {records[1]['error']}"


def test_an_architecture_that_looks_at_colour_alone_is_asked_without_depth(run_cli, color_fusion):
    bolt, _ = open_rgbd(color_fusion.data)
    picture = bolt.test[0].sample.path
    code, (line,), _ = run_cli("score", "--model", color_fusion.store.uri, picture)
    expected = FusionSession.open(color_fusion.store).score(load_image(picture))
    assert (code, json.loads(line)["score"]) == (0, expected.score)


MODEL, PICTURE = "{model}", "{data}/dots/test/good/0.png"
FUSION, SOLID = "{fusion}", "{solids}/bolt/validation/good"
MISTAKES = {
    "no depth": (("score", "--model", FUSION, SOLID + "/rgb"), "give --depth the depth of the pictures, as the model"),
    "depth for colour": (("score", "--model", MODEL, PICTURE, "--depth", "{solids}"), "leave --depth out"),
    "depth for an architecture of colour": (
        ("score", "--model", "{color}", SOLID + "/rgb/000.png", "--depth", SOLID + "/xyz/000.tiff"),
        "leave --depth out",
    ),
    "a picture without depth": (
        ("score", "--model", FUSION, SOLID + "/rgb", "--depth", SOLID + "/xyz/000.tiff"),
        "rgb/001.png: has no depth; give its file 001.tiff",
    ),
    "a picture with two": (
        (
            "score",
            "--model",
            FUSION,
            SOLID + "/rgb/000.png",
            "--depth",
            "{solids}/bolt/train",
            "--depth",
            "{solids}/tray",
        ),
        "rgb/000.png: goes with both",
    ),
    "no depth in the folder": (
        ("score", "--model", FUSION, SOLID + "/rgb", "--depth", SOLID + "/rgb"),
        "good/rgb: no depth in it",
    ),
    "no such depth": (
        ("score", "--model", FUSION, SOLID + "/rgb/000.png", "--depth", SOLID + "/xyz/9.tiff"),
        "xyz/9.tiff: no such file",
    ),
    "a depth picture alone": (
        ("score", "--model", FUSION, SOLID + "/rgb/000.png", "--depth", SOLID + "/rgb/000.png"),
        "has no 000_info_depth.yaml beside it",
    ),
    "an unknown category with depth": (
        ("score", "--model", FUSION, SOLID + "/rgb", "--depth", SOLID + "/xyz", "--category", "nuts"),
        "no class 'nuts' in version 1 of the model; it has: bolt, tray",
    ),
    "no such version with depth": (
        ("score", "--model", FUSION, SOLID + "/rgb", "--depth", SOLID + "/xyz", "--version", "9"),
        "no version 9",
    ),
    "no value of depth": (("score", "--model", FUSION, SOLID + "/rgb", "--depth"), "--depth"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_with_depth_is_one_line_and_exit_code_2(run_cli, tiny_model, fusion, color_fusion, mistake):
    arguments, told = MISTAKES[mistake]
    stores = {"model": tiny_model.store, "fusion": fusion.store.uri, "color": color_fusion.store.uri}
    filled = [text.format(data=tiny_model.data, solids=fusion.data, **stores) for text in arguments]
    code, lines, complaints = run_cli(*filled)
    assert (code, lines, len(complaints)) == (2, [], 1), complaints
    assert complaints[0].startswith("error: ")
    assert told in complaints[0]


def test_versions_of_a_model_with_depth_are_listed_too(run_cli, fusion):
    code, lines, _ = run_cli("versions", "--model", fusion.store.uri)
    rows = [line.split() for line in lines if "learn" in line]
    assert (code, rows) == (0, [["*", "1", "-", "learn", "tray", "0", "2", "0"]])
