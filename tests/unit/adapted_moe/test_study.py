import math
from collections import Counter

import pytest

from eagleray.adapted_moe import ABLATION, Study, StudyConfig, routing_accuracy
from eagleray.mixture import SIMPLENET, WHITENED_BANK, Design
from tests.unit.adapted_moe.conftest import SCORING

MIXTURE = Design(expert="discriminator", moe=True, adaptions=("std",), norm=True)


@pytest.fixture
def study(mill):
    def make(*categories, workshop=None, seeds=(0,), ablation=True, top_k=4):
        config = StudyConfig(adaption="std", top_k=top_k, seeds=seeds, ablation=ablation, sigma=2.0)
        return Study(categories, workshop or mill.workshop(), config, SCORING)

    return make


def test_all_tables_of_the_paper_have_their_rows(mill, study):
    tables = study(mill.embed(), seeds=(0, 1)).run()
    assert [row["name"] for row in tables["baselines"]] == ["simplenet", "bank_plain", "bank"]
    assert [(row["moe"], row["tta"], row["norm"]) for row in tables["ablation"]] == list(ABLATION)
    assert [row["loss"] for row in tables["losses"]] == ["softmax", "center"]
    assert [row["k"] for row in tables["top_k"]] == [1, 2, 3]
    rows = [row for table in tables.values() for row in table]
    assert {row["category"] for row in rows} == {"cloth"}
    for row in rows:
        assert len(row["image_auroc"]["values"]) == len(row["pixel_auroc"]["values"]) == 2
        assert 0 <= row["image_auroc"]["mean"] <= 1
    assert all(row["images_per_s"] > 0 for row in tables["top_k"])
    assert all(0 <= row["routing_accuracy"]["mean"] <= 1 for row in tables["losses"])


def test_rows_that_are_the_same_design_have_the_same_figures(mill, study):
    tables = study(mill.embed()).run()
    none, full = tables["ablation"][0], tables["ablation"][-1]
    assert none["image_auroc"] == tables["baselines"][0]["image_auroc"]
    assert full["image_auroc"] == tables["losses"][1]["image_auroc"] == tables["top_k"][-1]["image_auroc"]


def test_every_network_of_the_ablation_is_trained_once(mill, study):
    data, workshop = mill.embed(), mill.workshop()
    both = study(data, workshop=workshop)
    both.run()
    assert mill.trainer.routers == 2  # one a loss
    assert Counter(mill.trainer.experts) == {"cloth": 3, "cloth/felt": 4, "cloth/linen": 4, "cloth/twill": 4}
    both.run()
    assert len(mill.trainer.experts) == 15


def test_without_the_ablation_only_baselines_are_measured(mill, study):
    tables = study(mill.embed(), ablation=False).run()
    assert len(tables["baselines"]) == 3
    assert tables["ablation"] == tables["losses"] == tables["top_k"] == []
    assert mill.trainer.experts == ["cloth"]
    assert mill.trainer.routers == 0


def test_with_one_subclass_rows_with_moe_are_null_with_the_reason_and_the_others_are_measured(mill, study):
    tables = study(mill.embed(mill.category(seen=("felt",)))).run()
    for row in tables["ablation"]:
        for name in ("image_auroc", "pixel_auroc"):
            if row["moe"]:
                assert row[name] == {
                    "mean": None,
                    "std": None,
                    "values": [],
                    "reason": "one subclass: there is nothing to route",
                }
            else:
                assert 0 <= row[name]["mean"] <= 1
    assert tables["losses"] == tables["top_k"] == []
    assert mill.trainer.routers == 0


def test_a_category_without_test_pictures_has_no_figures_and_says_why(mill, study):
    tables = study(mill.embed(mill.category(unseen=(), good=0, defective=0))).run()
    for row in (*tables["baselines"], *tables["ablation"], *tables["top_k"]):
        assert (row["image_auroc"]["mean"], row["image_auroc"]["reason"]) == (None, "no test images")
    assert {row["routing_accuracy"]["mean"] for row in tables["losses"]} == {None}


def test_no_more_experts_are_asked_than_there_are(mill, study):
    data = mill.embed()
    assert study(data).built(data, MIXTURE, 0).top_k == 3
    assert study(data).built(data, MIXTURE, 0, top_k=2).top_k == 2
    assert study(data).built(data, WHITENED_BANK, 0).top_k == 1


def test_routing_accuracy_is_that_of_seen_subclasses_and_of_the_first_expert(mill, monkeypatch):
    data, workshop = mill.embed(), mill.workshop()
    built = mill.built(data, MIXTURE, top_k=3)
    workshop.prepare([built])
    order_NK, _ = workshop.routes(built)
    seen = [number for number, test in enumerate(data.tests) if test.seen]
    right = sum(data.subclasses[order_NK[number, 0]] == data.tests[number].subclass for number in seen)
    assert len(seen) == 18
    assert routing_accuracy(workshop, built) == right / 18
    assert routing_accuracy(workshop, mill.built(data, SIMPLENET)) is None


def test_the_routing_space_shows_good_pictures_only_and_says_which_were_never_seen(mill, study):
    data, workshop = mill.embed(), mill.workshop()
    built = mill.built(data, MIXTURE)
    workshop.prepare([built])
    space = study(data, workshop=workshop).routing_space(built)
    assert len(space["points"]) == len(space["subclasses"]) == len(space["seen"]) == 24 + 3
    assert space["subclasses"] == 8 * ["felt"] + 8 * ["linen"] + 8 * ["twill"] + 3 * ["denim"]
    assert space["seen"] == 24 * [True] + 3 * [False]
    first, second = space["explained"]
    assert 0 <= second <= first <= 1
    assert all(math.isfinite(value) for point in space["points"] for value in point)


def test_tables_are_about_unseen_subclasses_and_only_a_kept_design_is_judged_on_the_seen_ones_too(mill, study):
    data = mill.embed()
    both = study(data)
    row, kept = both.built(data, WHITENED_BANK, 0), both.built(data, MIXTURE, 0)
    both.measure([row])
    both.measure([kept], seen=True)
    assert {one.subclass for one in both.figures(row)} == {test.subclass for test in data.tests if not test.seen}
    assert {one.subclass for one in both.figures(kept)} == {test.subclass for test in data.tests}

    before = both.figures(row)
    both.measure([row], seen=True)
    assert [one for one in both.figures(row) if not one.seen] == before
    assert any(one.seen for one in both.figures(row))
