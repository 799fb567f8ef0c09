import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from eagleray.config import from_json
from eagleray.continual import EvaluationConfig, Evaluator, LocalPool, Model, ScoringSession, stored_extractor
from eagleray.data import read_mvtec_ad
from eagleray.errors import ConfigError, StoreCorrupt, StoreError, StoreMissing, UnknownClass
from eagleray.experts import ScoringConfig
from eagleray.features import load_image
from eagleray.storage import ModelStore


@pytest.fixture(scope="module")
def store(tiny_model):
    return ModelStore.open(tiny_model.store)


@pytest.fixture(scope="module")
def session(store):
    return ScoringSession.open(store)


@pytest.fixture(scope="module")
def tests(tiny_model):
    return {category.name: category.test for category in read_mvtec_ad(tiny_model.data)}


@pytest.fixture
def spot(tiny_model):
    return load_image(tiny_model.data / "dots/test/spot/0.png")


@pytest.mark.parametrize(
    ("part", "word"), [("features", "weights_sha256"), ("blobs", "extractor"), ("config", "mecad")]
)
def test_a_manifest_that_lacks_what_scoring_reads_is_corrupt(tiny_model, tmp_path, part, word):
    shutil.copytree(tiny_model.store, tmp_path / "model")
    version = ModelStore.open(tmp_path / "model").current().version
    path = tmp_path / "model" / "versions" / f"{version}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: {}}))
    with pytest.raises(StoreCorrupt, match=f"lacks '{word}' in {part}"):
        ScoringSession.open(ModelStore.open(tmp_path / "model"))


@pytest.mark.parametrize("tiny_model", ["nested", "replay"], indirect=True)
def test_findings_are_the_evaluators_verdicts(store, session, tests):
    manifest = store.current()
    with LocalPool(stored_extractor(store, manifest), store) as pool:
        evaluator = Evaluator(pool, from_json(ScoringConfig, manifest.config["scoring"]), EvaluationConfig())
        judged = evaluator.verdicts(Model.load(store, manifest), tests)
    verdicts = [verdict for found in judged.values() for verdict in found]
    assert len(verdicts) == 12
    for verdict in verdicts:
        finding = session.score(load_image(verdict.sample.path))
        assert (finding.score, finding.p_value) == (verdict.score, verdict.p_value)
        assert finding.anomalous == verdict.flagged
        assert (finding.category, finding.expert) == (verdict.routed_class, verdict.routed_expert)
        assert finding.patch_limit == verdict.patch_limit
        np.testing.assert_array_equal(finding.patch_scores_HW, verdict.patch_scores_HW)


def test_defects_stand_out_and_classes_are_recognised(session, tests):
    for name, samples in tests.items():
        findings = [session.score(load_image(sample.path)) for sample in samples]
        good = [f.score for f, sample in zip(findings, samples, strict=True) if not sample.label]
        defective = [f.score for f, sample in zip(findings, samples, strict=True) if sample.label]
        assert min(defective) > max(good)
        assert all(finding.anomalous for finding in findings[len(good) :])
        assert {finding.category for finding in findings} == {name}


def test_routing_lists_every_class_closest_first(session, spot):
    routing = session.score(spot).routing
    assert [route.category for route in routing] == ["dots", "stripes"]
    assert routing[0].distance < routing[1].distance


def test_a_given_category_takes_the_place_of_routing(session, spot):
    told, found = session.score(spot, category="stripes"), session.score(spot)
    assert (told.category, told.routing) == ("stripes", ())
    assert told.score != found.score
    assert session.score(spot, category="dots").score == found.score


def test_an_unknown_category_is_refused_with_the_known_ones(session, spot):
    with pytest.raises(UnknownClass, match=r"no class 'nuts'.*dots, stripes"):
        session.score(spot, category="nuts")


def test_an_older_version_knows_only_what_it_had_learned(store, session):
    older = ScoringSession.open(store, version=1)
    assert (older.judge.version, older.judge.categories) == (1, ("dots",))
    assert (session.judge.version, session.judge.categories) == (2, ("dots", "stripes"))


def test_a_higher_false_alarm_rate_lowers_the_threshold(store, session, spot):
    lenient = ScoringSession.open(store, false_alarm_rate=0.9).score(spot)
    strict = session.score(spot)
    assert lenient.threshold.value < strict.threshold.value
    assert lenient.score == strict.score


@pytest.mark.parametrize("rate", [0, 1, -0.1])
def test_an_impossible_false_alarm_rate_is_refused(store, rate):
    with pytest.raises(ConfigError):
        ScoringSession.open(store, false_alarm_rate=rate)


def test_the_heat_map_has_the_pictures_size_and_colours_the_defect_only(session, spot):
    colours = session.heat_map(spot, session.score(spot))
    assert colours.shape == spot.shape == (48, 80, 3)
    changed = (colours != spot).any(axis=2)
    assert changed[16:32, 24:40].mean() > 0.9
    assert not changed[:, 64:].any()


def test_a_store_without_a_version_is_refused(tmp_path):
    with pytest.raises(StoreMissing, match="knows no class"):
        ScoringSession.open(ModelStore.create(tmp_path / "empty"))


def test_a_model_of_another_kind_is_refused(store, tmp_path):
    other = ModelStore.create(tmp_path / "other")
    for digest in store.current().digests():
        other.put_blob(store.get_blob(digest))
    other.commit(store.current().successor(kind="adnas", parent=None))
    with pytest.raises(StoreError, match="'adnas'"):
        ScoringSession.open(other)


def test_an_altered_bank_is_refused(store, tmp_path):
    manifest, copy = store.current(), ModelStore.create(tmp_path / "copy")
    for digest in manifest.digests():
        copy.put_blob(store.get_blob(digest))
    copy.commit(manifest.successor(parent=None))
    path = tmp_path / "copy" / "blobs" / manifest.classes["dots"].blob
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreCorrupt, match=manifest.classes["dots"].blob):
        ScoringSession.open(copy)


def test_scoring_takes_neither_torch_nor_ray(tiny_model):
    code = (
        "import sys; from eagleray.continual import ScoringSession; from eagleray.storage import ModelStore; "
        "from eagleray.features import load_image; "
        f"ScoringSession.open(ModelStore.open({str(tiny_model.store)!r})).score(load_image(sys.argv[1])); "
        "sys.exit(bool({'torch', 'ray'} & sys.modules.keys()))"
    )
    picture = str(tiny_model.data / "dots/test/spot/0.png")
    assert subprocess.run([sys.executable, "-c", code, picture], check=False).returncode == 0
