"""The closing tables: they fit a terminal, and say why a figure is missing."""

import io

import pytest
from rich.console import Console

from eagleray.reports import controls_table, summary_table, to_markdown
from eagleray.reports.wording import duration, signed, verdict


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_figures_are_printed_whole_at_80_columns(make_results, width):
    results = make_results(names=("mvtec_toothbrush", "grid"))
    text = printed(summary_table(results), width)
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if "mvtec_toothbrush" in line)
    values = results["classes"]["mvtec_toothbrush"]
    for shown in (f"{values['image_auroc']:.3f}", f"{values['aupro']:.3f}", f"{values['threshold']:.4g}", "98.0 %"):
        assert shown in row


def test_the_mean_row_comes_last_with_the_total_of_rows(make_results):
    results = make_results()
    lines = [line for line in printed(summary_table(results)).splitlines() if line.strip()]
    assert lines[-1].split()[:2] == ["mean", f"{results['mean']['image_auroc']:.3f}"]
    assert "Σ 1,200" in lines[-1]


def test_a_missing_figure_is_a_dash_with_its_reason_below(make_results):
    results = make_results()
    for name in ("grid", "screw"):
        results["classes"][name] |= {"aupro": None, "pixel_auroc": None}
        results["classes"][name]["reasons"] = {"aupro": "no masks", "pixel_auroc": "no masks"}
    text = printed(summary_table(results))
    row = next(line for line in text.splitlines() if line.strip().startswith("grid"))
    assert row.split()[3:5] == ["-", "-"]
    assert "no pixel AUROC, AUPRO for grid, screw: no masks" in text


def test_without_defects_every_class_shares_one_footnote(make_results, drop_defects):
    text = " ".join(printed(summary_table(drop_defects(make_results()))).split())
    assert text.count("no defective test images") == 1
    assert "for all classes" in text


def test_brackets_in_a_name_are_not_markup(make_results):
    assert "[bold]x[/]" in printed(summary_table(make_results(names=("[bold]x[/]",))))


def test_controls_are_ordered_with_the_run_first(make_results):
    results = make_results()
    results["controls"]["half_the_rows"] = results["controls"]["routed"] | {"note": "a control of a later job"}
    text = printed(controls_table(results))
    titles = ["Routed per image", "Oracle expert", "One bank per class", "One shared bank", "Random assignment"]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert "A control of a later job." in text
    assert "One bank. Experts must beat it to be worth having." in " ".join(text.split())


def test_no_controls_say_so(make_results):
    assert "no controls were measured" in printed(controls_table(make_results(controls={})))


def test_controls_without_a_single_figure_are_not_listed(make_results, drop_defects):
    text = printed(controls_table(drop_defects(make_results())))
    assert "no controls were measured: that takes good and defective test images" in text
    assert "Oracle expert" not in text


def test_a_figure_that_no_class_has_is_explained_once(make_results, drop_defects):
    results = drop_defects(make_results())
    results["mean"]["reasons"] = {"image_auroc": "no class has this figure"}
    assert "no mean image AUROC" not in printed(summary_table(results))


def test_markdown_is_a_table_that_names_cannot_break(make_results):
    results = make_results(names=("a|b", "<script>", "plain_name"))
    text = to_markdown(results)
    assert "a\\|b" in text
    assert "<script>" not in text
    bars = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("| plain")}
    header = next(line for line in text.splitlines() if line.startswith("| class"))
    assert bars == {header.count("|")}
    assert "image AUROC" in header


def test_markdown_says_that_demo_data_are_no_benchmark(make_results):
    assert "not a benchmark" in to_markdown(make_results())
    assert "not a benchmark" not in to_markdown(make_results(data={"source": "mvtec", "generated": False}))


def test_the_verdict_counts_defects_and_alarms_from_the_classes(make_results):
    text = " ".join(verdict(make_results()))  # 3 classes: 20 good with 1 alarm, 20 defective with 3 missed
    assert "flag 51 of 60 defective images (85.0 %)" in text
    assert "raise 3 false alarms on 60 good images (5.0 %)" in text


def test_the_verdict_admits_when_experts_gain_nothing(make_results):
    results = make_results()
    results["controls"]["shared_bank"]["image_auroc"] = results["controls"]["routed"]["image_auroc"] + 0.01
    assert any("gain nothing over one shared bank of the same size (-0.010)" in line for line in verdict(results))


def test_the_verdict_names_forgetting_by_its_sign(make_results):
    lost = make_results()
    assert any("cost the earlier ones" in line and "worst bottle" in line for line in verdict(lost))
    kept = make_results()
    kept["mean"]["forgetting"] = 0.0
    for values in kept["classes"].values():
        values["forgetting"] = 0.0
    assert any("cost the earlier ones nothing on average (0.000)" in line for line in verdict(kept))


def test_small_changes_have_no_negative_zero():
    assert [signed(-0.0001), signed(0.0), signed(-0.01), signed(0.01)] == ["0.000", "0.000", "-0.010", "+0.010"]


def test_durations_read_like_a_clock():
    assert [duration(s) for s in (0.5, 59.4, 200, 7500)] == ["0.50 s", "59 s", "3 min 20 s", "2 h 5 min"]
