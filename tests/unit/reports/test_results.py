"""results.json and scores.parquet: what is written can be read, and what is wrong is named in one line."""

import importlib.resources
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from eagleray.errors import ResultsError
from eagleray.reports import read_results, read_scores, validate, write_results, write_scores


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_written_results_read_back_equal(tmp_path, make_results):
    results = make_results()
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results


def test_a_removed_and_an_updated_class_are_valid(make_results):
    results = make_results(ops=(("update", "grid"), ("remove", "bottle")))
    validate(results)
    assert results["matrix"][-1][0] is None


def test_nan_becomes_null(tmp_path, make_results):
    results = make_results()
    results["matrix"][0][1] = math.nan
    results["classes"]["grid"]["aupro"] = float(np.float64("inf"))
    write_results(tmp_path, results)
    again = read_results(tmp_path)
    assert again["matrix"][0][1] is None
    assert again["classes"]["grid"]["aupro"] is None


def test_a_later_job_may_add_top_level_keys(make_results):
    validate(make_results(ablation={"without_replay": 0.5}, losses=[1.0, 0.5]))


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: r.pop("seed"), "'seed'"),
        (lambda r: r.update(seed="zero"), "$.seed"),
        (lambda r: r["classes"]["grid"].update(image_auroc=1.5), "$.classes.grid.image_auroc"),
        (lambda r: r["classes"]["grid"].update(imge_auroc=0.5), "$.classes.grid"),
        (lambda r: r["classes"]["grid"].pop("threshold"), "$.classes.grid"),
        (lambda r: r["stream"][1].update(op="forget"), "$.stream[1].op"),
        (lambda r: r["stream"][0]["rows_per_expert"].update(first=3), "$.stream[0].rows_per_expert"),
        (lambda r: r["matrix"].pop(), "$.matrix"),
        (lambda r: r["matrix"][2].pop(), "$.matrix[2]"),
        (lambda r: r["seconds"].pop("total"), "$.seconds"),
        (lambda r: r["controls"]["routed"].pop("rows"), "$.controls.routed"),
        (lambda r: r.update(order=["grid", "grid"]), "$.order"),
    ],
)
def test_a_violation_names_the_field_in_one_line(make_results, spoil, field):
    results = make_results()
    spoil(results)
    with pytest.raises(ResultsError) as error:
        validate(results, where="run/results.json")
    assert one_line(error).startswith("run/results.json: ")
    assert field in one_line(error)
    assert len(one_line(error)) < 300


def test_an_example_may_not_point_outside_its_folder(tmp_path, make_results, example):
    results = make_results()
    example(tmp_path, results, "hit", "grid")
    validate(results)
    results["examples"][0]["image"] = "examples/../../secret.png"
    with pytest.raises(ResultsError, match=r"examples\[0\].image"):
        validate(results)


def test_another_schema_version_says_which_is_read(make_results):
    with pytest.raises(ResultsError) as error:
        validate(make_results(schema="eagleray.results/2"))
    assert "eagleray.results/2" in one_line(error)
    assert "eagleray.results/1" in one_line(error)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', "\x00\x01"])
def test_a_file_that_is_not_our_json_is_refused(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ResultsError) as error:
        read_results(tmp_path)
    assert "results.json" in one_line(error)


def test_a_nan_written_by_another_tool_is_refused(tmp_path, make_results):
    (tmp_path / "results.json").write_text(json.dumps(make_results(step_average=math.nan)))
    with pytest.raises(ResultsError, match="NaN is not a JSON value"):
        read_results(tmp_path)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultsError, match="not valid JSON"):
        read_results(tmp_path)


@pytest.mark.parametrize("read", [read_results, read_scores])
def test_a_missing_file_says_so(tmp_path, read):
    with pytest.raises(ResultsError, match="no such file"):
        read(tmp_path / "nowhere")


def test_results_that_break_the_schema_leave_the_old_file_alone(tmp_path, make_results):
    write_results(tmp_path, make_results())
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(ResultsError):
        write_results(tmp_path, make_results() | {"seed": -1})
    assert (tmp_path / "results.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path, make_results):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ResultsError, match="cannot be written"):
        write_results(tmp_path / "file", make_results())


def test_scores_read_back_equal_and_other_columns_are_dropped(tmp_path, make_results, make_scores):
    scores = make_scores(make_results())
    write_scores(tmp_path, scores.append_column("extra", pa.nulls(len(scores))))
    assert read_scores(tmp_path).equals(scores)


def test_scores_without_a_column_name_it(tmp_path, make_results, make_scores):
    pa.parquet.write_table(make_scores(make_results()).drop_columns(["p_value"]), tmp_path / "scores.parquet")
    with pytest.raises(ResultsError, match="p_value is missing"):
        read_scores(tmp_path)


def test_scores_of_another_type_or_format_are_refused(tmp_path, make_results, make_scores):
    scores = make_scores(make_results())
    index = scores.column_names.index("score")
    spoilt = scores.set_column(index, "score", pa.array(["high"] * len(scores)))
    with pytest.raises(ResultsError, match="wrong type"):
        write_scores(tmp_path, spoilt)
    (tmp_path / "scores.parquet").write_text("not parquet")
    with pytest.raises(ResultsError, match="not a Parquet file"):
        read_scores(tmp_path)


def test_every_field_of_the_schema_is_described():
    text = importlib.resources.files("eagleray.reports").joinpath("results.schema.json").read_text()

    def undescribed(node, path):
        for name, field in node.get("properties", {}).items():
            if "$ref" not in field and not field.get("description"):
                yield f"{path}.{name}"
            yield from undescribed(field, f"{path}.{name}")
            yield from undescribed(field.get("items", {}), f"{path}.{name}[]")
        for name, definition in node.get("$defs", {}).items():
            yield from undescribed(definition, name)

    assert list(undescribed(json.loads(text), "$")) == []
