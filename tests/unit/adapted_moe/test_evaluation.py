import numpy as np
import pytest

from eagleray.adapted_moe import SubclassFigures, headline, image_scores
from eagleray.adapted_moe.evaluation import Scored, evaluate, spread
from eagleray.experts import image_score
from tests.unit.adapted_moe.conftest import SCORING


def judged(mill, data):
    """Figures, by subclass, of scores that find every defect."""
    rng = np.random.default_rng(0)
    grids_NHW = rng.uniform(0, 1, (len(data.tests), 8, 8)).astype(np.float32)
    for grid_HW, test in zip(grids_NHW, data.tests, strict=True):
        if test.sample.label:
            grid_HW[2:5, 3:6] += 5
    (figures,) = evaluate([Scored(data.tests, grids_NHW)], mill.pool, SCORING, sigma=0.0)
    return {one.subclass: one for one in figures}


def test_perfect_scores_give_perfect_figures_for_each_subclass(mill):
    figures = judged(mill, mill.embed())
    assert set(figures) == {"denim", "felt", "linen", "twill"}
    for name, one in figures.items():
        assert (one.seen, one.num_test_good, one.num_test_defective) == (name != "denim", 3, 3)
        assert one.values["image_auroc"] == 1.0
        assert one.values["pixel_auroc"] > 0.95
        assert one.values["aupro"] > 0.8
        assert one.reasons == {}


def test_an_unseen_subclass_without_good_test_images_has_no_image_figure_and_says_why(mill):
    one = judged(mill, mill.embed(mill.category(good=0)))["denim"]
    assert one.values["image_auroc"] is None
    assert one.values["pixel_auroc"] > 0.95
    assert one.reasons == {"image_auroc": "no good test images"}


def test_a_subclass_without_defective_test_images_has_no_figure_and_says_why(mill):
    one = judged(mill, mill.embed(mill.category(defective=0)))["denim"]
    assert set(one.values.values()) == {None}
    assert set(one.reasons.values()) == {"no defective test images"}


def test_without_masks_images_are_judged_and_pixels_are_not(mill):
    one = judged(mill, mill.embed(mill.category(masks=False)))["denim"]
    assert one.values == {"image_auroc": 1.0, "pixel_auroc": None, "aupro": None}
    assert one.reasons == {"pixel_auroc": "no masks", "aupro": "no masks"}


def test_several_designs_are_judged_at_once_and_each_by_its_own_scores(mill):
    data = mill.embed()
    labels_N = np.array([test.sample.label for test in data.tests], np.float32)
    right, wrong = (np.tile(scores[:, None, None], (8, 8)) for scores in (labels_N, -labels_N))
    found = evaluate([Scored(data.tests, right), Scored(data.tests, wrong)], mill.pool, SCORING, sigma=0.0)
    assert [{one.values["image_auroc"] for one in figures} for figures in found] == [{1.0}, {0.0}]


def test_image_scores_are_those_of_each_picture_alone():
    grids_NHW = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    assert image_scores(grids_NHW, SCORING).tolist() == [np.float32(image_score(grid, SCORING)) for grid in grids_NHW]


def figure(name, seen, value, reason=None):
    return SubclassFigures(name, seen, {"aupro": value}, {"aupro": reason} if reason else {}, 1, 1)


def test_the_headline_is_the_mean_over_unseen_subclasses():
    rows = [figure("a", True, 1.0), figure("b", False, 0.6), figure("c", False, 0.8)]
    assert headline(rows, "aupro") == (pytest.approx(0.7), None)


def test_without_unseen_subclasses_the_headline_is_the_mean_over_all():
    assert headline([figure("a", True, 0.5), figure("b", True, 1.0)], "aupro") == (0.75, None)


def test_an_unseen_subclass_without_the_figure_is_left_out_of_the_headline():
    rows = [figure("a", True, 1.0), figure("b", False, None, "no masks"), figure("c", False, 0.8)]
    assert headline(rows, "aupro") == (0.8, None)


def test_a_headline_that_nobody_has_says_why_once():
    rows = [figure("a", True, 1.0), figure("b", False, None, "no masks"), figure("c", False, None, "no masks")]
    assert headline(rows, "aupro") == (None, "no masks")
    assert headline([], "aupro") == (None, "no test images")


def test_the_spread_over_seeds_is_the_sample_deviation():
    found = spread([(0.5, None), (0.7, None), (0.9, None)])
    assert found == {"mean": pytest.approx(0.7), "std": pytest.approx(0.2), "values": [0.5, 0.7, 0.9]}


def test_one_seed_has_no_deviation():
    assert spread([(0.5, None)]) == {"mean": 0.5, "std": None, "values": [0.5]}


@pytest.mark.parametrize(("found", "reason"), [([(0.5, None), (None, "no masks")], "no masks"), ([], "no test images")])
def test_a_seed_without_the_figure_leaves_none_for_all_and_the_reason(found, reason):
    assert spread(found) == {"mean": None, "std": None, "values": [], "reason": reason}
