import dataclasses

import numpy as np
import pytest
import torch

from eagleray.adnas import FusionSession, closing, image_scores
from eagleray.adnas.outcome import Scored, figures
from eagleray.continual import EvaluationConfig, ScoringSession, open_judge
from eagleray.data import RgbdSample, Sample, open_rgbd
from eagleray.errors import BadImage, ConfigError, StoreCorrupt, StoreError, StoreMissing, UnknownClass
from eagleray.experts.expert_task import one_thread
from eagleray.features import load_image
from eagleray.fusion.training import patch_scores
from eagleray.storage import ModelStore
from eagleray.trials import LocalRunner
from tests.unit.tiny_fusion import BOTH, COLOR, SCORING, keep, write_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("solids") / "data")


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    return keep(ModelStore.create(tmp_path_factory.mktemp("both") / "model"), data, BOTH)


@pytest.fixture(scope="module")
def session(both):
    return FusionSession.open(both.store)


def job_scores(tiny, category):
    """Patch scores of test pictures, as the job computes them."""
    with one_thread():
        return patch_scores(tiny.network, category.test)


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_are_those_of_the_job_to_the_bit(both, session, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for category in both.categories:
            expected_NHW = job_scores(both, category)
            findings = [session.score(sample, category=category.name) for sample in category.tests]
            np.testing.assert_array_equal([found.patch_scores_HW for found in findings], expected_NHW)
            scores_N = image_scores(expected_NHW, SCORING)
            assert [found.score for found in findings] == scores_N.tolist()
            assert len(set(scores_N.tolist())) == len(category.tests) == 4
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_with_the_plane_removed_scores_are_those_of_the_job_too(data, both, tmp_path):
    tiny = keep(ModelStore.create(tmp_path / "model"), data, BOTH, plane_removal=True)
    session, (category, *_) = FusionSession.open(tiny.store), tiny.categories
    found = [session.score(sample).patch_scores_HW for sample in category.tests]
    np.testing.assert_array_equal(found, job_scores(tiny, category))
    assert not np.array_equal(found, job_scores(both, both.categories[0]))


def test_verdicts_are_those_that_the_job_reports(both, tmp_path):
    session = FusionSession.open(both.store, false_alarm_rate=0.3)
    with one_thread():
        rows = [
            Scored(one, patch_scores(both.network, one.validation), patch_scores(both.network, one.test))
            for one in both.categories
        ]
    measured = figures(rows, SCORING, sigma=4.0, runner=LocalRunner())
    evaluation = EvaluationConfig(false_alarm_rate=0.3)
    told = closing(rows, measured, scoring=SCORING, evaluation=evaluation, out=tmp_path)
    pictures = {sample.sample.path: (sample, one.name) for one in both.categories for sample in one.tests}
    assert len(told["scores"]) == len(pictures) == 8
    for row in told["scores"]:
        sample, category = pictures[row["path"]]
        found = session.score(sample, category=category)
        assert (found.score, found.p_value, found.anomalous) == (row["score"], row["p_value"], row["flagged"])
        assert found.threshold.value == told["classes"][category]["threshold"]
        assert found.patch_limit == both.model.products[category].calibration_N.max()


def test_a_picture_is_of_the_product_whose_summary_is_nearest(both, session):
    bolt, tray = open_rgbd(both.data)
    for mine in (bolt, tray):
        for sample in mine.validation:
            found = session.score(sample)
            assert found.category == mine.name
            assert found.routing[0].category == mine.name
            assert found.routing[0].distance < 1e-3 < found.routing[1].distance
            assert {route.expert for route in found.routing} == {found.expert} == {0}
            assert found.novelty is None


def test_a_category_that_is_given_is_not_looked_for(both, session):
    sample = both.categories[0].tests[0]
    found = session.score(sample, category="tray")
    assert (found.category, found.routing, found.novelty) == ("tray", (), None)
    np.testing.assert_array_equal(found.patch_scores_HW, session.score(sample, category="bolt").patch_scores_HW)
    assert found.threshold != session.score(sample, category="bolt").threshold
    with pytest.raises(UnknownClass, match="no class 'nuts' in version 1 of the model; it has: bolt, tray"):
        session.score(sample, category="nuts")


def test_the_heat_map_has_the_pictures_size(both, session):
    sample = both.categories[0].tests[0]
    pixels_YX3 = load_image(sample.sample.path)
    heat_YX3 = session.heat_map(pixels_YX3, session.score(sample))
    assert (heat_YX3.shape, heat_YX3.dtype) == ((48, 48, 3), np.uint8)
    assert not np.array_equal(heat_YX3, pixels_YX3)


def test_an_architecture_that_looks_at_colour_alone_does_without_depth(data, tmp_path):
    tiny = keep(ModelStore.create(tmp_path / "model"), data, COLOR)
    session = FusionSession.open(tiny.store)
    assert not session.needs_depth
    for category in tiny.categories:
        found = [session.score(load_image(sample.sample.path)).patch_scores_HW for sample in category.tests]
        np.testing.assert_array_equal(found, job_scores(tiny, category))
        np.testing.assert_array_equal(found, [session.score(sample).patch_scores_HW for sample in category.tests])


def test_colours_alone_are_not_enough_for_an_architecture_that_looks_at_depth(both, session):
    assert session.needs_depth
    with pytest.raises(AssertionError, match="looks at depth"):
        session.score(load_image(both.categories[0].tests[0].sample.path))


def test_files_that_cannot_be_read_are_named(both, session, tmp_path):
    good = both.categories[0].tests[0]
    (broken := tmp_path / "broken.tiff").write_bytes(b"no points")
    with pytest.raises(BadImage, match="cannot be read as a TIFF") as caught:
        session.score(dataclasses.replace(good, depth=str(broken)))
    assert caught.value.args[0] == str(broken)
    color = Sample(str(tmp_path / "none.png"), "bolt", "test", 0, "good", None)
    with pytest.raises(BadImage, match="cannot be read as an image") as caught:
        session.score(RgbdSample(color, good.depth))
    assert caught.value.args[0] == color.path


def test_a_version_can_be_chosen_and_one_that_is_not_there_is_named(both, session):
    sample = both.categories[0].tests[0]
    found = FusionSession.open(both.store, version=1)
    assert found.judge.version == session.judge.version == 1
    assert found.score(sample).score == session.score(sample).score
    with pytest.raises(StoreMissing, match="no version 9"):
        FusionSession.open(both.store, version=9)


def test_a_store_without_any_version_or_class_is_refused(both, tmp_path):
    store = ModelStore.create(tmp_path / "empty")
    with pytest.raises(StoreMissing, match="knows no class yet"):
        FusionSession.open(store)
    store.put_blob(both.store.get_blob(both.manifest.blobs["network"]))
    store.commit(dataclasses.replace(both.manifest, classes={}, history=(), version=0))
    with pytest.raises(StoreMissing, match="knows no class yet"):
        FusionSession.open(store)


def test_a_rate_that_is_no_share_is_refused(both):
    with pytest.raises(ConfigError):
        FusionSession.open(both.store, false_alarm_rate=1.0)


def test_a_manifest_without_scoring_is_refused(both, tmp_path):
    store = ModelStore.create(tmp_path / "copy")
    for digest in both.manifest.digests():
        store.put_blob(both.store.get_blob(digest))
    store.commit(dataclasses.replace(both.manifest, config={"preset": "demo"}, version=0))
    with pytest.raises(StoreCorrupt, match=r"version 1: config\.scoring must be an object .* restore it"):
        FusionSession.open(store)


def test_what_opens_other_kinds_says_what_opens_this_one_in_one_line(both):
    for opened in (
        lambda: ScoringSession.open(both.store),
        lambda: open_judge(both.store, both.manifest, false_alarm_rate=0.1),
    ):
        with pytest.raises(StoreError, match=r"neither extractor nor experts; open it with eagleray\.adnas") as caught:
            opened()
        assert str(caught.value).startswith(f"{both.store.uri}: ")
        assert len(str(caught.value).splitlines()) == 1


def test_a_model_of_another_kind_is_refused(tiny_model):
    with pytest.raises(StoreError, match="kind 'mecad', which looks at colour alone"):
        FusionSession.open(ModelStore.open(tiny_model.store))
