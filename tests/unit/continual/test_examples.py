from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eagleray.continual import write_examples

MECAD = {"similarity_threshold": -1.0}


@pytest.fixture
def judged(workshop):
    run = workshop.run(**MECAD)
    run.take([workshop.arrival("nut"), workshop.arrival("bolt", masks=False)])
    return run.verdicts(oracle=False)


def test_for_each_class_the_worst_and_the_best_of_both_kinds_are_shown(workshop, judged):
    entries = write_examples(workshop.root, judged, sigma=1.0)
    for name, verdicts in judged.items():
        shown = [entry["path"] for entry in entries if entry["class"] == name]
        defective = sorted((v for v in verdicts if v.sample.label), key=lambda v: v.score)
        good = sorted((v for v in verdicts if not v.sample.label), key=lambda v: v.score)
        extremes = {v.sample.path for v in (defective[0], defective[-1], good[0], good[-1])}
        by_path = {v.sample.path: v for v in verdicts}
        assert len(shown) == 4
        assert {by_path[path].p_value for path in shown} == {by_path[path].p_value for path in extremes}
        assert sum(by_path[path].sample.label for path in shown) == 2


def test_every_file_that_an_entry_names_is_there_and_is_a_picture(workshop, judged):
    for entry in write_examples(workshop.root, judged, sigma=1.0):
        for part in ("image", "heatmap", "mask"):
            if entry[part]:
                assert not Path(entry[part]).is_absolute()
                assert np.asarray(Image.open(workshop.root / entry[part])).shape[:2] == (32, 32)


def test_a_mask_is_shown_where_there_is_one(workshop, judged):
    entries = write_examples(workshop.root, judged, sigma=1.0)
    assert {entry["mask"] is not None for entry in entries if entry["class"] == "nut" and entry["label"]} == {True}
    assert {entry["mask"] for entry in entries if entry["class"] == "bolt" or not entry["label"]} == {None}


def test_an_entry_says_what_was_decided(workshop, judged):
    by_path = {v.sample.path: v for verdicts in judged.values() for v in verdicts}
    kinds = {(1, True): "hit", (1, False): "missed", (0, True): "false_alarm", (0, False): "quiet"}
    for entry in write_examples(workshop.root, judged, sigma=1.0):
        verdict = by_path[entry["path"]]
        assert entry["kind"] == kinds[verdict.sample.label, verdict.flagged]
        assert (entry["score"], entry["p_value"]) == (verdict.score, verdict.p_value)


def test_a_picture_is_shown_once_even_if_it_is_best_and_worst(workshop, judged):
    only = {"nut": [v for v in judged["nut"] if v.sample.label][:1]}
    assert len(write_examples(workshop.root, only, sigma=1.0)) == 1


def test_a_class_without_test_images_shows_nothing(workshop):
    assert write_examples(workshop.root, {"nut": []}, sigma=1.0) == []


def test_large_pictures_are_shown_small(workshop):
    run = workshop.run(**MECAD)
    arrival = workshop.arrival("nut", defective=())
    for sample in arrival.category.test:
        Image.open(sample.path).resize((900, 600)).save(sample.path)
    run.take([arrival])
    for entry in write_examples(workshop.root, run.verdicts(oracle=False), sigma=4.0):
        assert Image.open(workshop.root / entry["image"]).size == (320, 213)


def test_writing_again_replaces_what_was_there(workshop, judged):
    first = write_examples(workshop.root, judged, sigma=1.0)
    assert write_examples(workshop.root, judged, sigma=1.0) == first
    files = {path.name for path in (workshop.root / "examples").iterdir()}
    assert files == {Path(entry[part]).name for entry in first for part in ("image", "heatmap", "mask") if entry[part]}
