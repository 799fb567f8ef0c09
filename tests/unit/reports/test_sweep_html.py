"""The HTML report of a sweep: its sections, escaped, self-contained, and only what was measured."""

import itertools
import re

import pytest

from eagleray.reports import write_report, write_results
from tests.unit.reports.sweep_results import build_sweep, without_figures
from tests.unit.reports.test_html import HOSTILE, Page

SECTIONS = ["points", "classes", "configuration", "trials", "run"]


@pytest.fixture
def no_plots(monkeypatch):
    monkeypatch.setattr("eagleray.reports.html.draw_pictures", lambda results, scores: [])


def report(out, results):
    write_results(out, results)
    return Page(write_report(out).read_text(encoding="utf-8"))


def sections(page):
    return [section["aria-labelledby"] for section in page.all("section")]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    write_results(out, build_sweep(stopped={(0, 0, 0)}, warnings=["one class was left out"]))
    return write_report(out).read_text(encoding="utf-8")


@pytest.fixture
def page(text):
    return Page(text)


def test_the_report_of_a_sweep_has_its_sections_and_links_to_each(page):
    assert sections(page) == SECTIONS
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("img")) == 5
    assert all(image["alt"] for image in page.all("img"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_the_report_of_a_sweep_loads_nothing_from_anywhere(text, page):
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("data:image/", "#"))
    assert not re.search(r"url\(|@import|<link|https?://", text)
    assert "Content-Security-Policy" in text


def test_the_figures_of_a_sweep_stand_in_the_page(page):
    results = build_sweep(stopped={(0, 0, 0)})
    best = results["points"][2]["image_auroc"]
    for fact in (
        "Number of experts: 3 points, 2 class orders, 2 seeds",
        "Generated demo data, not a benchmark",
        f"{best['lowest']:.3f}..{best['highest']:.3f}",
        "grid, screw, carpet",
        "1 of 12 trials was stopped",
        "one class was left out",
        "mecad.rows_per_expert",
        "from results.json alone",
    ):
        assert fact in page.text


def test_trials_fold_away_where_they_are_many(no_plots, tmp_path):
    few = report(tmp_path, build_sweep()).all("details")
    many = report(tmp_path, build_sweep(values=range(1, 9))).all("details")
    assert ["open" in fold for fold in few] == [True, False]  # the trials, and the configuration
    assert ["open" in fold for fold in many] == [False, False]


def test_hostile_names_in_a_sweep_are_shown_and_not_run(tmp_path):
    results = build_sweep(names=(HOSTILE, "plain"), warnings=[HOSTILE], command=HOSTILE, preset=HOSTILE)
    page = report(tmp_path, results)
    assert len(page.all("script")) == 1
    assert page.text.count(HOSTILE) == 3 + 2  # warning, command, preset; the orders


def test_a_sweep_without_figures_is_whole_and_claims_nothing(tmp_path):
    page = report(tmp_path, without_figures(build_sweep()))
    assert sections(page) == ["points", "configuration", "trials", "run"]
    assert "No image AUROC could be measured" in page.text
    for word in ("Best mean", "Least forgetting", "merit", "stops rising"):
        assert word not in page.text


def test_a_space_has_the_scatter_and_its_settings(tmp_path):
    page = report(tmp_path, build_sweep("space"))
    plots = [figure["id"] for figure in page.all("figure")]
    assert plots[:2] == ["plot-merit", "plot-sweep_classes"]
    assert "Every trial, by merit" in page.text
    assert "similarity threshold" in page.text


def test_thirty_classes_with_long_names_and_sixteen_points(no_plots, tmp_path):
    names = tuple(f"production line {number} with a very long product name" for number in range(30))
    page = report(tmp_path, build_sweep(values=range(1, 17), names=names, num_orders=3))
    assert all(page.text.count(name) == 3 for name in names)
    assert page.text.count("complete") == 96 + 2  # trials; the verdict and the caption of the points
