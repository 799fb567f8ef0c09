"""Pictures of adapted_moe: drawn from the figures, never empty, and absent where there is nothing to draw."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from eagleray.reports.plot_mixture import MOST_COLOURED
from eagleray.reports.plot_routing import MOST_LISTED
from eagleray.reports.plots import draw_pictures, write_plots
from tests.unit.reports.mixture_results import build_space

MIXTURE = ["routing_space", "ablation", "top_k"]


def drawn(results):
    return {picture.name: picture for picture in draw_pictures(results, None)}


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_every_picture_of_a_mixture_decodes_and_shows_something(tmp_path, make_mixture, make_scores):
    results = make_mixture()
    pictures = draw_pictures(results, make_scores(results))
    files = write_plots(tmp_path, pictures)
    assert list(files) == ["scores", *MIXTURE]
    for picture in pictures:
        assert len(picture.alt) > 20
        with Image.open(files[picture.name]) as image:
            assert image.width > 600
            pixels = np.asarray(image.convert("RGB"))[::3, ::3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
        assert 0.005 < (pixels < 250).any(axis=2).mean() < 0.9


def test_a_stream_has_no_picture_of_a_mixture(make_results):
    assert not set(MIXTURE) & set(drawn(make_results(ablation={"a": 1}, top_k=[3], routing_space=None)))


def test_a_mixture_without_figures_draws_nothing_of_them(make_mixture):
    results = make_mixture(without_defects=("cloth", "wafer", "metal"), routing_space=[])
    assert drawn(results) == {}
    assert drawn(make_mixture(ablation=[], baselines=[], top_k=[], routing_space=[])) == {}


def test_seen_subclasses_are_filled_and_unseen_ones_hollow(make_mixture):
    cloth = drawn(make_mixture())["routing_space"].figure.axes[0]
    groups = [line for line in cloth.lines if len(line.get_xdata()) == 14]
    assert len(groups) == 15
    assert {line.get_marker() for line in groups[:8]} == {"o"}
    assert {line.get_markerfacecolor() for line in groups[8:]} == {"none"}
    looks = {(line.get_marker(), to_hex(line.get_color())) for line in groups}
    assert len(looks) == 15
    names = legend(cloth)
    assert names[0] == "seen in training"
    assert names[9] == "unseen"
    assert len(names) == 17


@pytest.mark.parametrize("num_unseen", [0, 30])
def test_a_legend_holds_what_fits_and_counts_the_rest(make_mixture, num_unseen):
    new = [f"new {i}" for i in range(num_unseen)]
    known = [f"known {i}" for i in range(20)]
    spaces = [build_space("cloth", known, new, np.random.default_rng(0))]
    names = legend(drawn(make_mixture(routing_space=spaces))["routing_space"].figure.axes[0])
    assert len(names) <= MOST_LISTED + 1
    assert (names[-1] == "and 12 more") == (num_unseen == 30)


def test_the_ablation_draws_a_mean_per_row_and_category_at_its_figure(make_mixture):
    results = make_mixture(baselines=[])
    left = drawn(results)["ablation"].figure.axes[0]
    large = [c.get_offsets()[0] for c in left.collections if c.get_sizes()[0] > 40]
    want = [row["image_auroc"]["mean"] for row in results["ablation"] if row["category"] != "metal"]
    assert sorted(float(x) for x, _ in large) == pytest.approx(sorted(want))
    rows = [text.get_text() for text in left.get_yticklabels()]
    assert rows[0] == "none"
    assert rows[-1] == "MoE + TTA + Norm"
    figure = drawn(results)["ablation"].figure
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cloth", "wafer"]


def test_of_too_many_categories_only_their_mean_is_drawn(make_mixture):
    many = {f"c{i}": (["a", "b"], 1) for i in range(MOST_COLOURED + 1)}
    results = make_mixture(subclasses=many, without_defects=())
    pictures = drawn(results)
    names = [text.get_text() for text in pictures["ablation"].figure.legends[0].get_texts()]
    assert names == [f"mean of {MOST_COLOURED + 1} categories"]
    at_two = [row["image_auroc"]["mean"] for row in results["top_k"] if row["k"] == 2]
    (line,) = pictures["top_k"].figure.axes[0].lines
    assert line.get_ydata()[1] == pytest.approx(np.mean(at_two))


def test_the_curves_say_where_a_shorter_one_ends(make_mixture):
    results = make_mixture()
    written = [text.get_text() for text in drawn(results)["top_k"].figure.axes[0].texts]
    last = {(row["category"], row["k"]): row["image_auroc"]["mean"] for row in results["top_k"]}
    assert written == [f"cloth  {last['cloth', 8]:.3f}", f"wafer  {last['wafer', 4]:.3f} at 4"]


def test_odd_names_in_a_mixture_are_drawn_as_they_stand(tmp_path, make_mixture):
    odd = {"$\\frac$": (["cost $5 and $6", "_under", "x" * 200], 1), "two\nlines": (["$", "b"], 1)}
    write_plots(tmp_path, draw_pictures(make_mixture(subclasses=odd, without_defects=()), None))
