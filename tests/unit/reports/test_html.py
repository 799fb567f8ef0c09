"""The HTML report: self-contained, escaped, and whole whatever is missing."""

import base64
import hashlib
import io
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from eagleray.errors import ResultsError
from eagleray.reports import write_report, write_results, write_scores

HOSTILE = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects the elements of a page, and checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def no_plots(monkeypatch):
    """Leaves the plots out: drawing is most of a report's time and most tests look at words."""
    monkeypatch.setattr("eagleray.reports.html.draw_pictures", lambda results, scores: [])


def report(out):
    path = write_report(out)
    assert path == out / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_the_report_loads_nothing_from_anywhere(whole_report):
    text = (whole_report / "report.html").read_text()
    page = Page(text)
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/", "#")), attributes[name][:80]
    assert not re.search(r"url\(|@import|<link|https?://", text)


def test_every_picture_is_embedded_with_words_and_plots_lie_beside_the_report(whole_report):
    images = Page((whole_report / "report.html").read_text()).all("img")
    assert len(list((whole_report / "plots").glob("*.png"))) == 6
    assert len(images) == 6 + 2 * 3 + 2 * 2  # plots; picture, heat map and, where there is a defect, mask
    for image in images:
        assert image["alt"]
        content = base64.b64decode(image["src"].split(",", 1)[1])
        with Image.open(io.BytesIO(content)) as picture:
            assert np.asarray(picture).std() > 0


def test_hostile_strings_are_shown_and_not_run(no_plots, make_results, make_run):
    results = make_results(names=(HOSTILE, "plain"), preset=HOSTILE, command=HOSTILE, warnings=[HOSTILE])
    results["config"] = {HOSTILE: HOSTILE}
    results["stream"][0]["skipped"] = [{"path": HOSTILE, "reason": HOSTILE}]
    results["classes"][HOSTILE] |= {"aupro": None, "reasons": {"aupro": HOSTILE}}
    results["controls"][HOSTILE] = results["controls"]["routed"] | {"note": HOSTILE}
    page = report(make_run(results))
    assert len(page.all("script")) == 1
    assert page.text.count(HOSTILE) >= 10


def test_the_policy_allows_exactly_our_script(no_plots, make_results, make_run):
    text = write_report(make_run(make_results())).read_text()
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text


def test_demo_data_carry_a_banner_and_real_data_do_not(no_plots, make_results, make_run):
    assert "Generated demo data, not a benchmark" in report(make_run(make_results())).text
    real = make_results(data={"source": "/data/mvtec", "generated": False})
    assert "not a benchmark" not in report(make_run(real)).text


def test_headings_descend_and_tables_have_captions(whole_report):
    page = Page((whole_report / "report.html").read_text())
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    anchors = {link["href"][1:] for link in page.all("a")}
    assert anchors <= {attributes["id"] for _, attributes in page.elements if "id" in attributes}


def test_the_run_can_be_read_from_the_page(no_plots, make_results, make_run):
    results = make_results(command="python jobs/mecad_stream.py --seed 0", warnings=["one image was skipped"])
    results["stream"][1]["skipped"] = [{"path": "grid/train/good/7.png", "reason": "truncated"}]
    text = report(make_run(results)).text
    for fact in (results["command"], *results["warnings"], "grid/train/good/7.png", "truncated", "05a3390"):
        assert fact in text
    for fact in ("mecad.rows_per_class", "2.60.0", "812 MB", "not flagged", "3 of 20", "Experts must beat it"):
        assert fact in text


def test_a_missing_figure_is_a_dash_with_its_reason(no_plots, make_results, make_run):
    results = make_results()
    results["classes"]["grid"] |= {"aupro": None, "reasons": {"aupro": "no masks"}}
    assert "no AUPRO for grid: no masks" in report(make_run(results)).text


def test_a_removed_class_is_named(no_plots, make_results, make_run):
    text = report(make_run(make_results(ops=(("remove", "grid"),)))).text
    assert "removed during the stream: grid" in text


@pytest.mark.parametrize("names", [("only",), tuple(f"product {i}" for i in range(100))])
def test_one_class_or_a_hundred(no_plots, make_results, make_run, names):
    page = report(make_run(make_results(names=names, num_experts=8), kinds=()))
    assert all(name in page.text for name in names)
    assert "Test images" not in page.text


def test_no_defects_and_no_controls(no_plots, make_results, make_run, drop_defects):
    text = report(make_run(drop_defects(make_results()), kinds=("false_alarm", "quiet"))).text
    assert "no detection figure can be measured" in text
    assert "Missed defects" not in text


def test_no_stream_at_all(no_plots, make_results, make_run):
    text = report(make_run(make_results(stream=[], matrix=[], step_average=None))).text
    assert "step by step" not in text


def test_missing_scores_and_missing_pictures_leave_gaps(make_results, make_run):
    out = make_run(make_results(), scores=False, kinds=("missed", "hit"))
    (out / "examples" / "000_image.png").unlink()
    (out / "examples" / "001_heatmap.png").write_text("not a picture")
    page = report(out)
    assert page.text.count("file is missing") == 2
    assert "Scores of good and defective images" not in page.text


def test_scores_of_some_classes_only(tmp_path, make_results, make_scores):
    results = make_results()
    write_results(tmp_path, results)
    write_scores(tmp_path, make_scores(results).slice(0, 10))
    assert "Scores of good and defective images" in report(tmp_path).text


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ResultsError, match="no such file"):
        write_report(tmp_path)


def test_twenty_classes_with_every_plot(make_results, make_run):
    page = report(make_run(make_results(names=tuple(f"product {i}" for i in range(20)), num_experts=8), kinds=()))
    assert len(page.all("img")) == 6


def test_the_same_results_give_the_same_report(whole_report):
    first = (whole_report / "report.html").read_bytes()
    assert write_report(whole_report).read_bytes() == first
