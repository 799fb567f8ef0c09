"""Findings and tables of a sweep: a difference is called one only where it exceeds the spread."""

import io

import pytest
from rich.console import Console

from eagleray.reports import sweep_points, sweep_table, to_markdown
from eagleray.reports.sweep_grids import orders_grid, points_grid, trials_grid
from eagleray.reports.sweep_rows import (
    axis_name,
    is_log,
    merit_agreement,
    point_name,
    point_order,
    setting_of,
    shown_trial,
    tick_name,
)
from eagleray.reports.sweep_wording import levels_off, tiles, title, verdict, wins
from tests.unit.reports.sweep_results import build_sweep, without_figures


def sweep_of(auroc, *, forgetting=None, kind="experts", values=None, **options):
    """A sweep whose trials have these image AUROCs: a row a point, a column a trial."""
    results = build_sweep(
        kind, values=values or range(1, len(auroc) + 1), num_orders=1, seeds=range(len(auroc[0])), **options
    )
    for trial in results["trials"]:
        trial["image_auroc"] = auroc[trial["point"]][trial["seed"]]
        trial["forgetting"] = (forgetting or auroc)[trial["point"]][trial["seed"]]
    results["points"] = sweep_points(results["sweep"]["points"], results["trials"])
    return results


def told(results):
    return " ".join(verdict(results))


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_a_clear_rise_is_told_from_the_spread():
    text = told(
        sweep_of([[0.70, 0.72], [0.90, 0.92], [0.905, 0.925]], forgetting=[[-0.3, -0.3], [-0.1, -0.1], [-0.02, -0.02]])
    )
    assert "highest on the mean at 3 experts, with 0.915 ± 0.014 over 2 complete trials" in text
    assert "lowest at 1 expert, with 0.710 ± 0.014" in text
    assert "It cannot be told from 2 experts; the one other point is lower by more than the spread" in text
    assert "it beats 1 expert in 2 of 2" in text
    assert "Image AUROC stops rising at 2 experts (0.910): no later point is better by more than the spread" in text
    assert "Forgetting is still falling at 3 experts, the last point (-0.020)" in text
    assert text.endswith("Test pictures are only reported here: nothing was chosen by them.")


def test_differences_within_the_spread_are_not_told_apart():
    text = told(sweep_of([[0.80, 0.90], [0.90, 0.82], [0.84, 0.86]]))
    assert "No other point is lower by more than the spread over orders and seeds: they cannot be told apart" in text
    assert "stops rising" not in text
    assert "From 1 expert on (0.850), image AUROC rises by no more than the spread." in text
    assert "From 1 expert on (0.900), image AUROC does not rise." in told(sweep_of([[0.9], [0.8], [0.7]]))


def test_the_larger_spread_of_two_decides():
    text = told(sweep_of([[0.80, 0.98], [0.95, 0.95], [0.70, 0.70]]))
    assert "It cannot be told from 1 expert; the one other point is lower" in text


def test_every_point_below_the_best_is_said_so():
    text = told(sweep_of([[0.70, 0.71], [0.80, 0.81], [0.95, 0.96]]))
    assert "Every other point is lower by more than the spread over orders and seeds." in text
    assert "Image AUROC is still rising at 3 experts, the last point (0.955)." in text


def test_one_trial_a_point_has_no_spread_to_judge_by():
    text = told(sweep_of([[0.7], [0.9], [0.8]]))
    assert "With one trial a point there is no spread over orders and seeds" in text
    assert "±" not in text
    assert "by more than the spread" not in text
    assert "Image AUROC stops rising at 2 experts (0.900): no later point is better." in text


def test_what_cannot_be_seen_in_three_digits_is_no_difference():
    results = sweep_of([[0.9, 0.9], [0.9003, 0.9003], [0.9004, 0.9004]])
    assert verdict(results)[0] == "Image AUROC is 0.900 on the mean at every point."
    assert "lower" not in told(results)
    assert levels_off(results, "image_auroc") == 0
    assert levels_off(sweep_of([[0.9, 0.9], [0.902, 0.902], [0.902, 0.902]]), "image_auroc") == 1


def test_a_threshold_has_no_direction_in_which_more_is_better():
    text = told(build_sweep("threshold"))
    assert "stops" not in text
    assert "Least is forgotten at threshold 0.9 (" in text


def test_stopped_trials_are_counted_and_in_no_mean():
    results = build_sweep(stopped={(0, 0, 0), (0, 1, 1)})
    assert "2 of 12 trials were stopped behind the others (ASHA); no mean includes them." in told(results)
    assert [point["trials"] for point in results["points"]] == [2, 4, 4]
    assert wins(results, 2, 0) == (2, 2)
    assert ("Trials", "12", "4 classes each; 2 stopped early") in tiles(results)


def test_without_figures_nothing_is_claimed():
    sentences = verdict(without_figures(build_sweep()))
    assert sentences[0].startswith("No image AUROC could be measured")
    assert len(sentences) == 2
    everyone = {(point, order, seed) for point in range(3) for order in range(2) for seed in range(2)}
    assert verdict(build_sweep(stopped=everyone))[1].startswith("12 of 12 trials were stopped")


def test_a_space_tells_what_merit_chose_and_what_the_test_pictures_say():
    results = sweep_of([[0.9, 0.9], [0.8, 0.8], [0.7, 0.7]], kind="space", values=3)
    for trial in results["trials"]:
        trial["merit"] = (0.5, 0.9, 0.4)[trial["point"]] + 0.01 * trial["seed"]
    results["points"] = sweep_points(results["sweep"]["points"], results["trials"])
    results["chosen"] = 1
    first, second, *_ = verdict(results)
    assert first.startswith("Point 1 (similarity threshold ")
    assert "was chosen by its merit, 0.905 ± 0.007 on held-out good pictures with synthetic anomalies." in first
    assert "nothing was chosen by them; by them, 1 point has a higher image AUROC than its 0.800." in second
    assert point_order(results) == [1, 0, 2]
    assert merit_agreement(results) == pytest.approx(0.478, abs=0.001)  # of (6 5 | 2 1 | 4 3) and tied AUROCs, by hand
    assert ("Merit and image AUROC", "+0.48", "rank correlation over the trials; 1 is the same order") in tiles(results)


