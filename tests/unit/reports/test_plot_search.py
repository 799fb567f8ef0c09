"""Pictures of adnas_search: drawn from the figures, legible, and absent where there is nothing to draw."""

import itertools

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text
from PIL import Image

from eagleray.reports.canvas import BLUE, INK, ORANGE, PURPLE
from eagleray.reports.plot_alphas import alphas
from eagleray.reports.plot_genotype import genotype_graph
from eagleray.reports.plot_pareto import Point, front, pareto
from eagleray.reports.plots import draw_pictures
from tests.unit.reports.search_results import FOUND, cell, genotype

SEARCH = ["genotype", "alphas", "pareto"]
TWO = {"bagel": 0.9, "tire": 0.8}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def graph(results, **cells):
    return genotype_graph(results | {"genotype": genotype(**cells)}).axes[0]


def arrows(axes):
    return [to_hex(patch.get_edgecolor()) for patch in axes.patches if isinstance(patch, FancyArrowPatch)]


def panel(figure, title):
    """The panels with that title, one per cell."""
    return [axes for axes in figure.axes if title in texts(axes)]


def thick(axes):
    return [line for line in axes.lines if line.get_linewidth() > 2]


def test_every_picture_of_a_search_decodes_and_shows_something(search_report):
    files = {path.stem: path for path in (search_report / "plots").iterdir()}
    assert sorted(files) == sorted(["scores", *SEARCH])
    for path in files.values():
        with Image.open(path) as image:
            assert image.width > 600
            pixels = np.asarray(image.convert("RGB"))[::3, ::3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
        assert 0.005 < (pixels < 250).any(axis=2).mean() < 0.9


def test_no_other_job_has_a_picture_of_a_search(make_results, make_mixture, make_search):
    added = {key: make_search(categories=TWO, num_epochs=2)[key] for key in ("genotype", "searches", "candidates")}
    stream = draw_pictures(make_results(names=("grid",), controls={}) | added, None)
    mixture = draw_pictures(make_mixture(ablation=[], baselines=[], top_k=[], routing_space=[]) | added, None)
    assert not set(SEARCH) & {picture.name for picture in [*stream, *mixture]}


def test_a_search_without_figures_draws_its_fusion_alone(make_search):
    results = make_search(searches=[], kept=None, modalities=[])
    (picture,) = draw_pictures(results, None)
    assert picture.name == "genotype"
    assert "early cell: colour early 0 and depth early 1 by add, then GLU" in picture.alt


def test_the_graph_names_features_operations_and_cells_and_ends_in_the_head(make_search):
    axes = genotype_graph(make_search()).axes[0]
    written = texts(axes)
    for name in ("colour early 0", "depth early 1", "colour middle 1", "depth late 0", "head"):
        assert written.count(name) == 1
    for name in ("early cell", "middle cell", "late cell"):
        assert written.count(name) == 1
    assert sorted(written.count(name) for name in ("add", "GLU", "attention", "concat")) == [1, 1, 2, 2]
    # An arrow for each input of each node, and one into the head.
    assert len(arrows(axes)) == 13
    assert {ORANGE, BLUE, PURPLE, INK} == set(arrows(axes))
    # Every node but the last of its cell has a line below the others to the cell's output.
    assert sum(len(line.get_xdata()) == 4 and line.get_ydata()[0] > line.get_ydata()[1] for line in axes.lines) == 3


def test_a_left_out_cell_is_not_drawn(make_search):
    axes = graph(make_search(), early=FOUND["cells"]["early"])
    assert "early cell" in texts(axes)
    assert not {"middle cell", "late cell"} & set(texts(axes))
    assert "head" in texts(axes)
    assert len(arrows(axes)) == 5


def test_arrows_have_the_colour_of_what_they_bring(make_search):
    axes = graph(make_search(), late=cell(("color.late.0", "depth.late.1"), ("glu", 0, 0), ("add", 2, 1)))
    assert arrows(axes) == [ORANGE, ORANGE, INK, BLUE, PURPLE]
    boxes = {text.get_text(): text.get_position() for text in axes.texts}
    colours = {
        to_hex(patch.get_facecolor()): patch.get_bbox()
        for patch in axes.patches
        if isinstance(patch, FancyBboxPatch) and to_hex(patch.get_facecolor()) in (ORANGE, BLUE)
    }
    assert colours[ORANGE].contains(*boxes["colour late 0"])
    assert colours[BLUE].contains(*boxes["depth late 1"])


def test_a_feature_that_no_node_takes_says_so(make_search):
    assert "taken by no node" not in texts(genotype_graph(make_search()).axes[0])
    axes = graph(make_search(), late=cell(("color.late.0", "depth.late.1"), ("glu", 0, 0)))
    assert texts(axes).count("taken by no node") == 1


def test_no_two_boxes_of_the_graph_meet_and_all_are_on_the_sheet(make_search):
    cells = {
        "early": cell(("color.early.0", "depth.early.1"), ("add", 0, 1), ("glu", 0, 2), ("concat", 2, 3)),
        "middle": cell(("cell.early", "depth.middle.1"), ("add", 0, 1), ("glu", 1, 2)),
        "late": cell(("cell.middle", "cell.early"), ("attention", 0, 1), ("add", 0, 1)),
    }
    axes = graph(make_search(), **cells)
    extents = [p.get_bbox() for p in axes.patches if isinstance(p, FancyBboxPatch) and p.get_zorder() == 3]
    assert len(extents) == 2 + 1 + 7 + 1
    for one, other in itertools.combinations(extents, 2):
        assert not one.overlaps(other)
    for extent in extents:
        assert axes.get_xlim()[0] < extent.x0 < extent.x1 < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < extent.y0 < extent.y1 < axes.get_ylim()[1]


def test_the_chosen_candidate_of_every_choice_is_strong_and_named(make_search):
    results = make_search(categories=TWO, num_epochs=6)
    figure = alphas(results)
    assert len(figure.axes) == 1 + 3 * (2 + 2 * 3)
    early, middle, late = panel(figure, "node 1, operation")
    for axes, name, number in ((early, "add", 0), (middle, "attention", 3), (late, "GLU", 2)):
        (line,) = thick(axes)
        history = results["searches"][2]["history"]
        where = {early: "early", middle: "middle", late: "late"}[axes]
        assert list(line.get_ydata()) == [epoch["alphas"][f"{where}.ops"][0][number] for epoch in history]
        assert [text.get_text() for text in axes.texts if text.get_weight() == "bold"] == [name]
    features = figure.axes[1 + 8 : 1 + 8 + 2]  # of the middle cell
    assert [to_hex(thick(axes)[0].get_color()) for axes in features] == [PURPLE, ORANGE]


def test_the_alphas_of_a_cell_that_was_left_out_are_all_quiet(make_search):
    results = make_search(categories=TWO, num_epochs=6)
    kept = genotype(late=cell(("color.late.0", "depth.late.0"), ("add", 0, 1), ("glu", 0, 2)))
    results["searches"][2]["genotype"] = kept
    figure = alphas(results | {"genotype": kept})
    early, _, late = panel(figure, "node 1, operation")
    assert not thick(early)
    assert len(thick(late)) == 1
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "early cell (left out)" in titles
    assert "late cell" in titles


def test_a_dotted_line_marks_the_epoch_that_the_fusion_is_of(make_search):
    results = make_search(categories=TWO, num_epochs=6)
    results["searches"][2]["step"] = 3
    for axes in alphas(results).axes:
        (dotted,) = (line for line in axes.lines if line.get_linestyle() == ":")
        assert set(dotted.get_xdata()) == {3}


def test_the_merit_has_a_dot_at_every_change_of_the_genotype(make_search):
    results = make_search(categories=TWO, num_epochs=10)
    history = results["searches"][2]["history"]
    for number, epoch in enumerate(history):
        epoch["genotype_changed"] = number in (2, 5)
    dots = alphas(results).axes[0].lines[1]
    assert list(dots.get_xdata()) == [2, 5]
    assert list(dots.get_ydata()) == [history[2]["merit"], history[5]["merit"]]


def test_without_a_search_by_gradient_there_are_no_alphas(make_search):
    results = make_search(categories=TWO, num_epochs=2)
    assert alphas(results) is not None
    for search in results["searches"]:
        search["history"] = search["history"][:1]  # of one epoch there is no line to draw
    assert alphas(results) is None
    for search in results["searches"]:
        search["history"] = []
    assert alphas(results) is None


@pytest.mark.parametrize(("better", "names"), [(1.0, ["fast", "best"]), (-1.0, ["slow", "best"])])
def test_the_front_holds_the_points_that_none_beats_in_both(better, names):
    points = [
        Point(name, cost, auroc, [cost], [auroc])
        for name, cost, auroc in (("fast", 9.0, 0.7), ("beaten", 4.0, 0.8), ("best", 5.0, 0.9), ("slow", 1.0, 0.6))
    ]
    points.append(Point("twin", 5.0, 0.85, [5.0], [0.85]))
    if better < 0:
        points = [point for point in points if point.method != "beaten"]
    assert [point.method for point in front(points, better)] == names


def test_every_method_is_a_labelled_point_at_its_means_and_the_front_is_bold(make_search):
    results = make_search(categories=TWO, num_epochs=2)
    for number, search in enumerate(search for search in results["searches"] if search["method"] == "depth"):
        search |= {"frames_per_s": 100.0 + number, "image_auroc": 0.99 + 0.001 * number, "peak_mb": 1.0}
    for axes, x in zip(pareto(results).axes, (101.0, 1.0), strict=True):
        assert len(axes.texts) == len({text.get_text() for text in axes.texts}) == 12
        bold = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
        assert bold == ["Depth alone"]
        dots = [c for c in axes.collections if isinstance(c, PathCollection) and c.get_sizes()[0] > 40]
        large = [dot.get_offsets()[0].tolist() for dot in dots]
        assert [x, pytest.approx(0.991)] in large
        assert len(large) == 12


def test_labels_of_crowded_points_hide_neither_each_other_nor_a_point(make_search):
    figure = pareto(make_search())
    figure.draw_without_rendering()
    for axes in figure.axes:
        extents = [Text.get_window_extent(text) for text in axes.texts]  # of the words alone, without their leaders
        for one, other in itertools.combinations(extents, 2):
            assert not one.overlaps(other)
        points = axes.transData.transform([text.xy for text in axes.texts])
        assert not any(extent.contains(*point) for extent in extents for point in points)


def test_methods_without_an_image_auroc_are_no_points(make_search):
    assert pareto(make_search(categories=TWO, without_defects=tuple(TWO))) is None
    results = make_search(categories=TWO, num_epochs=2)
    for search in results["searches"]:
        if search["method"] not in ("darts", "random"):
            search["image_auroc"] = None
    assert sorted(texts(pareto(results).axes[0])) == ["DARTS", "Random search"]


def test_odd_method_names_are_drawn_as_they_stand(tmp_path, make_search):
    results = make_search(categories=TWO, num_epochs=2)
    for search in results["searches"][:6]:
        search["method"] = f"$\\frac$ {search['method']} cost $5"
    pareto(results).savefig(tmp_path / "odd.png")
