"""What adnas_search adds to the results: checked field by field, and put into words and tables that claim no more."""

import io

import pytest
from rich.console import Console

from eagleray.errors import ResultsError
from eagleray.reports import (
    mixture_tables,
    read_results,
    search_tables,
    summary_table,
    to_markdown,
    validate,
    write_results,
)
from eagleray.reports.findings import verdict
from eagleray.reports.search_rows import by_method, gradient_search, over_categories, trained, used_cells, winner
from eagleray.reports.search_wording import gain_over_random
from tests.unit.reports.search_results import FOUND, cell, genotype

REQUIRED = ("genotype", "kept", "candidates", "searches", "modalities")
TWO = {"bagel": 0.9, "tire": 0.8}
EYECANDIES = {"ChocolateCookie": 0.9, "HazelnutTruffle": 0.8, "PeppermintCandy": 0.85, "LicoriceSandwich": 0.9}


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def of_method(results, method):
    return [search for search in results["searches"] if search["method"] == method]


def set_aurocs(results, method, values):
    for search, value in zip(of_method(results, method), values, strict=True):
        search["image_auroc"] = value


def test_written_results_of_a_search_read_back_equal(tmp_path, make_search):
    results = make_search()
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results


def test_a_search_that_measured_nothing_more_is_valid(make_search):
    results = make_search(searches=[], kept=None, modalities=[], candidates={})
    del results["shots"]
    validate(results)
    assert search_tables(results) == {}


@pytest.mark.parametrize("key", REQUIRED)
def test_a_search_must_write_every_key_and_no_other_job_need_to(make_search, make_results, make_mixture, key):
    results = make_search()
    del results[key]
    with pytest.raises(ResultsError, match=f"'{key}'"):
        validate(results)
    for other in (make_results(), make_mixture()):
        validate(other | {key: "of a later job"})
        assert search_tables(other | {key: "of a later job"}) == {}


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: r["searches"][0].pop("peak_mb"), "$.searches[0]"),
        (lambda r: r["searches"][0].update(image_auroc=93.7), "$.searches[0].image_auroc"),
        (lambda r: r["searches"][1].update(stopped="bored"), "$.searches[1].stopped"),
        (lambda r: r["searches"][0]["categories"]["bagel"].pop("aupro"), "$.searches[0].categories.bagel"),
        (lambda r: r["modalities"][0].update(modalities="sound"), "$.modalities[0].modalities"),
        (lambda r: r["shots"][0].update(shots=0), "$.shots[0].shots"),
        (lambda r: r["candidates"].update(last=[]), "$.candidates"),
        (lambda r: r.update(kept="darts-9"), "$.kept: no search 'darts-9' has the genotype"),
        (lambda r: r.update(kept="random-0"), "$.kept: no search 'random-0' has the genotype"),
        (lambda r: r.update(genotype=genotype()), "$.genotype.cells: at least one cell"),
        (lambda r: r["searches"][4]["genotype"].update(schema="eagleray.genotype/2"), "$.searches[4].genotype"),
        (
            lambda r: r.update(genotype=genotype(late=cell(("cell.early", "depth.late.0"), ("add", 0, 1)))),
            "$.genotype.cells.late.features: cell.early is no earlier cell",
        ),
        (
            lambda r: r.update(genotype=genotype(late=cell(("color.late.0", "depth.late.0"), ("add", 0, 2)))),
            "$.genotype.cells.late.nodes[0].inputs: [0, 2]",
        ),
        (
            lambda r: r["searches"][0]["history"][3]["alphas"]["early.nodes"][2].pop(),
            "$.searches[0].history[3].alphas.early.nodes: rows of [2, 2, 2, 3] weights, not of [2, 2, 3, 3]",
        ),
        (
            lambda r: r["candidates"]["middle"].pop(),
            "$.searches[0].history[0].alphas.middle.features: rows of [5, 5] weights, not of [4, 4]",
        ),
        (lambda r: r["searches"][0]["history"][0]["alphas"].update({"early.ops": [[0.5, 0.5]]}), "alphas.early.ops"),
    ],
)
def test_a_violation_in_a_search_names_the_field_in_one_line(make_search, spoil, field):
    results = make_search(num_epochs=4, categories=TWO)
    spoil(results)
    with pytest.raises(ResultsError) as error:
        validate(results)
    assert field in str(error.value)
    assert "\n" not in str(error.value)


def test_the_winner_is_the_search_whose_fusion_was_kept_and_alphas_come_from_it(make_search):
    results = make_search()
    assert winner(results)["name"] == "darts-2"
    assert gradient_search(results)["name"] == "darts-2"
    results["kept"] = "random-1"
    assert winner(results)["name"] == "random-1"
    assert gradient_search(results)["name"] == "darts-2"
    results["kept"] = None
    assert winner(results) is None
    assert "chosen by its image AUROC" not in " ".join(verdict(results))


