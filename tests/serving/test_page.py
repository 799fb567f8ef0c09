"""The page at /, in a real browser against a real service. Needs Debian's chromium beside Playwright's package."""

import base64
import csv
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
POLICY = re.compile(r"default-src 'self'; ?img-src 'self' data: blob:")
MODEL = "**/v1/model"
STATS = "**/v1/stats"
SCORE = "**/v1/score*"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail("no Chromium for the page's tests: apt-get update && apt-get install -y chromium", pytrace=False)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, headless=True, args=QUIET)
        yield started
        started.close()


@contextmanager
def opened(browser, url: str) -> Iterator[Page]:
    """The page, loaded, in a fresh session; `heard` on it has the requests made and what the console complained of."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.set_default_timeout(15_000)
    page.heard = {"requests": [], "complaints": []}
    page.on("request", lambda request: page.heard["requests"].append(request.url))
    page.on("pageerror", lambda error: page.heard["complaints"].append(str(error)))
    page.on("console", lambda said: said.type in ("error", "warning") and page.heard["complaints"].append(said.text))
    page.goto(url)
    expect(page.locator("#state")).to_have_text("ready", timeout=15_000)
    yield page
    page.context.close()


@pytest.fixture
def browser_page(browser, service_url):
    with opened(browser, service_url) as page:
        yield page


def choose(page: Page, *files) -> None:
    page.locator("#files").set_input_files(list(files))


def card(page: Page, name: str):
    return page.locator(".card").filter(has_text=name)


def expect_verdict(page: Page, path: Path, words: str) -> None:
    expect(card(page, path.name).locator(".verdict")).to_have_text(words, timeout=20_000)


def copies(path: Path, number: int) -> list[dict]:
    return [{"name": f"{i}.png", "mimeType": "image/png", "buffer": path.read_bytes()} for i in range(number)]


def ask(service_url: str, path: str):
    with urllib.request.urlopen(service_url.rstrip("/") + path, timeout=10) as answer:
        return answer.headers, answer.read().decode()


def refuse(route, status: int, detail: str, **headers: str) -> None:
    problem = {"type": "about:blank", "title": "refused", "status": status, "detail": detail, "request_id": "1"}
    route.fulfill(status=status, headers=headers, content_type="application/problem+json", body=json.dumps(problem))


def tab_to(page: Page, selector: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.locator(f"{selector}:focus").count():
            return
    raise AssertionError(f"the Tab key never reaches {selector}")


def test_chosen_pictures_get_their_verdicts_in_words(browser_page, pictures):
    choose(browser_page, *pictures.values())
    expect_verdict(browser_page, pictures["good"], "good")
    expect_verdict(browser_page, pictures["defective"], "anomalous")
    expect_verdict(browser_page, pictures["unknown"], "unknown product")
    totals = [re.sub(r"\s+", " ", text) for text in browser_page.locator("#filter span").all_inner_texts()]
    assert totals == ["3 in all", "1 good", "1 anomalous", "1 unknown", "0 failed"]


def test_dropped_pictures_are_scored_like_chosen_ones(browser_page, pictures):
    dropped = browser_page.evaluate_handle(
        """([name, base64]) => {
          const transfer = new DataTransfer();
          const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          transfer.items.add(new File([bytes], name, { type: "image/png" }));
          return transfer;
        }""",
        [pictures["defective"].name, base64.b64encode(pictures["defective"].read_bytes()).decode()],
    )
    browser_page.dispatch_event("body", "dragover", {"dataTransfer": dropped})
    expect(browser_page.locator("#drop")).to_be_visible()
    browser_page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    expect(browser_page.locator("#drop")).to_be_hidden()
    expect_verdict(browser_page, pictures["defective"], "anomalous")


def test_the_slider_fades_the_heat_map_by_keyboard(browser_page, pictures):
    choose(browser_page, pictures["defective"])
    expect_verdict(browser_page, pictures["defective"], "anomalous")
    card(browser_page, pictures["defective"].name).click()
    slider = browser_page.get_by_label("Heat map", exact=True)
    heat = browser_page.locator("#view-heat")
    slider.focus()
    expect(heat).to_have_css("opacity", "1")
    slider.press("ArrowLeft")
    expect(heat).to_have_css("opacity", "0.95")
    slider.press("Home")
    expect(heat).to_have_css("opacity", "0")
    sizes = heat.evaluate(
        "(heat) => [heat, document.querySelector('#view-picture')].map((i) => [i.naturalWidth, i.width])"
    )
    assert sizes[0] == sizes[1], "the heat map does not lie on the picture"


def test_the_keyboard_alone_leads_from_load_to_the_large_view_and_back(browser_page, pictures):
    with browser_page.expect_file_chooser() as chooser:
        tab_to(browser_page, "#files")
        browser_page.keyboard.press("Enter")
    chooser.value.set_files([pictures["good"], pictures["defective"]])
    expect_verdict(browser_page, pictures["defective"], "anomalous")
    tab_to(browser_page, ".card")
    browser_page.keyboard.press("ArrowRight")
    second = card(browser_page, pictures["defective"].name)
    expect(second).to_be_focused()
    expect(second).to_have_attribute("aria-selected", "true")
    browser_page.keyboard.press("Enter")
    expect(browser_page.get_by_role("dialog")).to_contain_text(pictures["defective"].name)
    expect(browser_page.locator("#fade")).to_be_focused()
    browser_page.keyboard.press("Escape")
    expect(browser_page.get_by_role("dialog")).to_be_hidden()
    expect(second).to_be_focused()


def test_every_class_and_expert_of_the_model_is_listed(browser_page, service_url):
    model = json.loads(ask(service_url, "/v1/model")[1])
    names = [row["name"] for row in model["categories"]]
    assert browser_page.locator("#classes th").all_inner_texts() == names
    assert browser_page.locator("#product option").all_inner_texts() == ["decide from the picture", *sorted(names)]
    expect(browser_page.locator("#model-title")).to_have_text(f"Model {model['model_version']}")
    for expert, line in zip(model["experts"], browser_page.locator("#experts li").all_inner_texts(), strict=True):
        assert ", ".join(expert["categories"]) in line


def test_nothing_leaves_the_origin_and_the_console_stays_silent(browser_page, pictures, service_url):
    choose(browser_page, *pictures.values())
    expect_verdict(browser_page, pictures["defective"], "anomalous")
    expect(browser_page.locator("#progress.done")).to_be_attached(timeout=20_000)
    card(browser_page, pictures["defective"].name).click()
    expect(browser_page.locator("#view-heat")).to_be_visible()
    asked = [urlsplit(url) for url in browser_page.heard["requests"]]
    assert {url.netloc for url in asked if url.scheme not in ("blob", "data")} == {urlsplit(service_url).netloc}
    assert browser_page.heard["complaints"] == []


def test_the_page_needs_nothing_but_the_strict_policy_it_is_served_under(service_url):
    headers, html = ask(service_url, "/")
    assert POLICY.search(headers["Content-Security-Policy"])
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?://(?!www\.w3\.org)", html)


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_do_not_scroll_sideways(browser_page, pictures, width):
    browser_page.set_viewport_size({"width": width, "height": 740})
    overflow = "() => document.documentElement.scrollWidth - window.innerWidth"
    assert browser_page.evaluate(overflow) <= 0
    choose(browser_page, *pictures.values())
    expect_verdict(browser_page, pictures["defective"], "anomalous")
    assert browser_page.evaluate(overflow) <= 0
    card(browser_page, pictures["defective"].name).click()
    dialog = browser_page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert dialog.evaluate("(view) => Math.max(view.scrollWidth, view.offsetWidth) - window.innerWidth") <= 0


def test_a_service_with_a_key_asks_for_it_and_says_when_it_is_wrong(browser_page, pictures):
    def guard(route):
        given = route.request.headers.get("authorization")
        route.fallback() if given == "Bearer right" else refuse(route, 401, "the key is missing or wrong")

    browser_page.route("**/v1/**", guard)
    browser_page.reload()
    field = browser_page.get_by_label("API key")
    expect(field).to_be_focused()
    choose(browser_page, pictures["good"])
    field.fill("wrong")
    field.press("Enter")
    expect(browser_page.get_by_role("alert")).to_have_text("The service refused this key.")
    field.fill("right")
    field.press("Enter")
    expect(field).to_be_hidden()
    expect_verdict(browser_page, pictures["good"], "good")
    assert browser_page.evaluate("() => [localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]


def test_a_busy_service_is_asked_again_after_the_time_it_names(browser_page, pictures):
    refusals = []

    def busy_once(route):
        if refusals:
            return route.fallback()
        refusals.append(route)
        return refuse(route, 503, "every replica is busy", **{"Retry-After": "1"})

    browser_page.route(SCORE, busy_once)
    choose(browser_page, pictures["good"])
    expect(card(browser_page, pictures["good"].name)).to_contain_text("every replica is busy (again in 1 s)")
    expect_verdict(browser_page, pictures["good"], "good")


def test_the_problem_of_a_refused_picture_stands_on_its_card_and_it_can_be_tried_again(browser_page, pictures):
    browser_page.route(SCORE, lambda route: refuse(route, 413, "more than 50 megapixels: send it smaller"))
    choose(browser_page, pictures["good"])
    expect_verdict(browser_page, pictures["good"], "failed")
    expect(card(browser_page, pictures["good"].name)).to_contain_text("more than 50 megapixels: send it smaller")
    browser_page.unroute(SCORE)
    browser_page.get_by_role("button", name="Try failed again").click()
    expect_verdict(browser_page, pictures["good"], "good")


def test_at_most_four_pictures_are_on_their_way(browser_page, pictures):
    held = []
    browser_page.route(SCORE, lambda route: held.append(route))

    def sent() -> int:
        return sum("/v1/score" in url for url in browser_page.heard["requests"])

    with browser_page.expect_event("request", lambda _: sent() == 4):
        choose(browser_page, *copies(pictures["good"], 9))
    expect(browser_page.locator(".card[data-status=scoring]")).to_have_count(4)
    expect(browser_page.locator(".card[data-status=waiting]")).to_have_count(5)
    with browser_page.expect_event("request", lambda _: sent() == 5):
        refuse(held[0], 400, "no")
    expect(browser_page.locator(".card[data-status=failed]")).to_have_count(1)
    expect(browser_page.locator(".card[data-status=scoring]")).to_have_count(4)
    assert sent() == 5


def test_a_new_model_is_announced_and_its_classes_are_loaded(browser_page, service_url):
    model = json.loads(ask(service_url, "/v1/model")[1])
    stats = json.loads(ask(service_url, "/v1/stats")[1])
    newer = {"model_version": model["model_version"] + 1}
    learnt = {**model["categories"][0], "name": "newly_taught"}
    answer = {**model, **newer, "categories": [*model["categories"], learnt]}
    browser_page.route(MODEL, lambda route: route.fulfill(json=answer))
    browser_page.route(STATS, lambda route: route.fulfill(json={**stats, **newer}))
    expect(browser_page.get_by_role("status").filter(has_text="model")).to_have_text(
        f"The service now uses model {newer['model_version']}.", timeout=10_000
    )
    expect(browser_page.locator("#classes")).to_contain_text("newly_taught")
    expect(browser_page.locator("#product")).to_contain_text("newly_taught")


def test_the_results_download_as_csv_without_a_formula_in_it(browser_page, pictures, tmp_path):
    choose(browser_page, {"name": "=1+1.png", "mimeType": "image/png", "buffer": pictures["defective"].read_bytes()})
    expect(browser_page.locator(".card[data-status=anomalous]")).to_have_count(1, timeout=20_000)
    with browser_page.expect_download() as download:
        browser_page.get_by_role("button", name="Results as CSV").click()
    download.value.save_as(tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["status"]) == ("'=1+1.png", "anomalous")
    assert float(row["score"]) > float(row["threshold"])


def test_sorting_and_filtering_bring_the_defective_to_the_eye(browser_page, pictures):
    choose(browser_page, pictures["good"], pictures["defective"])
    expect(browser_page.locator("#progress.done")).to_be_attached(timeout=20_000)
    browser_page.locator("#sort").select_option("ratio")
    expect(browser_page.locator(".card .name").first).to_have_text(pictures["defective"].name)
    browser_page.get_by_role("radio", name="anomalous").check()
    expect(browser_page.locator(".card:visible")).to_have_count(1)
    expect(card(browser_page, pictures["defective"].name)).to_have_attribute("tabindex", "0")


def test_clearing_frees_every_picture(browser_page, pictures):
    browser_page.add_init_script(
        """window.living = new Set();
        const { createObjectURL, revokeObjectURL } = URL;
        URL.createObjectURL = (blob) => { const url = createObjectURL.call(URL, blob); living.add(url); return url; };
        URL.revokeObjectURL = (url) => { living.delete(url); revokeObjectURL.call(URL, url); };"""
    )
    browser_page.reload()
    choose(browser_page, *copies(pictures["good"], 6))
    expect(browser_page.locator(".card[data-status=good]")).not_to_have_count(0, timeout=20_000)
    assert browser_page.evaluate("() => living.size") > 6
    browser_page.get_by_role("button", name="Clear").click()
    expect(browser_page.locator(".card")).to_have_count(0)
    assert browser_page.evaluate("() => living.size") == 0
