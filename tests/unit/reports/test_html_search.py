"""The HTML report of adnas_search: its sections, escaped, self-contained, and only what was measured."""

import re

import pytest

from eagleray.reports import write_report
from tests.unit.reports.test_html import HOSTILE, Page

SECTIONS = ["classes", "fusion", "modalities", "cells", "searches", "speed", "shots", "examples", "run"]
TWO = {"bagel": 0.9, "tire": 0.8}


@pytest.fixture
def no_plots(monkeypatch):
    monkeypatch.setattr("eagleray.reports.html.draw_pictures", lambda results, scores: [])


@pytest.fixture
def page(search_report):
    return Page((search_report / "report.html").read_text())


def report(out):
    return Page(write_report(out).read_text(encoding="utf-8"))


def sections(page):
    return [section["aria-labelledby"] for section in page.all("section")]


def test_the_report_of_a_search_has_its_sections_and_links_to_each(page):
    assert sections(page) == SECTIONS
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert len(page.all("caption")) == len(page.all("table"))
    plots = [figure["id"] for figure in page.all("figure") if "id" in figure]
    assert plots == ["plot-scores", "plot-genotype", "plot-alphas", "plot-pareto"]


def test_the_report_of_a_search_loads_nothing_from_anywhere(search_report):
    text = (search_report / "report.html").read_text()
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("data:image/", "#"))
    assert not re.search(r"url\(|@import|<link|https?://", text)


def test_a_search_speaks_of_neither_a_stream_nor_experts(page):
    for word in ("orgetting", "Step average", "After the last step", "xpert", "ubclass", "Bank rows", "Routing"):
        assert word not in page.text


def test_the_figures_of_a_search_stand_in_the_page(page, make_search):
    results = make_search()
    best = results["searches"][2]
    for fact in (
        "10 categories, colour and depth, best of 28 searches",
        "Figures of the fusion that was kept, darts-2",
        f"{best['peak_mb']:,.0f} MB",
        f"of maps at its peak, beside {best['weights_mb']:,.0f} MB of weights",
        "What depth adds",
    ):
        assert fact in page.text


def test_a_table_with_many_columns_is_marked_wide_and_one_with_few_is_not(page):
    wide = [table["class"] for table in page.all("table") if table.get("class", "").startswith("grid")]
    assert wide == ["grid wide", "grid wide", "grid", "grid", "grid", "grid wide"]


def test_hostile_names_in_a_search_are_shown_and_not_run(make_search, make_run):
    results = make_search(categories={HOSTILE: 0.9, "plain": 0.8}, num_epochs=2)
    results["searches"][0]["method"] = HOSTILE
    results["classes"][HOSTILE] |= {"aupro": None, "reasons": {"aupro": HOSTILE}}
    page = report(make_run(results))
    assert len(page.all("script")) == 1
    assert page.text.count(HOSTILE) >= 8


def test_what_a_search_did_not_measure_has_no_section(no_plots, make_search, make_run):
    results = make_search(categories=TWO, searches=[], kept=None, modalities=[])
    del results["shots"]
    page = report(make_run(results, kinds=()))
    assert sections(page) == ["classes", "run"]
    for word in ("Against random", "What depth adds", "Frames per second", "best of"):
        assert word not in page.text
