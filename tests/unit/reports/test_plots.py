"""The pictures: drawn from the figures, decodable, never empty, and absent where there is nothing to draw."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from eagleray.reports.canvas import spread
from eagleray.reports.plot_scores import classes_with_scores
from eagleray.reports.plot_stream import change_since_learned
from eagleray.reports.plots import draw_pictures, write_plots

ALL = ["auroc_by_step", "forgetting", "shared_experts", "rows_per_expert", "scores", "controls"]


def texts(picture):
    return [text.get_text() for axes in picture.figure.axes for text in axes.texts]


def drawn(results, scores):
    return {picture.name: picture for picture in draw_pictures(results, scores)}


def test_every_picture_decodes_and_shows_something(tmp_path, make_results, make_scores):
    results = make_results(ops=(("update", "grid"), ("remove", "bottle")))
    files = write_plots(tmp_path, draw_pictures(results, make_scores(results)))
    assert list(files) == ALL
    for file in files.values():
        with Image.open(file) as picture:
            assert picture.width > 600
            pixels = np.asarray(picture.convert("RGB"))[::3, ::3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
        assert 0.005 < (pixels < 250).any(axis=2).mean() < 0.9


def test_every_picture_has_words(make_results, make_scores):
    results = make_results()
    for picture in draw_pictures(results, make_scores(results)):
        assert picture.title
        assert picture.caption
        assert len(picture.alt) > 20


def test_the_heat_map_writes_each_figure_up_to_fifteen_classes(make_results):
    few = make_results()
    written = texts(drawn(few, None)["auroc_by_step"])
    assert sorted(written) == sorted(f"{value:.3f}" for row in few["matrix"] for value in row if value is not None)
    many = make_results(names=tuple(f"c{i}" for i in range(16)))
    assert texts(drawn(many, None)["auroc_by_step"]) == []


def test_a_removed_class_is_marked_as_gone(make_results):
    assert "gone" in texts(drawn(make_results(ops=(("remove", "grid"),)), None)["auroc_by_step"])


def test_change_since_learned_by_hand(make_results):
    results = make_results(names=("a", "b"), ops=(("remove", "a"), ("learn", "a"), ("update", "a")))
    results["matrix"] = [[0.9, None], [0.8, 0.7], [None, 0.75], [0.6, 0.7], [0.5, 0.7]]
    nan = np.nan
    expected = [[nan, nan], [-0.1, nan], [nan, 0.05], [nan, 0.0], [-0.1, 0.0]]
    np.testing.assert_allclose(change_since_learned(results), expected, atol=1e-12)


def test_chips_tell_which_class_opened_its_expert(make_results):
    results = make_results(names=("a", "b", "c"), num_experts=2)
    written = texts(drawn(results, None)["shared_experts"])
    joined = f"{results['stream'][2]['similarities']['0']:.2f}"
    assert written[:6] == ["Expert 0", "2 classes, 800 rows", "a", "new", "c", joined]
    assert written[6:] == ["Expert 1", "1 class, 400 rows", "b", "new"]


def test_one_class_draws_only_what_it_can(make_results, make_scores):
    results = make_results(names=("only",))
    assert list(drawn(results, make_scores(results))) == ["shared_experts", "scores", "controls"]


def test_without_defects_there_is_no_auroc_picture(make_results, make_scores, drop_defects):
    results = drop_defects(make_results())
    assert list(drawn(results, make_scores(results))) == ["shared_experts", "rows_per_expert", "scores"]


def test_no_stream_and_no_scores_draw_nothing_of_them(make_results, make_scores):
    results = make_results(stream=[], matrix=[])
    assert list(drawn(results, None)) == ["controls"]
    assert "scores" not in drawn(results, make_scores(results).slice(0, 0))


def test_one_class_without_scores_is_left_out(make_results, make_scores):
    results = make_results()
    scores = make_scores(results)
    some = scores.filter(np.array(scores["class"].to_pylist()) != "grid")
    assert classes_with_scores(results, some) == ["bottle", "screw"]


def test_strong_dots_are_the_mistakes_as_flagged(make_results, make_scores):
    results = make_results(names=("only",))
    scores = make_scores(results, num_images=5)
    flagged = [True, False, False, False, False, True, True, True, False, False]  # as if some were misrouted
    scores = scores.set_column(scores.column_names.index("flagged"), "flagged", pa.array(flagged))
    dots = [len(c.get_offsets()) for c in drawn(results, scores)["scores"].figure.axes[0].collections]
    assert dots == [4, 1, 3, 2]  # good left alone, false alarm, defect found, defect missed


def test_of_many_classes_the_worst_are_shown(make_results, make_scores):
    results = make_results(names=tuple(f"c{i}" for i in range(40)))
    shown = classes_with_scores(results, make_scores(results, num_images=1))
    auroc = {name: values["image_auroc"] for name, values in results["classes"].items()}
    assert shown == sorted(auroc, key=auroc.__getitem__)[:30]


@pytest.mark.filterwarnings("ignore:Glyph")  # the font that matplotlib carries has no Japanese
def test_odd_names_are_drawn_as_they_stand(tmp_path, make_results, make_scores):
    results = make_results(names=("cost $5 and $6", "$\\frac$", "_under", "日本", "x" * 200, "two\nlines"))
    write_plots(tmp_path, draw_pictures(results, make_scores(results, num_images=2)))


def test_spread_labels_keep_their_order_and_distance():
    moved = spread([0.0, 0.1, 0.05, 5.0], 1.0)
    assert np.argsort(moved).tolist() == [0, 2, 1, 3]
    assert np.diff(np.sort(moved)).min() >= 1.0 - 1e-12
