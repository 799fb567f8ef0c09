"""The closing tables of a job, for a terminal of 80 columns or more, and the same as Markdown."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from eagleray.reports.findings import grids, verdict
from eagleray.reports.wording import (
    cell,
    class_names,
    columns_of,
    control_words,
    controls_in_order,
    footnotes,
    is_sweep,
    noun,
)

COLUMNS = {
    "expert": "ex-\npert",
    "experts": "ex-\nperts",
    "image_auroc": "image\nAUROC",
    "pixel_auroc": "pixel\nAUROC",
    "aupro": "AUPRO",
    "forgetting": "forget-\nting",
    "rows": "rows",
    "routing_accuracy": "rout-\ning",
    "threshold": "thresh-\nold",
}
"""Figures of the class table and their headings, folded to fit 80 columns."""


def summary_table(results: Mapping[str, Any]) -> Table:
    """The figures of every class and their mean; "-" where there is none, with the reasons below."""
    table, columns = _table(noun(results)), columns_of(results, COLUMNS)
    for heading in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name in class_names(results):
        table.add_row(Text(name), *(cell(key, results["classes"][name][key]) for key in columns))
    table.add_section()
    table.add_row(Text("mean"), *_mean_cells(results), style="bold")
    notes = footnotes(results)
    if notes:
        table.caption = Text("\n".join(f"- {note}" for note in notes))
    return table


def controls_table(results: Mapping[str, Any]) -> Table:
    """The same test images scored in other ways: mean image AUROC, bank rows and what was compared."""
    table = _table("control")
    if not any(control["image_auroc"] is not None for control in results["controls"].values()):
        table.caption = Text("no controls were measured: that takes good and defective test images")
        table.show_header, table.min_width = False, len(table.caption)
        return table
    table.add_column("image\nAUROC", justify="right", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("what it is", ratio=1)
    for name in controls_in_order(results):
        control = results["controls"][name]
        title, meaning = control_words(results, name)
        style = "bold" if name == "routed" else ""
        figures = (cell("image_auroc", control["image_auroc"]), cell("rows", control["rows"]))
        table.add_row(Text(title), *figures, Text(meaning), style=style)
    return table


def to_markdown(results: Mapping[str, Any]) -> str:
    """The verdict, the class table, the controls and the job's own tables as GitHub-flavoured Markdown.

    A sweep has neither class table nor controls.
    """
    lines = ["- " + _escaped(sentence) for sentence in verdict(results)]
    if results["data"]["generated"]:
        lines.insert(0, "**Generated demo data, not a benchmark.**\n")
    if not is_sweep(results):
        lines += _class_lines(results)
    for grid in grids(results).values():
        align = " ".join("left" if column in grid.words else "right" for column in range(len(grid.headings)))
        cells = [[_escaped(" ".join(filter(None, cell))) for cell in row] for row in grid.rows]
        lines += ["", f"**{grid.title}.** {_escaped(grid.caption)}", ""]
        lines += _markdown_table([_escaped(heading) for heading in grid.headings], cells, align)
        lines += ["", *(f"- {_escaped(note)}" for note in grid.notes)] if grid.notes else []
    return "\n".join(lines) + "\n"


def _class_lines(results: Mapping[str, Any]) -> list[str]:
    """The class table and the controls in Markdown."""
    columns = columns_of(results, COLUMNS)
    headings = [heading.replace("-\n", "").replace("\n", " ") for heading in columns.values()]
    rows = [
        [_escaped(name), *(cell(key, results["classes"][name][key]) for key in columns)]
        for name in class_names(results)
    ]
    rows.append(["**mean**", *_mean_cells(results)])
    lines = ["", *_markdown_table([noun(results), *headings], rows, "left" + " right" * len(headings))]
    notes = footnotes(results)
    lines += ["", *(f"- {_escaped(note)}" for note in notes)] if notes else []
    if results["controls"]:
        controls = []
        for name in controls_in_order(results):
            control = results["controls"][name]
            title, meaning = control_words(results, name)
            figures = cell("image_auroc", control["image_auroc"]), cell("rows", control["rows"])
            controls.append([_escaped(title), *figures, _escaped(meaning)])
        table = _markdown_table(["control", "image AUROC", "rows", "what it is"], controls, "left right right left")
        lines += ["", *table]
    return lines


def _table(first: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption_justify="left",
        header_style="bold",
    )
    # A very long name folds instead of pushing the figures off the screen.
    table.add_column(first, min_width=8, max_width=22, overflow="fold")
    return table


def _mean_cells(results: Mapping[str, Any]) -> list[str]:
    """Cells of the mean row under `COLUMNS`; rows and experts are summed, thresholds have no mean."""
    known = {**results["mean"], "routing_accuracy": results["routing_accuracy"]}
    total = sum(values["rows"] for values in results["classes"].values())
    experts = sum(values.get("experts", 0) for values in results["classes"].values())
    fixed = {"expert": "", "experts": f"Σ {experts:,}", "rows": f"Σ {total:,}", "threshold": ""}
    return [fixed[key] if key in fixed else cell(key, known[key]) for key in columns_of(results, COLUMNS)]


def _markdown_table(header: list[str], rows: list[list[str]], align: str) -> list[str]:
    marks = [{"left": ":--", "right": "--:"}[side] for side in align.split()]
    return ["| " + " | ".join(row) + " |" for row in [header, marks, *rows]]


def _escaped(text: str) -> str:
    """Keep a name or reason from being read as Markdown or HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|":
        text = text.replace(mark, "\\" + mark)
    return text
