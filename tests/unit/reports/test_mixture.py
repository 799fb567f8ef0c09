"""What adapted_moe adds to the results: checked field by field, and put into words and tables that claim no more."""

import io

import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from eagleray.errors import ResultsError
from eagleray.reports import (
    SCORES_SCHEMA,
    mixture_tables,
    read_results,
    read_scores,
    summary_table,
    to_markdown,
    validate,
    write_results,
    write_scores,
)
from eagleray.reports.mixture_wording import gain, verdict

ADDED = ("subclasses", "ablation", "losses", "top_k", "baselines", "evidence", "routing_space")


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def ablation_row(results, category, *switched):
    rows = [r for r in results["ablation"] if r["category"] == category]
    return next(r for r in rows if (r["moe"], r["tta"], r["norm"]) == switched)


def set_spread(row, key, values):
    row[key] = {"mean": sum(values) / len(values), "std": 0.01, "values": values}


def test_written_results_of_a_mixture_read_back_equal(tmp_path, make_mixture):
    results = make_mixture()
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results


def test_a_mixture_that_measured_nothing_more_is_valid(make_mixture):
    results = make_mixture() | {key: [] for key in ADDED}
    validate(results)
    assert mixture_tables(results) == {}


@pytest.mark.parametrize("key", ADDED)
def test_a_mixture_must_write_every_key_and_no_other_job_need_to(make_mixture, make_results, key):
    results = make_mixture()
    del results[key]
    with pytest.raises(ResultsError, match=f"'{key}'"):
        validate(results)
    validate(make_results())
    validate(make_results() | {key: "of a later job"})


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: r["ablation"][0].pop("norm"), "$.ablation[0]"),
        (lambda r: r["ablation"][2]["image_auroc"].pop("reason"), "$.ablation[2].image_auroc"),
        (lambda r: r["ablation"][0]["image_auroc"].update(mean=66.0), "$.ablation[0].image_auroc.mean"),
        (lambda r: r["losses"][0].update(loss="triplet"), "$.losses[0].loss"),
        (lambda r: r["top_k"][0].update(k=0), "$.top_k[0].k"),
        (lambda r: r["evidence"][1].update(chosen="yes"), "$.evidence[1].chosen"),
        (lambda r: r["subclasses"][0]["experts"].update(knit=1.5), "$.subclasses[0].experts.knit"),
        (lambda r: r["baselines"][0].update(nmae="bank"), "$.baselines[0]"),
        (lambda r: r["routing_space"][0]["points"][3].append(0.0), "$.routing_space[0].points[3]"),
        (lambda r: r["routing_space"][1]["seen"].pop(), "$.routing_space[1].seen"),
        (lambda r: r["classes"]["cloth"].pop("experts"), "$.classes.cloth"),
        (lambda r: r["classes"]["cloth"].pop("threshold"), "$.classes.cloth"),
        (lambda r: r.pop("stream"), "'stream'"),
    ],
)
def test_a_violation_in_a_mixture_names_the_field_in_one_line(make_mixture, spoil, field):
    results = make_mixture()
    spoil(results)
    with pytest.raises(ResultsError) as error:
        validate(results)
    assert field in str(error.value)
    assert "\n" not in str(error.value)


def test_scores_written_before_subclasses_have_null_for_them(tmp_path, make_results, make_scores):
    scores = make_scores(make_results())
    pa.parquet.write_table(scores.drop_columns(["subclass"]), tmp_path / "scores.parquet")
    again = read_scores(tmp_path)
    assert again.schema == SCORES_SCHEMA
    assert again["subclass"].null_count == len(scores) > 0


def test_a_subclass_in_the_scores_reads_back(tmp_path, make_mixture, make_scores):
    rows = make_scores(make_mixture()).to_pylist()
    table = pa.Table.from_pylist([row | {"subclass": f"{row['class']} ü"} for row in rows], schema=SCORES_SCHEMA)
    write_scores(tmp_path, table)
    assert read_scores(tmp_path).equals(table)


def test_every_table_fits_80_columns_and_none_belongs_to_a_stream(make_mixture, make_results):
    tables = mixture_tables(make_mixture())
    assert list(tables) == ["subclasses", "ablation", "losses", "top_k", "baselines", "evidence"]
    for table in tables.values():
        text = printed(table)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
    assert mixture_tables(make_results(ablation={"without_replay": 0.5}, losses=[1.0])) == {}


def test_the_ablation_has_ticks_spreads_and_differences_to_its_first_row(make_mixture):
    results = make_mixture()
    set_spread(ablation_row(results, "cloth", False, False, False), "pixel_auroc", [0.59, 0.60, 0.61])
    set_spread(ablation_row(results, "cloth", True, False, False), "pixel_auroc", [0.53, 0.54, 0.55])
    lines = printed(mixture_tables(results)["ablation"]).splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:4] == ["✓", "-", "-", "0.540"])
    assert lines[start - 2].split()[:4] == ["-", "-", "-", "0.600"]
    assert lines[start + 1].split()[0] == "±0.010"
    assert lines[start + 2].split()[0] == "-0.060"
    assert lines[start].split()[5] == "-"  # metal
    assert "no P-AUROC, I-AUROC for metal: no defective test images" in printed(
        mixture_tables(results)["ablation"], 200
    )


