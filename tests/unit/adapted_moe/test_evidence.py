import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eagleray.adapted_moe import weigh
from eagleray.adapted_moe.evidence import left_out
from eagleray.data import read_texture_ad
from eagleray.mixture import Design
from eagleray.mixture.anomalies import add_anomaly
from tests.unit.adapted_moe.conftest import MIXTURE, SCORING, draw

PLAIN = Design(expert="bank", moe=False, whitening=False)
ADAPTED = Design(expert="bank", moe=False, whitening=False, adaptions=("mean",))
MOE = Design(expert="bank", moe=True)


@pytest.fixture
def evidence(mill):
    """Weigh candidates on some categories."""

    def run(*categories, candidates=(PLAIN, ADAPTED), seed=0, top_k=4):
        return weigh(
            categories,
            candidates,
            mill.workshop(),
            MIXTURE,
            SCORING,
            folder=mill.root / "evidence",
            top_k=top_k,
            sigma=2.0,
            seed=seed,
        )

    return run


def pictures(mill):
    """What was written, with the time of writing."""
    files = sorted(path for path in (mill.root / "evidence").rglob("*") if path.is_file())
    return {str(path.relative_to(mill.root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_no_test_picture_is_embedded_or_scored(mill, evidence):
    data = mill.embed()
    mill.pool.embedded.clear()
    for test in data.tests:
        Path(test.sample.path).unlink()  # whoever looks at one, fails
    evidence(data)
    train, synthetic = set(data.train.paths), str(mill.root / "evidence")
    assert mill.pool.embedded
    assert {path in train or path.startswith(synthetic) for path in mill.pool.embedded} == {True}
    assert any(path.startswith(synthetic) for path in mill.pool.embedded)


def test_the_subclass_left_out_is_learned_by_no_candidate(mill, evidence):
    data = mill.embed()
    left = left_out(data, MIXTURE)
    assert len(left) == 2
    evidence(data, candidates=(PLAIN,))
    learned = [{int(data.labels_N[image]) for image in task.images} for task in mill.pool.items("fit_bank")]
    assert learned == [{0, 1, 2} - {subclass} for subclass in left]


def test_the_subclasses_left_out_are_those_farthest_from_the_others(mill):
    data = mill.embed()
    means = [data.train.means_ND[data.labels_N == number].mean(axis=0) for number in range(3)]
    distances = [np.linalg.norm(means[number] - (means[number - 1] + means[number - 2]) / 2) for number in range(3)]
    assert left_out(data, MIXTURE) == sorted(np.argsort(distances)[1:].tolist())


def test_the_candidate_that_is_right_about_unseen_subclasses_has_more_merit(mill, evidence):
    """Subclasses differ in colour only, by far more than any defect: who does not adapt flags all of a new one."""
    rng = np.random.default_rng(0)
    for subclass, level in (("dark", 40), ("grey", 110), ("light", 190)):
        for number in range(8):
            path = mill.data / "paper" / subclass / "train/good" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = level + rng.normal(0, 15) + rng.normal(0, 4, (64, 64, 3))
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)
    data = mill.embed(read_texture_ad(mill.data)[0])
    for candidates in ((PLAIN, ADAPTED), (ADAPTED, PLAIN)):
        found = evidence(data, candidates=candidates)["paper"]
        assert [one.design for one in found] == list(candidates)
        assert max(found, key=lambda one: one.merit).design == ADAPTED
        assert max(one.image_auroc for one in found) - min(one.image_auroc for one in found) > 0.05


def test_merit_counts_both_figures_alike(mill, evidence):
    (one,) = evidence(mill.embed(), candidates=(PLAIN,))["cloth"]
    assert one.merit == (one.image_auroc + one.pixel_auroc) / 2
    assert 0 < one.image_auroc <= 1
    assert 0 < one.pixel_auroc <= 1


def test_pictures_are_written_once(mill, evidence):
    data = mill.embed()
    first = evidence(data)
    written = pictures(mill)
    assert evidence(data) == first
    assert pictures(mill) == written
    assert sum(name.endswith("_mask.png") for name in written) == 8  # four of each subclass left out


@pytest.mark.parametrize("change", ["data", "seed"])
def test_pictures_are_written_again_when_what_decides_them_changed(mill, evidence, change):
    data = mill.embed()
    evidence(data)
    before = pictures(mill)
    if change == "data":
        Image.fromarray(draw("felt", 77)).save(mill.data / "cloth/felt/train/good/000.png")
        data = mill.embed(read_texture_ad(mill.data)[0])
    evidence(data, seed=int(change == "seed"))
    after = pictures(mill)
    stamps = [name for name in before if name.endswith("made_of.json")]
    assert len(stamps) == 2
    assert all(after[name][0] != before[name][0] for name in stamps if name in after)
    assert all(after[name][1] != before[name][1] for name in before.keys() & after.keys())


def test_a_run_that_died_while_it_wrote_leaves_nothing_that_is_taken_for_whole(mill, evidence, monkeypatch):
    data = mill.embed()

    class Stopped(Exception):
        """The process died."""

    expected, files = evidence(data), pictures(mill)
    shutil.rmtree(mill.root / "evidence")
    painted = []

    def stop(*arguments):
        painted.append(arguments)
        if len(painted) == 3:
            raise Stopped
        return add_anomaly(*arguments)

    monkeypatch.setattr("eagleray.adapted_moe.evidence.add_anomaly", stop)
    with pytest.raises(Stopped):
        evidence(data)
    assert 0 < len(pictures(mill)) < len(files)
    monkeypatch.undo()
    assert evidence(data) == expected
    assert [data for data, _ in pictures(mill).values()] == [data for data, _ in files.values()]


def test_with_two_subclasses_there_is_nothing_to_route_and_mixtures_are_not_tried(mill, evidence):
    data = mill.embed(mill.category(seen=("felt", "linen")))
    found = evidence(data, candidates=(PLAIN, MOE))
    assert [one.design for one in found["cloth"]] == [PLAIN]
    assert mill.trainer.routers == 0


def test_mixtures_are_tried_with_as_many_experts_as_are_left(mill, evidence):
    found = evidence(mill.embed(), candidates=(MOE,), top_k=4)
    assert [one.design for one in found["cloth"]] == [MOE]
    assert mill.trainer.routers == 2


def test_several_categories_are_weighed_each_on_its_own(mill, evidence):
    cloth, felt = mill.embed(), mill.embed(mill.category("wool", seen=("knit", "boucle", "tweed"), unseen=()))
    together = evidence(cloth, felt)
    assert together == {**evidence(cloth), **evidence(felt)}
