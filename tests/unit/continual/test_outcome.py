"""The closing figures: the matrix and what follows from it, figures of each class with a reason for each gap."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from eagleray.continual import Arrival, Removal, class_figures, control_figures, means, score_rows, stream_figures
from eagleray.continual.controls import NOTES, Control
from eagleray.continual.evaluation import EvaluationConfig
from eagleray.data import Category
from eagleray.metrics import threshold
from eagleray.reports import SCORES_SCHEMA

CONFIG = EvaluationConfig(false_alarm_rate=0.2)
MECAD = {"similarity_threshold": -1.0}


def step(number, name, aurocs, op="learn"):
    return {"step": number, "op": op, "class": name, "expert": 0, "image_auroc": aurocs}


class TestStream:
    def test_the_matrix_and_its_means_worked_by_hand(self):
        found = stream_figures(
            [
                step(1, "nut", {"nut": 0.9}),
                step(2, "bolt", {"bolt": 0.7, "nut": 0.8}),
                step(3, "disc", {"bolt": 0.75, "disc": 0.5, "nut": 0.6}),
            ]
        )
        assert found["order"] == ["nut", "bolt", "disc"]
        assert found["matrix"] == [[0.9, None, None], [0.8, 0.7, None], [0.6, 0.75, 0.5]]
        assert found["forgetting"] == pytest.approx({"nut": -0.3, "bolt": 0.05, "disc": None})
        by_step = [(entry["mean_image_auroc"], entry["mean_forgetting"]) for entry in found["stream"]]
        assert by_step[0] == (pytest.approx(0.9), None)
        assert by_step[1] == pytest.approx((0.75, -0.1))
        assert by_step[2] == pytest.approx((1.85 / 3, -0.125))
        assert found["step_average"] == pytest.approx((0.9 + 0.75 + 1.85 / 3) / 3)

    def test_a_class_without_figures_counts_in_no_mean(self):
        found = stream_figures([step(1, "nut", {"nut": None}), step(2, "bolt", {"nut": None, "bolt": 0.7})])
        assert found["matrix"] == [[None, None], [None, 0.7]]
        assert found["forgetting"] == {"nut": None, "bolt": None}
        assert [entry["mean_image_auroc"] for entry in found["stream"]] == [None, 0.7]
        assert found["step_average"] == 0.7

    def test_without_any_figure_every_mean_is_missing(self):
        found = stream_figures([step(1, "nut", {"nut": None})])
        assert found["step_average"] is None
        assert found["stream"][0]["mean_image_auroc"] is None

    def test_an_update_is_a_row_not_a_column_and_forgetting_counts_from_the_learning(self):
        found = stream_figures(
            [step(1, "nut", {"nut": 0.8}), step(2, "nut", {"nut": 0.9}, "update"), step(3, "bolt", {"nut": 0.7})]
        )
        assert found["order"] == ["nut", "bolt"]
        assert len(found["matrix"]) == 3
        assert found["forgetting"]["nut"] == pytest.approx(-0.1)

    AGAIN = (
        step(1, "nut", {"nut": 0.9}),
        step(2, "bolt", {"nut": 0.8, "bolt": 0.7}),
        step(3, "nut", {"bolt": 0.7}, "remove"),
        step(4, "nut", {"nut": 0.7, "bolt": 0.6}),
    )

    def test_a_class_that_was_just_learned_again_has_forgotten_nothing(self):
        found = stream_figures(self.AGAIN)
        assert found["forgetting"] == {"nut": None, "bolt": pytest.approx(-0.1)}
        assert found["stream"][-1]["mean_forgetting"] == pytest.approx(-0.1)

    def test_forgetting_of_a_class_learned_again_counts_from_its_last_learning_through_updates(self):
        update, last = step(5, "nut", {"nut": 0.8, "bolt": 0.6}, "update"), step(6, "disc", {"nut": 0.65, "bolt": 0.6})
        assert stream_figures([*self.AGAIN, update, last])["forgetting"]["nut"] == pytest.approx(-0.05)

    def test_a_class_learned_again_keeps_its_column_and_the_figures_of_the_steps_before(self):
        before, found = stream_figures(self.AGAIN[:3]), stream_figures(self.AGAIN)
        assert found["order"] == ["nut", "bolt"]
        assert found["matrix"] == [[0.9, None], [0.8, 0.7], [None, 0.7], [0.7, 0.6]]
        assert found["stream"][:3] == before["stream"]
        assert found["stream"][1]["mean_forgetting"] == pytest.approx(-0.1)
        assert found["step_average"] == pytest.approx((0.9 + 0.75 + 0.7 + 0.65) / 4)

    def test_a_removed_class_has_no_forgetting(self):
        found = stream_figures(
            [step(1, "nut", {"nut": 0.8}), step(2, "bolt", {"nut": 0.7}), step(3, "nut", {}, "remove")]
        )
        assert found["matrix"][-1] == [None, None]
        assert found["forgetting"]["nut"] is None

    def test_what_a_step_says_of_itself_is_kept(self):
        (entry,) = stream_figures([step(1, "nut", {"nut": 0.8}) | {"version": 4}])["stream"]
        assert entry == {  # the results have a version of their own, and no room for one a step
            "step": 1, "op": "learn", "class": "nut", "expert": 0, "mean_image_auroc": 0.8, "mean_forgetting": None
        }  # fmt: skip


def figures(workshop, *arrivals, oracle=False, forgetting=None):
    """A run over these arrivals; its closing figures by class."""
    run = workshop.run(**MECAD)
    run.take(arrivals)
    judged = run.verdicts(oracle=oracle)
    return run, class_figures(run.model, judged, forgetting or {}, judged, workshop.pool(), CONFIG)


class TestClasses:
    def test_a_class_with_masks_has_every_figure(self, workshop):
        run, found = figures(workshop, workshop.arrival("nut"), forgetting={"nut": -0.01})
        nut, bank = found["nut"], run.model.banks["nut"].bank
        assert nut["reasons"] == {}
        assert nut["image_auroc"] == 1.0
        assert 0.9 < nut["pixel_auroc"] <= 1
        assert 0 < nut["aupro"] <= 1
        assert nut["forgetting"] == -0.01
        assert (nut["num_test_good"], nut["num_test_defective"], nut["missed"]) == (4, 4, 0)
        assert (nut["expert"], nut["rows"], nut["routing_accuracy"]) == (0, 60, 1.0)
        assert nut["num_train"] + nut["num_calibration"] == 12
        limit = threshold(bank.calibration_N, 0.2)
        assert (nut["threshold"], nut["attained_false_alarm_rate"]) == (limit.value, limit.attained_rate)

    @pytest.mark.parametrize(
        ("options", "reasons"),
        [
            ({"masks": False}, {"pixel_auroc": "no masks", "aupro": "no masks"}),
            (
                {"defective": ()},
                dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "forgetting"), "no defective test images"),
            ),
            ({"good": ()}, dict.fromkeys(("image_auroc", "forgetting"), "no good test images")),
            (
                {"good": (), "defective": ()},
                {
                    "image_auroc": "no test images",
                    "pixel_auroc": "no defective test images",
                    "aupro": "no defective test images",
                    "forgetting": "no test images",
                    "routing_accuracy": "no test images",
                },
            ),
        ],
    )
    def test_every_missing_figure_has_its_reason(self, workshop, options, reasons):
        forgetting = {"nut": -0.1} if "masks" in options else {}
        _, found = figures(workshop, workshop.arrival("nut", **options), forgetting=forgetting)
        assert found["nut"]["reasons"] == reasons
        for figure in ("image_auroc", "pixel_auroc", "aupro", "forgetting"):
            assert (found["nut"][figure] is None) == (figure in reasons)

    def test_the_last_class_has_nothing_to_forget(self, workshop):
        _, found = figures(workshop, workshop.arrival("nut"))
        assert found["nut"]["reasons"] == {"forgetting": "nothing was learned after it"}

    def test_masks_that_mark_nothing_are_said_so(self, workshop):
        arrival = workshop.arrival("nut")
        for sample in arrival.category.test:
            if sample.mask:
                Image.new("L", (32, 32)).save(sample.mask)
        _, found = figures(workshop, arrival, forgetting={"nut": 0.0})
        assert found["nut"]["pixel_auroc"] is None
        assert found["nut"]["reasons"] == dict.fromkeys(
            ("pixel_auroc", "aupro"), "the masks mark no pixel, or every pixel"
        )

    def test_defective_images_without_a_mask_do_not_count_as_good_pixels(self, workshop):
        masked = workshop.product("nut")
        unmasked = workshop.product("nut", good=(), defective=range(610, 614), masks=False)
        mixed = Category("nut", masked.train, (*masked.test, *unmasked.test))
        _, expected = figures(workshop, Arrival(masked))
        _, found = figures(workshop, Arrival(mixed))
        assert found["nut"]["num_test_defective"] == 8
        assert found["nut"]["pixel_auroc"] == expected["nut"]["pixel_auroc"]
        assert found["nut"]["aupro"] == expected["nut"]["aupro"]

    def test_a_class_that_was_removed_has_no_row(self, workshop):
        _, found = figures(workshop, workshop.arrival("nut"), workshop.arrival("bolt"), Removal("nut"))
        assert set(found) == {"bolt"}


class TestMeans:
    def test_a_mean_is_over_the_classes_that_have_the_figure(self):
        complete = {"image_auroc": 0.8, "pixel_auroc": 0.9, "aupro": 0.5, "forgetting": -0.1}
        bare = {"image_auroc": 0.6, "pixel_auroc": None, "aupro": None, "forgetting": None}
        found = means({"nut": complete, "bolt": bare})
        assert found == {
            "image_auroc": pytest.approx(0.7), "pixel_auroc": 0.9, "aupro": 0.5, "forgetting": -0.1, "reasons": {}
        }  # fmt: skip

    def test_a_mean_that_no_class_has_is_missing_with_a_reason(self):
        bare = dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "forgetting"))
        found = means({"nut": bare | {"image_auroc": 0.6}})
        assert found["aupro"] is None
        assert set(found["reasons"]) == {"pixel_auroc", "aupro", "forgetting"}
        assert set(means({})["reasons"]) == set(bare)

    def test_a_control_has_the_mean_of_its_classes_and_its_own_rows(self):
        found = control_figures(
            {"shared_bank": Control({"nut": 0.5, "bolt": 1.0, "disc": None}, 80), "routed": Control({"nut": None}, 60)}
        )
        assert found["shared_bank"] == {
            "image_auroc": 0.75,
            "classes": {"nut": 0.5, "bolt": 1.0, "disc": None},
            "rows": 80,
            "note": NOTES["shared_bank"],
        }
        assert found["routed"]["image_auroc"] is None


def test_every_test_image_is_one_row_of_the_scores_file(workshop):
    run = workshop.run(**MECAD)
    arrivals = [workshop.arrival("nut"), workshop.arrival("bolt")]
    run.take(arrivals)
    judged = run.verdicts(oracle=False)
    rows = score_rows(run.model, judged)
    table = pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)
    assert set(rows[0]) == set(SCORES_SCHEMA.names) - {"subclass"}
    assert table.num_rows == 16
    assert [row["class"] for row in rows] == ["bolt"] * 8 + ["nut"] * 8
    samples = {sample.path: sample for arrival in arrivals for sample in arrival.category.test}
    for row in rows:
        sample = samples[row["path"]]
        assert (row["class"], row["label"], row["defect"]) == (sample.category, sample.label, sample.defect)
        assert row["expert"] == run.model.experts[sample.category]
        assert 0 < row["p_value"] <= 1
    scores = np.array([row["score"] for row in rows])
    np.testing.assert_array_equal(scores, [v.score for verdicts in judged.values() for v in verdicts])
