"""Tables, plots and the HTML report, made from a run's result files alone."""

from eagleray.reports.html import write_report
from eagleray.reports.mixture_tables import mixture_tables
from eagleray.reports.results import (
    MIXTURE_JOB,
    SCHEMA_VERSION,
    SCORES_SCHEMA,
    SEARCH_JOB,
    SWEEP_JOB,
    read_results,
    read_scores,
    validate,
    write_results,
    write_scores,
)
from eagleray.reports.search_tables import search_tables
from eagleray.reports.sweep_files import write_trials
from eagleray.reports.sweep_rows import sweep_points
from eagleray.reports.sweep_tables import sweep_table
from eagleray.reports.tables import controls_table, summary_table, to_markdown

__all__ = [
    "MIXTURE_JOB",
    "SCHEMA_VERSION",
    "SCORES_SCHEMA",
    "SEARCH_JOB",
    "SWEEP_JOB",
    "controls_table",
    "mixture_tables",
    "read_results",
    "read_scores",
    "search_tables",
    "summary_table",
    "sweep_points",
    "sweep_table",
    "to_markdown",
    "validate",
    "write_report",
    "write_results",
    "write_scores",
    "write_trials",
]
