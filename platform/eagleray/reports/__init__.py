"""Tables, plots and the HTML report, made from a run's result files alone."""

from eagleray.reports.html import write_report
from eagleray.reports.mixture_tables import mixture_tables
from eagleray.reports.results import (
    MIXTURE_JOB,
    SCHEMA_VERSION,
    SCORES_SCHEMA,
    read_results,
    read_scores,
    validate,
    write_results,
    write_scores,
)
from eagleray.reports.tables import controls_table, summary_table, to_markdown

__all__ = [
    "MIXTURE_JOB",
    "SCHEMA_VERSION",
    "SCORES_SCHEMA",
    "controls_table",
    "mixture_tables",
    "read_results",
    "read_scores",
    "summary_table",
    "to_markdown",
    "validate",
    "write_report",
    "write_results",
    "write_scores",
]