def test_a_cell_whose_output_reaches_no_head_is_not_used():
    late = cell(("cell.early", "depth.late.0"), ("add", 0, 1))
    cells = FOUND["cells"] | {"late": late}
    assert list(used_cells({"cells": cells})) == ["early", "late"]
    assert list(used_cells(FOUND)) == ["early", "middle", "late"]
    assert list(used_cells(genotype(middle=cells["middle"]))) == ["middle"]


def test_methods_come_with_searches_first_then_cells_then_baselines(make_search):
    results = make_search(categories=TWO, num_epochs=2)
    results["searches"] = [{**results["searches"][0], "method": "easynet"}, *reversed(results["searches"])]
    cells = ["early", "middle", "late", "early+middle", "early+late", "middle+late"]
    order = ["darts", "random", "evolution", *cells, "color", "depth", "scratch", "easynet"]
    assert list(by_method(results)) == order


def test_a_spread_is_over_seeds_of_means_over_the_categories_with_a_figure():
    rows = [{"seed": seed, "aupro": value} for seed, value in ((0, 0.2), (0, 0.4), (1, 0.5), (1, None), (2, None))]
    spread = over_categories(rows, "aupro")
    assert spread["values"] == pytest.approx([0.3, 0.5])
    assert spread["mean"] == pytest.approx(0.4)
    assert spread["std"] == pytest.approx(0.1)
    assert over_categories(rows[-1:], "aupro")["mean"] is None


@pytest.mark.parametrize("categories", [TWO, None, EYECANDIES])
def test_every_table_of_a_search_fits_80_columns(make_search, categories):
    results = make_search(**({"categories": categories} if categories else {}))
    tables = search_tables(results)
    assert list(tables) == ["modalities", "cells", "searches", "speed", "shots", "shots_by_category"]
    assert mixture_tables(results) == {}
    for table in tables.values():
        text = printed(table)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text


def test_a_table_too_wide_goes_on_below_with_what_its_rows_are_of(make_search):
    results = make_search()
    text = printed(search_tables(results)["cells"])
    first, second = text.split("What each cell brings: image AUROC, continued")
    assert "bagel" in first
    assert "mean" not in first.splitlines()[2]
    assert "mean" in second
    rows = [line.split() for line in second.splitlines() if line.split()[:3] == ["✓", "✓", "-"]]
    values = [search["image_auroc"] for search in of_method(results, "early+middle")]
    assert rows[0][-1] == f"{sum(values) / 3:.3f}"
    assert (first.count("±"), second.count("±")) == (7 * 6, 7 * 5)
    assert "Mean and standard deviation over 3 seeds" not in first


def test_the_cells_have_ticks_and_the_kept_fusion_comes_last_over_its_seeds(make_search):
    results = make_search(categories=TWO, num_seeds=1)
    winner(results)["image_auroc"] = 0.9
    set_aurocs(results, "scratch", [0.92])
    text = printed(search_tables(results)["cells"])
    ticks = [line.split()[:3] for line in text.splitlines() if line.split()[:1] in (["✓"], ["-"])]
    assert ticks[0] == ["✓", "-", "-"]
    assert ticks[-1] == ["✓", "✓", "✓"]
    assert len(ticks) == 7
    assert "All three: the fusion that was kept." in " ".join(text.split())
    whole = next(line.split() for line in text.splitlines() if line.split()[:3] == ["✓", "✓", "✓"])
    assert whole[-2:] == ["0.910", "±0.010"]


def test_the_modalities_show_every_figure_and_the_mean_over_categories(make_search):
    results = make_search(categories=TWO, num_seeds=2)
    for row in results["modalities"]:
        high = row["category"] == "bagel"
        row["aupro"] = {"color": 0.5, "depth": 0.25, "color+depth": 0.75}[row["modalities"]] + 0.125 * high
    lines = printed(search_tables(results)["modalities"], 120).splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["AUPRO"])
    found = [lines[at].split() for at in range(start, start + 3)]
    assert found[0][1:] == ["colour", "0.625", "±0.000", "0.500", "±0.000", "0.562", "±0.000"]
    assert found[1][0] == "depth"
    assert found[2][-2] == "0.812"


