"""The benchmark beside EasyNet: the pictures it compares with, and a folder that no run has written."""

import sys

import numpy as np
import pytest

from benchmarks import easynet
from eagleray.adnas import FusionSettings, load_category
from eagleray.console import run_main
from eagleray.data import open_rgbd, write_solids
from tests.unit.tiny_fusion import BOTH, PIXELS, SIZE

SEED, SCALE = 3, 0.5
SETTINGS = FusionSettings(genotype=BOTH, network=SIZE, image_size=PIXELS, height_scale=SCALE, plane_removal=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a run on generated solids."""
    run = tmp_path_factory.mktemp("run")
    counts = {"num_train": 5, "num_validation": 2, "num_test_good": 1, "num_test_defective": 1}
    write_solids(run / "data", image_size=48, classes=("bolt", "tray"), **counts)
    return run


def results_of(shots):
    data = {"source": "demo", "generated": True}
    return {"data": data, "classes": {"tray": {}, "bolt": {}}, "config": {"shots": shots}, "seed": SEED}


@pytest.mark.parametrize(("shots", "count"), [(0, 5), (3, 3)])
def test_easynet_learns_from_the_pictures_that_the_run_learned_from(written, shots, count):
    found = easynet.load_pictures(written, results_of(shots), SETTINGS)
    assert [data.name for data in found] == ["tray", "bolt"]
    for category, data in zip(open_rgbd(written / "data", ["tray", "bolt"]), found, strict=True):
        assert data.trains == category.few_shot(count, SEED).train
        assert (len(data.train), len(data.validation)) == (count, 2)


def test_pictures_are_in_the_scale_of_the_model(written):
    (tray, _) = easynet.load_pictures(written, results_of(0), SETTINGS)
    (category,) = open_rgbd(written / "data", ["tray"])
    given = load_category(category, PIXELS, plane_removal=False, advance=lambda _: None)
    for part in ("train", "validation", "test"):
        expected = getattr(given, part).scaled(SCALE)
        np.testing.assert_array_equal(getattr(tray, part).height_NYX, expected.height_NYX)
    assert tray.tests == given.tests


def test_a_folder_without_results_is_one_line_that_names_the_file(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["x", "--run", str(tmp_path)])
    assert run_main(easynet.main) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path / 'results.json'}: no such file")
    assert told.count("\n") == 1