def test_one_seed_shows_no_spread(make_mixture):
    text = printed(mixture_tables(make_mixture(num_seeds=1))["ablation"])
    assert "±" not in text
    assert "One seed, and the difference to the first row" in " ".join(text.split())


def test_the_losses_are_paired_with_softmax_first(make_mixture):
    results = make_mixture(num_seeds=1)
    for row in results["losses"]:
        if row["category"] == "cloth":
            set_spread(row, "image_auroc", [0.6 if row["loss"] == "softmax" else 0.65])
    results["losses"].reverse()
    lines = [line for line in printed(mixture_tables(results)["losses"]).splitlines() if line.strip()]
    softmax = next(i for i, line in enumerate(lines) if line.split()[:2] == ["cloth", "softmax"])
    assert lines[softmax].split()[3] == "0.600"
    assert lines[softmax + 1].split()[:3] == ["softmax", "+", "center"]
    assert lines[softmax + 2].split()[1] == "+0.050"


def test_subclasses_say_whether_they_were_seen_and_where_they_went(make_mixture):
    results = make_mixture()
    results["subclasses"][-1]["experts"] = {"cast": 0.25, "rolled": 0.75, "brushed": 0.0}
    lines = printed(mixture_tables(results)["subclasses"], 120).splitlines()
    row = next(line for line in lines if "metal_new_1" in line)
    assert row.split() == ["metal_new_1", "unseen", "-", "-", "-", "20", "+", "0", "rolled", "0.75,", "cast", "0.25"]


def test_the_chosen_candidate_is_ticked_once_per_category(make_mixture):
    text = printed(mixture_tables(make_mixture())["evidence"])
    assert text.count("✓") == 3
    assert all("k = 4" in line for line in text.splitlines() if "✓" in line)
    assert "No test image was looked at to choose." in " ".join(text.split())


def test_the_table_of_categories_has_experts_and_no_forgetting(make_mixture):
    results = make_mixture()
    text = printed(summary_table(results))
    assert "forget" not in text
    assert next(line for line in text.splitlines() if line.split()[:1] == ["cloth"]).split()[1] == "8"
    assert "Σ 15" in text
    assert "for metal: no defective test images" in " ".join(text.split())


def test_brackets_in_a_subclass_are_not_markup(make_mixture):
    results = make_mixture(subclasses={"cloth": (["[red]x[/]", "plain"], 1)}, without_defects=())
    assert "[red]x[/]" in printed(mixture_tables(results)["subclasses"], 120)


def test_markdown_has_every_table_with_as_many_cells_as_headings(make_mixture):
    text = to_markdown(make_mixture(subclasses={"a|b": (["c|d", "e"], 1)}, without_defects=()))
    headers = 0
    lines = text.replace("\\|", "").splitlines()
    for above, marks, below in zip(lines, lines[1:], lines[2:], strict=False):
        if marks.startswith("| :--") or marks.startswith("| --:"):
            headers += 1
            assert above.count("|") == marks.count("|") == below.count("|")
    assert headers == 7


def test_the_verdict_compares_with_a_single_simplenet_seed_by_seed(make_mixture):
    results = make_mixture(without_defects=("wafer", "metal"))
    set_spread(ablation_row(results, "cloth", False, False, False), "image_auroc", [0.60, 0.62, 0.61])
    set_spread(ablation_row(results, "cloth", True, True, True), "image_auroc", [0.65, 0.61, 0.63])
    plain, changes = gain(results, "image_auroc")
    assert plain == pytest.approx(0.61)
    assert changes == pytest.approx([0.05, -0.01, 0.02])
    text = " ".join(verdict(results))
    assert "single SimpleNet for all subclasses reaches image AUROC 0.610" in text
    assert "image AUROC by +0.020 (-0.010 to +0.050 over 3 seeds)" in text


def test_a_gain_is_measured_only_where_both_have_a_figure(make_mixture):
    results = make_mixture()
    results["ablation"] = [row for row in results["ablation"] if not (row["moe"] and row["category"] == "cloth")]
    wafer = ablation_row(results, "wafer", False, False, False)["image_auroc"]["mean"]
    assert gain(results, "image_auroc")[0] == pytest.approx(wafer)
    results["ablation"] = [row for row in results["ablation"] if not row["moe"]]
    assert gain(results, "image_auroc") is None
    assert "change image AUROC" not in " ".join(verdict(results))
    assert "a single simplenet reaches" in " ".join(verdict(results)).lower()


def test_the_verdict_says_what_its_figures_are_of(make_mixture):
    assert verdict(make_mixture())[0].startswith("On unseen subclasses, mean image AUROC 0.")
    assert "over 2 of 3 categories" in verdict(make_mixture())[0]
    known = make_mixture()
    known["subclasses"] = [row for row in known["subclasses"] if row["seen"]]
    assert verdict(known)[0].startswith("On the subclasses it learned, ")
    mixed = make_mixture()
    mixed["subclasses"] = [row for row in mixed["subclasses"] if row["seen"] or row["category"] == "cloth"]
    assert verdict(mixed)[0].startswith("On unseen subclasses where a category has any, ")


def test_nothing_is_claimed_that_was_not_measured(make_mixture):
    results = make_mixture(without_defects=("cloth", "wafer", "metal"), routing_accuracy=None)
    assert verdict(results)[0] == "Without defective test images, no detection figure can be measured."
    text = " ".join(verdict(results))
    assert "SimpleNet" not in text
    assert "bank" not in text
    assert "expert of their own subclass" not in text