def test_merits_that_are_all_alike_agree_with_nothing():
    results = build_sweep("space")
    for trial in results["trials"]:
        trial["merit"] = 0.5
    assert merit_agreement(results) is None


@pytest.mark.parametrize(
    ("kind", "name", "tick", "axis"),
    [
        ("experts", "1 expert", "1", "number of experts"),
        ("threshold", "threshold 0.5", "0.5", "similarity above which classes share an expert"),
        ("budget", "300 rows", "300", "bank rows of an expert, at most (logarithmic)"),
        ("space", "point 0", "#0", "point"),
    ],
)
def test_points_are_named_by_what_they_change(kind, name, tick, axis):
    results = build_sweep(kind)
    assert (point_name(results, 0), tick_name(results, 0), axis_name(results)) == (name, tick, axis)
    assert is_log(results) == (kind == "budget")


def test_points_are_shown_along_their_axis_in_whatever_order_they_ran():
    results = build_sweep(values=(4, 1, 2))
    assert point_order(results) == [1, 2, 0]
    assert [row[0].text for row in points_grid(results).rows] == ["1", "2", "4"]


def test_settings_that_are_no_numbers_are_numbered_points():
    results = build_sweep()
    for number, memory in enumerate(("nested", "replay", "none")):
        results["points"][number]["changes"] = {"mecad.num_experts": memory}
    assert [tick_name(results, number) for number in point_order(results)] == ["#0", "#1", "#2"]
    assert points_grid(results).headings[:2] == ["point", "num experts"]
    assert "stops" not in told(results)


def test_the_trial_shown_is_that_of_five_experts_with_the_first_order_and_seed():
    assert shown_trial(build_sweep(values=(1, 2, 3, 5)))["name"] == "num_experts=5-order0-seed0"
    assert shown_trial(build_sweep(values=(1, 2, 3, 8)))["name"] == "num_experts=2-order0-seed0"
    assert shown_trial(build_sweep(values=(1, 5, 8), stopped={(1, 0, 0)}))["name"] == "num_experts=5-order0-seed1"
    whole = {(1, order, seed) for order in range(2) for seed in range(2)}
    assert shown_trial(build_sweep(values=(1, 5, 8), stopped=whole))["name"] == "num_experts=1-order0-seed0"
    space = build_sweep("space")
    assert shown_trial(space)["point"] == space["chosen"]


def test_a_setting_of_a_trial_is_its_change_or_else_of_the_configuration():
    results = build_sweep("budget")
    assert setting_of(results, results["trials"][0], "mecad.rows_per_expert") == 300
    assert setting_of(results, results["trials"][0], "mecad.rows_per_class") == 100
    assert setting_of(results, results["trials"][0], "mecad.rows.none") is None


def test_the_table_of_points_has_mean_spread_and_range():
    grid = points_grid(sweep_of([[0.70, 0.72], [0.90, 0.92]]))
    column = grid.headings.index("image AUROC")
    assert grid.rows[1][column] == ("0.910", "±0.014", "0.900..0.920")
    assert grid.rows[1][grid.headings.index("forgetting")] == ("+0.910", "±0.014", "+0.900..+0.920")
    assert grid.rows[1][grid.headings.index("rows")] == ("400", "±0", "")
    assert {row for row, _ in grid.strong} == {1}
    assert "merit" not in grid.headings


def test_trials_of_a_space_are_listed_by_merit_with_the_stopped_ones_last():
    results = build_sweep("space", stopped={(4, 0, 0)})
    results["trials"][16]["merit"] = 0.999
    grid = trials_grid(results)
    merits = [float(row[grid.headings.index("merit")].text) for row in grid.rows]
    assert merits[:-1] == sorted(merits[:-1], reverse=True)
    assert grid.rows[-1][grid.headings.index("ended")].text == "stopped"
    assert [row[0].text for row in orders_grid(results).rows] == ["0", "1"]


def test_a_trial_is_told_by_its_point_order_and_seed():
    grid = trials_grid(build_sweep(stopped={(0, 1, 1)}))
    assert grid.headings[:5] == ["num experts", "order", "seed", "ended", "steps"]
    rows = [[cell.text for cell in row[:5]] for row in grid.rows]
    assert rows[3:5] == [["1", "1", "1", "stopped", "2"], ["2", "0", "0", "complete", "4"]]


@pytest.mark.parametrize("kind", ["experts", "threshold", "budget", "space"])
def test_the_table_fits_a_terminal_with_every_figure_whole(kind):
    results = build_sweep(kind)
    text = printed(sweep_table(results))
    assert max(map(len, text.splitlines())) <= 80
    for point in results["points"]:
        assert f"{point['image_auroc']['mean']:.3f}" in text
        assert f"±{point['image_auroc']['std']:.3f}" in text
    assert "…" not in text


def test_markdown_has_findings_and_tables():
    text = to_markdown(build_sweep())
    assert "**Means over orders and seeds.**" in text
    assert "- Test pictures are only reported here" in text
    assert "| 0 | bottle, grid, screw, carpet |" in text


def test_the_title_counts():
    assert (
        title(build_sweep(values=(5,), num_orders=1, seeds=(0,))) == "Number of experts: 1 point, 1 class order, 1 seed"
    )
