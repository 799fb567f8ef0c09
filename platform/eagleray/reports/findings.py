"""What a report says and tabulates, by the job that wrote the results."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from eagleray.reports import mixture_wording, search_wording, sweep_wording, wording
from eagleray.reports.grids import Grid, mixture_grids
from eagleray.reports.results import MIXTURE_JOB, SEARCH_JOB
from eagleray.reports.search_grids import search_grids
from eagleray.reports.sweep_grids import sweep_grids


class Words(Protocol):
    """Words for the report of a job that learns everything at once."""

    def title(self, results: Mapping[str, Any]) -> str:
        """Heading of the report."""

    def verdict(self, results: Mapping[str, Any]) -> list[str]:
        """What the run showed, as plain sentences."""

    def tiles(self, results: Mapping[str, Any], measured: Callable[[str], str]) -> list[tuple[str, str, str]]:
        """Key figures as name, value and detail."""

    def means_of(self, results: Mapping[str, Any]) -> str:
        """Note for the table of the categories."""


_WORDS: dict[str, Words] = {MIXTURE_JOB: mixture_wording, SEARCH_JOB: search_wording}


def words_of(results: Mapping[str, Any]) -> Words | None:
    """The words for the results' job; None for a stream and a sweep, whose reports have their own."""
    return _WORDS.get(results["job"])


def verdict(results: Mapping[str, Any]) -> list[str]:
    """What a run of any job showed, as plain sentences built from its figures."""
    if wording.is_sweep(results):
        return sweep_wording.verdict(results)
    words = words_of(results)
    return wording.verdict(results) if words is None else words.verdict(results)


def grids(results: Mapping[str, Any]) -> dict[str, Grid]:
    """Every table that the job adds and has figures for, by name, in the order of the report."""
    return sweep_grids(results) if wording.is_sweep(results) else mixture_grids(results) | search_grids(results)
