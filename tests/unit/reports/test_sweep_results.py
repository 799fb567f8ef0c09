"""results.json of a sweep, and its trials as tables: what is whole passes, and what contradicts itself is named."""

import importlib.resources
import json
import math

import pyarrow as pa
import pyarrow.parquet
import pytest

from eagleray.errors import ResultsError
from eagleray.reports import SWEEP_JOB, read_results, sweep_points, validate, write_results, write_trials
from tests.unit.reports.sweep_results import NAMES, build_sweep, without_figures


def refused(results):
    with pytest.raises(ResultsError) as error:
        validate(results)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", ["experts", "threshold", "budget", "space"])
def test_a_written_sweep_reads_back_equal(tmp_path, kind):
    results = build_sweep(kind, stopped={(0, 0, 0)})
    assert results["job"] == SWEEP_JOB
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results


def test_a_sweep_without_any_figure_or_of_one_trial_is_valid():
    validate(without_figures(build_sweep("space")))
    validate(build_sweep(values=(5,), names=("only",), num_orders=1, seeds=(3,)))
    validate(build_sweep(command="python jobs/sweep.py"))


def test_nan_becomes_null(tmp_path):
    results = build_sweep()
    results["trials"][0]["experts"]["0"]["forgetting"][1] = math.nan
    write_results(tmp_path, results)
    assert read_results(tmp_path)["trials"][0]["experts"]["0"]["forgetting"][1] is None


def change_of(path, value):
    def change(results):
        *where, last = path
        for key in where:
            results = results[key]
        results[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("sweep", "kind"), "colour", "$.sweep.kind"),
        (("trials", 1, "image_auroc"), 1.2, "$.trials[1].image_auroc"),
        (("trials", 0, "ended"), "tired", "$.trials[0].ended"),
        (("trials", 0, "extra"), 1, "$.trials[0]"),
        (("machine", "cpus"), 0, "$.machine.cpus"),  # a field of results.schema.json
        (("seconds",), {"embed": 1.0}, "$.seconds"),
        (("notes",), [], "$"),
        (("trials", 0, "classes", "bottle", "expert"), 7, "$.trials[0].classes.bottle.expert"),
        (("trials", 0, "experts", "0", "forgetting"), [None], "$.trials[0].experts.0.forgetting"),
        (("trials", 2, "point"), 3, "$.trials[2].point"),
        (("trials", 2, "point"), 1, "$.trials[2].changes"),
        (("trials", 2, "order"), 2, "$.trials[2].order"),
        (("trials", 2, "seed"), 9, "$.trials[2].seed"),
        (("trials", 2, "seed"), 1, "$.trials"),  # two trials of one order and seed
        (("trials", 2, "ended"), "asha", "$.points[0].trials"),
        (("points", 1, "changes"), {"mecad.num_experts": 9}, "$.points"),
        (("sweep", "fields"), ["mecad.memory"], "$.sweep.points[0]"),
        (("sweep", "orders", 1), ["other"], "$.sweep.orders[1]"),
        (("chosen",), 1, "$.chosen"),
    ],
)
def test_what_is_wrong_is_named(path, value, field):
    results = build_sweep()
    change_of(path, value)(results)
    assert f"field {field}:" in refused(results)


def test_a_class_that_was_never_in_the_order_is_refused():
    results = build_sweep()
    results["trials"][0]["classes"]["ghost"] = {"expert": 0, "image_auroc": 0.5, "forgetting": None}
    assert "$.trials[0].classes.ghost" in refused(results)


def test_only_a_point_that_exists_is_chosen():
    results = build_sweep("space")
    validate(results | {"chosen": None})
    assert "field $.chosen: 5 for 5 points" in refused(results | {"chosen": 5})


