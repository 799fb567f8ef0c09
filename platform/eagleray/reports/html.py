"""The report of a run as one self-contained HTML file, made from its result files alone.

Nothing is loaded from anywhere: the pictures are data URIs, the style and the few lines of script stand in the file,
and a content-security policy forbids the rest. Every string from the result files is escaped by the template.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from PIL import Image

from eagleray.reports.files import write_whole
from eagleray.reports.findings import grids, verdict, words_of
from eagleray.reports.page import embed_plots, fill, parts_of, uri
from eagleray.reports.plots import draw_pictures
from eagleray.reports.results import SCORES_FILE, read_results, read_scores
from eagleray.reports.sweep_page import sweep_page
from eagleray.reports.wording import (
    at_once,
    cell,
    class_names,
    columns_of,
    control_words,
    controls_in_order,
    count,
    duration,
    figure,
    footnotes,
    is_sweep,
    listed,
    noun,
    percent,
    signed,
    why_missing,
)
from eagleray.uris import Place, picture_file, place

REPORT_FILE = "report.html"
PICTURE_PX = 480
"""Longest side of an embedded example; larger ones would only make the file heavy."""
COLUMNS = {
    "expert": "expert",
    "experts": "experts",
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "forgetting": "forgetting",
    "rows": "rows",
    "routing_accuracy": "routing",
    "threshold": "threshold",
    "false_alarms": "false alarms",
    "missed": "missed",
}
MIXTURE_SECTIONS = (
    ("subclasses", "Subclasses", ("routing_space",), ("subclasses",)),
    ("ablation", "Ablation", ("ablation",), ("ablation",)),
    ("baselines", "Other methods", (), ("baselines",)),
    ("routing", "Routing", ("top_k",), ("top_k", "losses")),
    ("evidence", "Choice of method", (), ("evidence",)),
)
"""Anchor, title, plots and tables of each section that adapted_moe adds, in order."""
SEARCH_SECTIONS = (
    ("fusion", "The fusion found", ("genotype",), ()),
    ("modalities", "Colour and depth", (), ("modalities",)),
    ("cells", "Cells", (), ("cells",)),
    ("searches", "Searches", ("alphas",), ("searches",)),
    ("speed", "Speed and memory", ("pareto",), ("speed",)),
    ("shots", "Few pictures", (), ("shots", "shots_by_category")),
)
"""The same of adnas_search."""
KINDS = {
    "missed": ("Missed defects", "Defective images that were not flagged.", "not flagged", True),
    "false_alarm": ("False alarms", "Good images that were flagged.", "flagged", True),
    "hit": ("Defects found", "Defective images that were flagged.", "flagged", False),
    "quiet": ("Good images left alone", "Good images that were not flagged.", "not flagged", False),
}
"""Kind of example -> title, meaning, what the model said, whether that was wrong."""


def write_report(out: str | Place) -> Place:
    """Write ``<out>/report.html`` and ``<out>/plots/*.png`` from the result files in `out`; returns the HTML file.

    A run without ``scores.parquet`` still gets its report, without the picture of the scores.

    Raises:
        ResultsError: ``results.json`` is missing or wrong, ``scores.parquet`` is unreadable, or the disk refused.
    """
    out = place(out)
    results = read_results(out)
    scores = read_scores(out) if (out / SCORES_FILE).exists() else None
    text = render(out, results, scores)
    path = out / REPORT_FILE
    write_whole(path, lambda stream: stream.write(text.encode("utf-8")))
    return path


def render(out: Place, results: Mapping[str, Any], scores: pa.Table | None) -> str:
    """The report as text; writes the plots to `out`, and reads the example pictures under it."""
    plots = embed_plots(out, draw_pictures(results, scores))
    return sweep_page(results, plots) if is_sweep(results) else _run_page(out, results, plots)


def _run_page(out: Place, results: Mapping[str, Any], plots: Mapping[str, Mapping[str, str]]) -> str:
    words = words_of(results)
    first = "Categories" if at_once(results) else "Classes"
    names = {"stream": "The stream", "controls": "Controls"}
    shown = [(key, name) for key, name in names.items() if results[key]]
    parts = parts_of(MIXTURE_SECTIONS + SEARCH_SECTIONS, plots, grids(results))
    shown += [(key, name) for key, name, _, _ in parts]
    shown += [("examples", "Test images")] if results["examples"] else []
    return fill(
        "report.html.jinja",
        results,
        title=_title(results) if words is None else words.title(results),
        verdict=verdict(results),
        sections=[("classes", first), *shown, ("run", "About this run")],
        parts=parts,
        noun=noun(results),
        tiles=_tiles(results),
        columns=columns_of(results, COLUMNS).items(),
        class_rows=_class_rows(results),
        means_of="" if words is None else words.means_of(results),
        mean_cells=_mean_cells(results),
        notes=footnotes(results),
        removed=listed([name for name in results["order"] if name not in results["classes"]], 20),
        plots=plots,
        controls=_controls(results),
        examples=list(_examples(out, results)),
        skipped=[(step["class"], image) for step in results["stream"] for image in step["skipped"]],
    )


def _title(results: Mapping[str, Any]) -> str:
    learned = count(len(results["order"]), "class", "classes")
    last = results["stream"][-1]["classes_per_expert"] if results["stream"] else {}
    experts = sum(1 for names in last.values() if names)
    if not experts:
        return learned
    how = "learned one after another by" if len(results["order"]) > 1 else "learned by"
    return f"{learned}, {how} {count(experts, 'expert')}"


def _tiles(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The key figures: name, value and one detail each."""
    classes, mean = results["classes"], results["mean"]

    def tile(name: str, value: str, detail: str) -> dict[str, str]:
        return {"name": name, "value": value, "detail": detail}

    def measured(key: str) -> str:
        known = [name for name in class_names(results) if classes[name][key] is not None]
        if mean[key] is None:
            return why_missing(results, key)
        of = f"mean of {len(known)} of {len(classes)}" if len(known) < len(classes) else f"mean of {len(known)}"
        if len(known) < 2:
            return of
        worst = min(known, key=lambda name: classes[name][key])
        return f"{of}; lowest {worst}, {cell(key, classes[worst][key])}"

    rows = sum(values["rows"] for values in classes.values())
    time = tile("Time", duration(results["seconds"]["total"]), f"at most {results['peak_rss_mb']:,.0f} MB in a process")
    if (words := words_of(results)) is not None:
        return [*(tile(*told) for told in words.tiles(results, measured)), time]
    return [
        tile("Image AUROC", figure(mean["image_auroc"]), measured("image_auroc")),
        tile("Pixel AUROC", figure(mean["pixel_auroc"]), measured("pixel_auroc")),
        tile("AUPRO", figure(mean["aupro"]), measured("aupro")),
        tile("Forgetting", signed(mean["forgetting"]), measured("forgetting")),
        tile("Routing", percent(results["routing_accuracy"]), "test images at the right expert"),
        tile("Step average", figure(results["step_average"]), "mean image AUROC over all steps"),
        tile("Bank rows", f"{rows:,}", f"{rows / max(len(classes), 1):,.0f} a class"),
        time,
    ]


def _class_rows(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    columns = columns_of(results, COLUMNS)
    for name in class_names(results):
        values = results["classes"][name]
        texts = {key: cell(key, values[key]) for key in columns}
        for key, total in (("false_alarms", "num_test_good"), ("missed", "num_test_defective")):
            if values[key] is not None:
                texts[key] = f"{values[key]:,} of {values[total]:,}" if values[total] else "-"
        cells = [{"sort": "" if values[key] is None else values[key], "text": texts[key]} for key in columns]
        yield {"name": name, "cells": cells}


def _mean_cells(results: Mapping[str, Any]) -> list[str]:
    known = {**results["mean"], "routing_accuracy": results["routing_accuracy"]}
    cells = {key: cell(key, known[key]) if key in known else "" for key in columns_of(results, COLUMNS)}
    for key in cells.keys() & {"experts", "rows", "false_alarms", "missed"}:
        cells[key] = f"Σ {sum(values[key] or 0 for values in results['classes'].values()):,}"
    return list(cells.values())


def _controls(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in controls_in_order(results):
        control = results["controls"][name]
        title, meaning = control_words(results, name)
        yield {
            "title": title,
            "meaning": meaning,
            "image_auroc": control["image_auroc"],
            "rows": cell("rows", control["rows"]),
        }


def _examples(out: Place, results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for kind, (title, meaning, said, wrong) in KINDS.items():
        cards = []
        for example in results["examples"]:
            if example["kind"] != kind:
                continue
            threshold = results["classes"].get(example["class"], {}).get("threshold")
            cards.append(
                {
                    "class_name": " / ".join(filter(None, (example["class"], example.get("subclass")))),
                    "path": example["path"],
                    "truth": f"defective ({example['defect']})" if example["label"] else "good",
                    "said": said,
                    "wrong": wrong,
                    "score": f"{example['score']:.4g}",
                    "threshold": cell("threshold", threshold),
                    "p_value": figure(example["p_value"]),
                    "image": _picture(out, example["image"]),
                    "heatmap": _picture(out, example["heatmap"]),
                    "mask": _picture(out, example["mask"]),
                    "no_mask": _why_no_mask(example),
                }
            )
        if cards:
            yield {"title": title, "meaning": meaning, "cards": cards}


def _why_no_mask(example: Mapping[str, Any]) -> str:
    if example["mask"] is not None:
        return "file is missing"
    return "no mask in the data" if example["label"] else "no defect"


def _picture(out: Place, name: str | None) -> str | None:
    """An example picture as a data URI; None where it is absent or unreadable, which the report shows as a gap."""
    if name is None:
        return None
    try:
        with Image.open(picture_file(out / name)) as stored:
            stored.thumbnail((PICTURE_PX, PICTURE_PX))
            held = io.BytesIO()
            if stored.mode in ("1", "L", "P"):
                stored.save(held, format="PNG", optimize=True)
                return uri(held.getvalue(), "png")
            stored.convert("RGB").save(held, format="JPEG", quality=88)
            return uri(held.getvalue(), "jpeg")
    except (OSError, ValueError):
        return None
