"""Which architectures a search hands on, and which of them is kept."""

import dataclasses

import numpy as np
import pytest

from eagleray.adnas import TrainSpec
from eagleray.adnas import finalists as module
from eagleray.adnas.finalists import Finalist, finalists, validation_auroc
from eagleray.adnas.found import Found
from eagleray.adnas.trials import TrainRun
from eagleray.experts import ScoringConfig
from eagleray.fusion.genotype import Cell, Cells, Genotype, Node
from eagleray.fusion.images import RgbdImages
from eagleray.trials import Outcome
from tests.unit.adnas.conftest import tiny_material
from tests.unit.fusion.conftest import bowls

NODES = (Node("add", (0, 1)), Node("glu", (2, 0)))
EARLY = Cell(("color.early.0", "depth.early.1"), NODES)
LATE = Cell(("color.late.0", "depth.late.1"), NODES)
ONE = Genotype(Cells(early=EARLY))
OTHER = Genotype(Cells(late=LATE))
WITH_A_CELL_TOO_MANY = Genotype(Cells(early=EARLY, late=LATE))
"""Runs as `OTHER`: its late cell takes nothing of the early one."""
SCORING = ScoringConfig(top_share=0.05)


def history(*met):
    return [
        {"step": step, "merit": merit, "genotype": {k: v for k, v in genotype.to_json().items() if k != "schema"}}
        for step, (genotype, merit) in enumerate(met, 1)
    ]


def test_the_best_by_merit_are_handed_on_once_each_from_where_they_were_met_first():
    met = history((ONE, 0.6), (WITH_A_CELL_TOO_MANY, 0.8), (ONE, 0.6), (OTHER, 0.8))
    assert finalists(met, 3) == [
        Finalist(genotype=OTHER, step=2, merit=0.8),
        Finalist(genotype=ONE, step=1, merit=0.6),
    ]
    assert finalists(met, 1) == [Finalist(genotype=OTHER, step=2, merit=0.8)]


def test_what_held_out_pictures_say_goes_before_merit():
    met = [Finalist(genotype=OTHER, step=2, merit=0.8), Finalist(genotype=ONE, step=1, merit=0.6)]
    found = Found(
        name="darts-0", method="darts", seed=0, finalists=met, gflop=1.0, seconds=1.0, stopped=None, history=()
    )
    assert [one.name for one in found.trainings] == ["darts-0-0", "darts-0-1"]
    compared = found.compared([0.7, 0.9])
    assert compared.best == dataclasses.replace(met[1], validation_auroc=0.9)
    assert compared.trainings[0].nameless == TrainSpec(name="", genotype=ONE, seed=0)


@pytest.fixture(scope="module")
def two_products():
    """Held-out pictures of two, 3 and 2 of them."""
    held = RgbdImages.joined([bowls(3, seed=1), bowls(2, seed=2)])
    return tiny_material(validation=held, validation_counts=(3, 2))


def outcome(material):
    spec = TrainSpec(name="x", genotype=ONE, seed=0)
    run = TrainRun(spec, material)
    run.step()
    return Outcome(spec=spec, state=run.state(), stopped=None)


def scored_by(measure):
    """Instead of a network: a patch's score is what `measure` says of the picture."""
    return lambda _, images: np.array([np.full((2, 2), measure(images.chosen([n]))) for n in range(len(images))])


def test_a_network_that_sees_what_differs_from_good_pictures_has_the_highest_figure(two_products, monkeypatch):
    good = {picture.tobytes() for picture in two_products.validation.color_NYX3}
    heights = {picture.tobytes() for picture in two_products.validation.height_NYX}

    def changed(image):
        return image.color_NYX3.tobytes() not in good or image.height_NYX.tobytes() not in heights

    trained = outcome(two_products)
    for measure, expected in ((changed, 1.0), (lambda image: not changed(image), 0.0), (lambda _: 1.0, 0.5)):
        monkeypatch.setattr(module, "patch_scores", scored_by(measure))
        assert validation_auroc(trained, two_products, SCORING) == expected


def test_the_figure_is_the_mean_of_products_however_their_scores_lie(two_products, monkeypatch):
    """Each product is compared within itself."""
    sizes = []

    def score(_, images):
        sizes.append(len(images))
        level = 10.0 * (len(sizes) > 2)  # the second product scores higher throughout, and tells nothing
        defective = len(sizes) % 2 == 0
        return np.full((len(images), 2, 2), level + (defective and level == 0))

    monkeypatch.setattr(module, "patch_scores", score)
    assert validation_auroc(outcome(two_products), two_products, SCORING) == pytest.approx(0.75)
    assert sizes == [3, 12, 2, 8]


def test_all_networks_are_asked_the_same(two_products, monkeypatch):
    seen = []

    def score(_, images):
        seen.append(images.color_NYX3.tobytes() + images.height_NYX.tobytes())
        return np.zeros((len(images), 2, 2))

    monkeypatch.setattr(module, "patch_scores", score)
    trained = outcome(two_products)
    for one in (trained, dataclasses.replace(trained, spec=dataclasses.replace(trained.spec, seed=5))):
        validation_auroc(one, two_products, SCORING)
    assert seen[:4] == seen[4:]
    assert len(set(seen)) == 4