def test_figures_of_points_are_over_complete_trials_by_hand():
    trial = {"point": 0, "ended": "complete", "step_average": None, "routing_accuracy": 0.5, "forgetting": -0.1}
    trials = [
        trial | {"image_auroc": 0.8, "rows": 100, "merit": None},
        trial | {"image_auroc": 0.9, "rows": 300, "merit": 0.7},
        trial | {"image_auroc": 0.1, "rows": 100, "merit": 0.9, "ended": "asha"},
        trial | {"image_auroc": 0.2, "rows": 100, "merit": 0.9, "point": 1},
    ]
    first, second, empty = sweep_points([{"a": 1}, {"a": 2}, {"a": 3}], trials)
    assert (first["changes"], first["trials"]) == ({"a": 1}, 2)
    assert first["image_auroc"] == pytest.approx({"mean": 0.85, "std": 0.05 * 2**0.5, "lowest": 0.8, "highest": 0.9})
    assert first["rows"] == {"mean": 200.0, "std": pytest.approx(100 * 2**0.5), "lowest": 100, "highest": 300}
    assert first["merit"] == {"mean": 0.7, "std": None, "lowest": 0.7, "highest": 0.7}
    assert first["step_average"] == dict.fromkeys(("mean", "std", "lowest", "highest"))
    assert second["image_auroc"] == {"mean": 0.2, "std": None, "lowest": 0.2, "highest": 0.2}
    assert (empty["trials"], empty["rows"]["mean"]) == (0, None)


def test_every_field_of_the_schema_is_described():
    text = importlib.resources.files("eagleray.reports").joinpath("sweep.schema.json").read_text()

    def undescribed(node, path):
        for name, field in node.get("properties", {}).items():
            if "$ref" not in field and not field.get("description"):
                yield f"{path}.{name}"
            yield from undescribed(field, f"{path}.{name}")
            for part in ("items", "additionalProperties"):
                if isinstance(field.get(part), dict):
                    yield from undescribed(field[part], f"{path}.{name}[]")
        for name, definition in node.get("$defs", {}).items():
            yield from undescribed(definition, name)

    assert list(undescribed(json.loads(text), "$")) == []


def test_trials_and_classes_become_rows(tmp_path):
    results = build_sweep("space", stopped={(1, 0, 1)})
    paths = write_trials(tmp_path, results)
    assert [path.name for path in paths] == ["trials.parquet", "classes.parquet"]
    trials, classes = (pa.parquet.read_table(path) for path in paths)
    assert trials.column_names[:6] == [
        "name",
        "point",
        "mecad.similarity_threshold",
        "mecad.num_experts",
        "order",
        "seed",
    ]
    assert len(trials) == len(results["trials"]) == 20
    row = trials.to_pylist()[5]
    stopped = results["trials"][5]
    assert row == {key: stopped[key] for key in row if not key.startswith("mecad.")} | stopped["changes"]
    assert row["ended"] == "asha"
    assert len(classes) == 19 * len(NAMES) + 2
    first = results["trials"][0]
    named = {"trial": first["name"], "point": 0, "order": 0, "seed": 0, "class": "bottle"}
    assert classes.to_pylist()[0] == named | first["classes"]["bottle"]


def test_tables_keep_their_columns_where_nothing_was_measured(tmp_path):
    trials, classes = (pa.parquet.read_table(p) for p in write_trials(tmp_path, without_figures(build_sweep())))
    assert trials.schema.field("image_auroc").type == pa.float64()
    assert trials["image_auroc"].null_count == len(trials)
    assert classes["forgetting"].null_count == len(classes)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((1, 2, 4), pa.int64()),
        ((0.5, 1, 2), pa.float64()),
        ((True, False, None), pa.bool_()),
        (("nested", 1, None), pa.string()),
        ((["layer2"], ["layer2", "layer3"], None), pa.string()),
    ],
)
def test_a_setting_of_any_type_is_a_column(tmp_path, values, kind):
    results = build_sweep()
    for trial in results["trials"]:
        trial["changes"] = {"mecad.num_experts": values[trial["point"]]}
    column = pa.parquet.read_table(write_trials(tmp_path, results)[0])["mecad.num_experts"]
    assert column.type == kind
    assert column.null_count == 4 * values.count(None)
