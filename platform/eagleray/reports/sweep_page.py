"""The words and tables of a sweep's report, put into its template."""

from collections.abc import Mapping
from typing import Any

from eagleray.reports.findings import grids, verdict
from eagleray.reports.page import fill, parts_of
from eagleray.reports.sweep_wording import tiles, title

SECTIONS = (
    ("points", "Point by point", ("sweep_curves", "merit"), ("points",)),
    ("classes", "Class by class", ("sweep_classes",), ()),
    ("configuration", "One trial", ("trial_classes", "trial_experts", "trial_forgetting"), ()),
    ("trials", "Trials", (), ("trials", "orders")),
)
"""Anchor, title, plots and tables of each section, in order."""


def sweep_page(results: Mapping[str, Any], plots: Mapping[str, Mapping[str, str]]) -> str:
    """The report of a sweep as text, from its results and what is shown of each plot."""
    parts = parts_of(SECTIONS, plots, grids(results))
    return fill(
        "sweep.html.jinja",
        results,
        title=title(results),
        verdict=verdict(results),
        sections=[*((key, name) for key, name, _, _ in parts), ("run", "About this run")],
        parts=parts,
        tiles=[{"name": name, "value": value, "detail": detail} for name, value, detail in tiles(results)],
        plots=plots,
    )
