"""The trials of a sweep as tables for other programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from eagleray.reports.files import write_whole
from eagleray.reports.sweep_rows import FIGURES
from eagleray.uris import Place, place

TRIALS_FILE = "trials.parquet"
CLASSES_FILE = "classes.parquet"


def write_trials(out: str | Place, results: Mapping[str, Any]) -> tuple[Place, Place]:
    """Write one row per trial to ``<out>/trials.parquet``, one per trial and class to ``<out>/classes.parquet``.

    The first has a column for each setting that changes, by its dotted name; both name the trial, and its point and
    order by number.

    Args:
        out: the folder.
        results: of a sweep, checked.

    Raises:
        ResultsError: the disk refused.
    """
    trials = results["trials"]
    columns = {
        key: _texts_or_numbers([trial["changes"][key] for trial in trials]) for key in results["sweep"]["fields"]
    }
    table = pa.table(
        {
            "name": pa.array([trial["name"] for trial in trials], pa.string()),
            "point": _numbers(trials, "point", pa.int64()),
            **columns,
            "order": _numbers(trials, "order", pa.int64()),
            "seed": _numbers(trials, "seed", pa.int64()),
            "ended": pa.array([trial["ended"] for trial in trials], pa.string()),
            "steps": _numbers(trials, "steps", pa.int64()),
            **{key: _numbers(trials, key, pa.int64() if key == "rows" else pa.float64()) for key in FIGURES},
            "seconds": _numbers(trials, "seconds", pa.float64()),
        }
    )
    rows = [
        {"trial": trial["name"], "point": trial["point"], "order": trial["order"], "seed": trial["seed"]}
        | {"class": name, **figures}
        for trial in trials
        for name, figures in trial["classes"].items()
    ]
    fields = [("trial", pa.string()), ("point", pa.int64()), ("order", pa.int64()), ("seed", pa.int64())]
    fields += [("class", pa.string()), ("expert", pa.int64()), ("image_auroc", pa.float64())]
    classes = pa.Table.from_pylist(rows, schema=pa.schema([*fields, ("forgetting", pa.float64())]))
    return _write(place(out) / TRIALS_FILE, table), _write(place(out) / CLASSES_FILE, classes)


def _numbers(trials: Sequence[Mapping[str, Any]], key: str, kind: pa.DataType) -> pa.Array:
    return pa.array([trial[key] for trial in trials], kind)


def _texts_or_numbers(values: Sequence[Any]) -> pa.Array:
    """A column of the values' own type; of their text where they are of several, or of true and false and lists."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _write(path: Place, table: pa.Table) -> Place:
    write_whole(path, lambda stream: pa.parquet.write_table(table, stream))
    return path
