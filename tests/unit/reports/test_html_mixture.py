"""The HTML report of adapted_moe: its sections, escaped, self-contained, and only what was measured."""

import re

import pytest

from eagleray.reports import write_report
from tests.unit.reports.test_html import HOSTILE, Page

SECTIONS = ["classes", "subclasses", "ablation", "baselines", "routing", "evidence", "examples", "run"]


@pytest.fixture
def no_plots(monkeypatch):
    monkeypatch.setattr("eagleray.reports.html.draw_pictures", lambda results, scores: [])


def report(out):
    return Page(write_report(out).read_text(encoding="utf-8"))


def sections(page):
    return [section["aria-labelledby"] for section in page.all("section")]


def test_the_report_of_a_mixture_has_its_sections_and_links_to_each(mixture_report):
    page = Page((mixture_report / "report.html").read_text())
    assert sections(page) == SECTIONS
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert len(page.all("caption")) == len(page.all("table"))
    plots = [figure["id"] for figure in page.all("figure") if "id" in figure]
    assert plots == ["plot-scores", "plot-routing_space", "plot-ablation", "plot-top_k"]


def test_the_report_of_a_mixture_loads_nothing_from_anywhere(mixture_report):
    text = (mixture_report / "report.html").read_text()
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("data:image/", "#"))
    assert not re.search(r"url\(|@import|<link|https?://", text)


def test_a_mixture_speaks_of_no_stream(mixture_report):
    text = Page((mixture_report / "report.html").read_text()).text
    for word in ("orgetting", "Step average", "After the last step", "another class's expert"):
        assert word not in text


def test_the_figures_of_a_mixture_stand_in_the_page(no_plots, make_mixture, make_run):
    results = make_mixture()
    row = results["ablation"][-2]  # wafer with every part
    first = results["ablation"][1]
    page = report(make_run(results))
    for fact in ("3 categories, 15 experts, 12 unseen subclasses", "Means on unseen subclasses", "15 seen, 12 unseen"):
        assert fact in page.text
    mean, std = row["pixel_auroc"]["mean"], row["pixel_auroc"]["std"]
    assert f"{mean:.3f} ±{std:.3f}{mean - first['pixel_auroc']['mean']:+.3f}" in page.text
    assert "no P-AUROC, I-AUROC for metal: no defective test images" in page.text


def test_hostile_names_in_a_mixture_are_shown_and_not_run(make_mixture, make_run):
    results = make_mixture(subclasses={HOSTILE: ([HOSTILE, "plain"], 1)}, without_defects=())
    results["evidence"][0]["candidate"] = HOSTILE
    results["baselines"][0]["name"] = HOSTILE
    results["subclasses"][0] |= {"aupro": None, "reasons": {"aupro": HOSTILE}}
    page = report(make_run(results))
    assert len(page.all("script")) == 1
    assert page.text.count(HOSTILE) >= 20


def test_an_example_names_its_subclass(no_plots, make_mixture, make_run, example, tmp_path):
    results = make_mixture()
    example(tmp_path, results, "hit", "cloth")
    results["examples"][0]["subclass"] = "cloth_new_3"
    page = report(make_run(results, kinds=("missed",)))
    assert "cloth / cloth_new_3" in page.text
    assert "threshold of its category" in page.text


def test_what_was_not_measured_has_no_section(no_plots, make_mixture, make_run):
    results = make_mixture(ablation=[], losses=[], top_k=[], evidence=[], routing_space=[])
    page = report(make_run(results, kinds=()))
    assert sections(page) == ["classes", "subclasses", "baselines", "run"]
    assert "Against SimpleNet" not in page.text


def test_fifteen_categories_of_a_mixture(no_plots, make_mixture, make_run):
    many = {f"product {i}": (["a", "b"], 1) for i in range(15)}
    page = report(make_run(make_mixture(subclasses=many), kinds=()))
    assert all(name in page.text for name in many)