def test_the_kept_search_is_stressed_and_every_one_says_why_it_ended(make_search):
    results = make_search(categories=TWO, num_seeds=2, num_epochs=3)
    bold = to_bold_lines(search_tables(results)["searches"])
    assert len(bold) == 1
    assert "0.813" in bold[0]
    lines = [line.split() for line in printed(search_tables(results)["searches"]).splitlines()]
    (behind,) = (line for line in lines if len(line) == 8 and line[-1] == "behind")
    assert behind == ["2", "-", "-", "-", "-", "61", "3.4", "behind"]
    assert sum(line[-1:] == ["settled"] for line in lines) == 1


def test_searches_that_share_method_and_seed_go_by_their_names(make_search):
    results = make_search(categories=TWO, num_seeds=1, num_epochs=2)
    results["searches"].insert(0, {**results["searches"][0], "name": "darts-0-0.01"})
    text = printed(search_tables(results)["searches"])
    assert "darts-0-0.01" in text
    assert "Random search" in text


def test_a_search_that_was_stopped_before_training_is_in_no_mean(make_search):
    results = make_search(categories=TWO, num_epochs=2)
    measured = [search["frames_per_s"] for search in of_method(results, "darts")[:3]]
    assert len(of_method(results, "darts")) == 4
    line = next(line for line in printed(search_tables(results)["speed"]).splitlines() if "DARTS" in line)
    assert line.split()[1] == f"{sum(measured) / 3:.1f}"
    assert "darts" not in trained(results | {"searches": of_method(results, "darts")[3:]})


def to_bold_lines(table):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(table)
    return [line for line in console.file.getvalue().splitlines() if "\x1b[1m" in line and " 184" in line]


def test_frame_rate_weights_and_peak_stand_apart(make_search):
    results = make_search(categories=TWO, num_seeds=2, num_epochs=2)
    for search, (rate, peak) in zip(of_method(results, "random"), ((20.0, 1500.0), (22.0, 1700.0)), strict=True):
        search |= {"frames_per_s": rate, "weights_mb": 270.0, "peak_mb": peak}
    text = printed(search_tables(results)["speed"], 100)
    line = next(line for line in text.splitlines() if "Random" in line).split()
    assert line[2:8] == ["21.0", "±1.0", "270", "±0", "1,600", "±100"]
    assert "weights not counted" in text


def test_few_pictures_are_told_only_where_they_were_learned_from(make_search):
    results = make_search(categories=TWO)
    heading = printed(search_tables(results)["shots"], 120).splitlines()[2]
    assert heading.split() == ["figure", "5-shot", "10-shot", "50-shot", "all"]
    results["config"]["shots"] = 60
    heading = printed(search_tables(results)["shots"], 120).splitlines()[2]
    assert heading.split() == ["figure", "5-shot", "10-shot", "50-shot", "60-shot"]
    del results["shots"]
    assert "shots" not in search_tables(results)
    assert "shots_by_category" not in search_tables(results)


def test_few_pictures_stand_above_the_whole_run_by_category(make_search):
    results = make_search(categories=TWO, num_seeds=2)
    for row in (*results["shots"], *results["modalities"]):
        row["image_auroc"] = 0.5 + row.get("shots", 100) / 400 + (row["category"] == "tire") / 8 + row["seed"] / 16
    lines = printed(search_tables(results)["shots_by_category"]).splitlines()
    start = next(at for at, line in enumerate(lines) if line.split()[:1] == ["5-shot"])
    assert [line.split()[0] for line in lines[start : start + 4]] == ["5-shot", "10-shot", "50-shot", "all"]
    assert lines[start].split() == ["5-shot", "0.544", "±0.031", "0.669", "±0.031", "0.606", "±0.031"]
    assert lines[start + 3].split() == ["all", "0.781", "±0.031", "0.906", "±0.031", "0.844", "±0.031"]


def test_the_table_of_categories_has_neither_experts_nor_routing(make_search):
    text = printed(summary_table(make_search(without_defects=("foam",))))
    for word in ("forget", "ex-", "rout", "rows"):
        assert word not in text
    assert "no image AUROC, pixel AUROC, AUPRO for foam: no defective test images" in " ".join(text.split())


def test_a_category_without_defects_is_a_dash_with_its_reason(make_search):
    results = make_search(categories=TWO, without_defects=("tire",))
    validate(results)
    for name in ("modalities", "cells", "shots"):
        assert "for tire: no defective test images" in " ".join(printed(search_tables(results)[name]).split())
    rows = [line.split() for line in printed(search_tables(results)["cells"], 120).splitlines() if "±" in line]
    assert [row[5] for row in rows] == ["-"] * 7


def test_brackets_in_a_category_are_not_markup(make_search):
    results = make_search(categories={"[red]x[/]": 0.9, "plain": 0.8})
    assert "[red]x[/]" in printed(search_tables(results)["cells"])


