"""Pictures of a sweep: their figures are those of the results, and none is drawn of nothing."""

import numpy as np
import pytest
from PIL import Image

from eagleray.reports.plot_sweep import merit_scatter, sweep_classes, sweep_curves
from eagleray.reports.plot_sweep_trial import trial_classes, trial_experts, trial_forgetting
from eagleray.reports.plots import draw_pictures, write_plots
from eagleray.reports.sweep_rows import mean_by_class
from tests.unit.reports.sweep_results import NAMES, build_sweep, without_figures

OVER_POINTS = ["sweep_curves", "sweep_classes"]
ONE_TRIAL = ["trial_classes", "trial_experts", "trial_forgetting"]


def names_of(results):
    return [picture.name for picture in draw_pictures(results, None)]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def ticks(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


@pytest.mark.parametrize("kind", ["experts", "space"])
def test_every_picture_decodes_and_has_words(tmp_path, kind):
    pictures = draw_pictures(build_sweep(kind, stopped={(0, 0, 0)}), None)
    expected = ["merit", "sweep_classes"] if kind == "space" else OVER_POINTS
    assert [picture.name for picture in pictures] == expected + ONE_TRIAL
    for picture in pictures:
        assert picture.title
        assert picture.caption
        assert len(picture.alt) > 40
    for file in write_plots(tmp_path, pictures).values():
        with Image.open(file) as image:
            assert image.width > 1200
            pixels = np.asarray(image.convert("RGB"))[::3, ::3]
        assert 0.005 < (pixels < 250).any(axis=2).mean() < 0.9


def test_nothing_is_drawn_of_nothing():
    assert names_of(without_figures(build_sweep())) == ["trial_experts"]  # memory needs no defects
    everyone = {(point, order, seed) for point in range(3) for order in range(2) for seed in range(2)}
    stopped = build_sweep(stopped=everyone)
    assert names_of(stopped) == ["sweep_curves"]
    assert names_of(build_sweep(values=(5,), num_orders=1, seeds=(0,))) == ["sweep_classes", *ONE_TRIAL]
    assert names_of(build_sweep(values=(5,), names=("only",), num_orders=1, seeds=(0,))) == ONE_TRIAL[:2]
    assert names_of(build_sweep(names=("only",))) == [*OVER_POINTS, *ONE_TRIAL[:2]]


def test_the_heat_map_has_the_means_of_complete_trials():
    results = build_sweep(stopped={(0, 0, 0)})
    auroc_CP = mean_by_class(results)
    mine = [trial for trial in results["trials"] if trial["point"] == 0][1:]
    assert auroc_CP[0, 0] == pytest.approx(np.mean([trial["classes"]["bottle"]["image_auroc"] for trial in mine]))
    figure = sweep_classes(results)
    written = texts(figure)
    assert written[: auroc_CP.size] == [f"{value:.3f}" for value in auroc_CP.ravel()]
    assert written[auroc_CP.size :] == [f"{point['image_auroc']['mean']:.3f}" for point in results["points"]]
    (axes,) = figure.axes
    assert (ticks(axes.yaxis), ticks(axes.xaxis)) == ([*NAMES, "mean"], ["1", "2", "4"])


def test_of_more_points_than_fit_the_shades_alone_are_shown():
    figure = sweep_classes(build_sweep(values=range(1, 31), num_orders=1, seeds=(0,)))
    assert texts(figure) == []
    assert len(figure.axes) == 2  # with the scale of the shades


def test_curves_have_a_line_per_order_and_seed_and_dots_for_stopped_trials():
    results = build_sweep("budget", stopped={(0, 0, 1)})
    forgetting, auroc = sweep_curves(results).axes
    assert auroc.get_xscale() == "log"
    assert ticks(auroc.xaxis) == ["300", "600", "1,200"]
    lines = [line for line in auroc.lines if len(line.get_xdata()) > 1]
    assert sorted(len(line.get_xdata()) for line in lines[:-1]) == [2, 3, 3, 3]  # one trial was stopped
    means = [point["image_auroc"]["mean"] for point in results["points"]]
    np.testing.assert_allclose(lines[-1].get_ydata(), means)
    np.testing.assert_allclose(lines[-1].get_xdata(), [300, 600, 1200])
    dots = [line for line in auroc.lines if len(line.get_xdata()) == 1]
    assert [dot.get_ydata()[0] for dot in dots] == [results["trials"][1]["image_auroc"]]
    assert forgetting.get_ylim()[0] <= min(point["forgetting"]["lowest"] for point in results["points"])


def test_a_thousandth_is_not_blown_up_to_a_drama():
    results = build_sweep(values=(8, 9, 10), noise=0.0)
    for trial in results["trials"]:
        trial["image_auroc"] = 0.9 + 0.0001 * trial["point"]
    for point in results["points"]:
        point["image_auroc"] |= {"mean": 0.9, "std": 0.0, "lowest": 0.9, "highest": 0.9}
    bottom, top = sweep_curves(results).axes[1].get_ylim()
    assert top - bottom == pytest.approx(0.05, abs=0.001)
    assert bottom < 0.9 < top


def test_no_axis_goes_beyond_what_image_auroc_can_be():
    results = build_sweep("space", noise=0.0)
    for trial in results["trials"]:
        trial["image_auroc"] = 1.0
    bottom, top = merit_scatter(results).axes[0].get_ylim()
    assert 1 < top < 1.01
    assert bottom < 0.96


def test_the_scatter_has_a_dot_per_complete_trial_and_names_every_point():
    results = build_sweep("space", stopped={(0, 0, 0)})
    figure = merit_scatter(results)
    (axes,) = figure.axes
    small = [dots for dots in axes.collections if dots.get_sizes()[0] == 10]
    places = np.concatenate([dots.get_offsets() for dots in small])
    complete = [trial for trial in results["trials"] if trial["ended"] == "complete"]
    np.testing.assert_allclose(places, [(trial["merit"], trial["image_auroc"]) for trial in complete])
    assert sorted(text for text in texts(figure) if text.startswith("#")) == [f"#{n}" for n in range(5)]
    bold = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
    assert sorted(bold) == [f"#{results['chosen']}", "chosen"]
    assert merit_scatter(build_sweep()) is None


def test_bars_of_classes_stand_in_groups_of_their_expert():
    results = build_sweep(values=(2, 5), num_orders=1, seeds=(0,))
    results["sweep"]["points"][1] = results["points"][1]["changes"] = {"mecad.num_experts": 6}
    trial = results["trials"][0]
    figure = trial_classes(results)
    (axes,) = figure.axes
    groups = [trial["experts"][expert]["classes"] for expert in ("0", "1")]
    auroc = {name: trial["classes"][name]["image_auroc"] for name in NAMES}
    expected = [name for names in groups for name in sorted(names, key=lambda name: -auroc[name])]
    assert ticks(axes.yaxis) == expected
    assert [bar.get_x() + bar.get_width() for bar in axes.patches] == pytest.approx([auroc[n] for n in expected])
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert [text for text in texts(figure) if text.startswith("expert")] == ["expert 0", "expert 1"]


def test_memory_is_shown_within_the_budget_of_the_trial():
    results = build_sweep("budget", num_orders=1, seeds=(0,))
    _, memory = trial_experts(results).axes
    assert memory.get_title(loc="left") == "Bank rows, of 600 allowed"  # the middle point's own
    assert [text.get_text() for text in memory.texts] == ["200  33 %", "200  33 %"]
    results = build_sweep()
    del results["config"]["mecad"]
    assert trial_experts(results).axes[1].get_title(loc="left") == "Bank rows"


def test_forgetting_is_drawn_per_expert_over_the_steps():
    results = build_sweep(values=(2,))
    lines = [line for line in trial_forgetting(results).axes[0].lines if len(line.get_xdata()) == len(NAMES)]
    held = [expert["forgetting"] for expert in results["trials"][0]["experts"].values()]
    np.testing.assert_allclose([line.get_ydata() for line in lines], np.array(held, dtype=float))


@pytest.mark.filterwarnings("ignore:Glyph")  # the font that matplotlib carries has no Japanese
def test_odd_names_are_drawn_as_they_stand(tmp_path):
    names = ("cost $5 and $6", "$\\frac$", "_under", "日本", "x" * 200, "two\nlines")
    write_plots(tmp_path, draw_pictures(build_sweep(names=names, num_orders=1), None))