def test_markdown_of_a_search_has_every_table_with_as_many_cells_as_headings(make_search):
    text = to_markdown(make_search(categories={"a|b": 0.9, "c": 0.8}))
    headers = 0
    lines = text.replace("\\|", "").splitlines()
    for above, marks, below in zip(lines, lines[1:], lines[2:], strict=False):
        if marks.startswith("| :--") or marks.startswith("| --:"):
            headers += 1
            assert above.count("|") == marks.count("|") == below.count("|")
    assert headers == 7


def test_the_verdict_compares_the_searches_seed_by_seed_at_their_budget(make_search):
    results = make_search(categories=TWO)
    set_aurocs(results, "darts", [0.91, 0.92, 0.93, None])
    set_aurocs(results, "random", [0.90, 0.93, 0.90])
    set_aurocs(results, "evolution", [0.89, 0.89, 0.89])
    assert gain_over_random(results) == pytest.approx([0.01, -0.01, 0.03])
    text = " ".join(verdict(results))
    assert "With at most 184 TFLOP each and over 3 seeds, image AUROC is 0.920 by DARTS, 0.910 by random" in text
    assert "DARTS against random search: +0.010 (-0.010 to +0.030 seed by seed)" in text


def test_only_seeds_that_both_have_are_compared(make_search):
    results = make_search(categories=TWO, num_seeds=2)
    set_aurocs(results, "darts", [0.91, 0.92, None])
    set_aurocs(results, "random", [0.90, None])
    assert gain_over_random(results) == pytest.approx([0.01])
    results["searches"] = [search for search in results["searches"] if search["method"] != "random"]
    assert gain_over_random(results) == []
    assert "against random" not in " ".join(verdict(results))


def test_of_several_learning_rates_the_best_held_out_counts_for_a_seed(make_search):
    results = make_search(categories=TWO, num_seeds=1, num_epochs=2)
    set_aurocs(results, "darts", [0.91])
    set_aurocs(results, "random", [0.90])
    one = results["searches"][0]
    for name, held_out, auroc in (("worse", 0.7, 0.99), ("better", 0.9, 0.95), ("unmeasured", None, 0.98)):
        results["searches"].append({**one, "name": name, "validation_auroc": held_out, "image_auroc": auroc})
    assert [row["name"] for row in trained(results)["darts"]] == ["better"]
    assert gain_over_random(results) == pytest.approx([0.05])
    text = " ".join(verdict(results))
    assert "each, image AUROC is 0.950 by DARTS" in text
    assert "seeds" not in text
    assert "worse" in printed(search_tables(results)["searches"])


def test_what_searched_for_nothing_has_no_reason_to_have_ended(make_search):
    results = make_search(categories=TWO, num_seeds=1, num_epochs=2)
    results["searches"].append({**of_method(results, "scratch")[0], "name": "given", "method": "given"})
    lines = [line.split() for line in printed(search_tables(results)["searches"]).splitlines()]
    ended = {line[0]: line[-1] for line in lines if line[:1] in (["Given"], ["Kept,"], ["Random"])}
    assert ended == {"Random": "budget", "Given": "-", "Kept,": "-"}


@pytest.mark.parametrize(
    ("colour", "depth", "both", "said"),
    [
        (0.9, 0.8, 0.95, "depth adds 0.050."),
        (0.9, 0.8, 0.85, "depth adds nothing (-0.050)."),
        (0.7, 0.8, 0.85, "colour adds 0.050."),
    ],
)
def test_the_verdict_says_what_the_second_modality_adds(make_search, colour, depth, both, said):
    results = make_search(categories=TWO)
    for row in results["modalities"]:
        row["image_auroc"] = {"color": colour, "depth": depth, "color+depth": both}[row["modalities"]]
    told = next(sentence for sentence in verdict(results) if "together" in sentence)
    assert told.endswith(said)


def test_the_verdict_names_the_cells_that_fuse_and_those_left_out(make_search):
    results = make_search(categories=TWO)
    assert "it fuses in the early, middle and late cells." in " ".join(verdict(results))
    kept = genotype(early=FOUND["cells"]["early"])
    winner(results)["genotype"] = kept
    results["genotype"] = kept
    text = " ".join(verdict(results))
    assert "of DARTS, seed 2, chosen by its image AUROC on held-out pictures with synthetic anomalies (0.813)" in text
    assert "it fuses in the early cell and leaves out the middle and late ones." in text


def test_a_search_claims_nothing_that_was_not_measured(make_search):
    results = make_search(categories=TWO, without_defects=("bagel", "tire"))
    assert verdict(results)[0] == "Without defective test images, no detection figure can be measured."
    text = " ".join(verdict(results))
    for word in ("against random", "colour alone", "Limited to"):
        assert word not in text
    assert "pictures a second" in text
