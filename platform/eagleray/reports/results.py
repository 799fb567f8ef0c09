"""Result files of a run: ``results.json`` (figures) and ``scores.parquet`` (raw scores), read, checked and written.

The format is documented field by field in ``results.schema.json`` beside this module, that of a sweep in
``sweep.schema.json``. What is written has passed the
same check as what is read, so a file that exists can be reported on.
"""

import importlib.resources
import io
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

import jsonschema
import pyarrow as pa
import pyarrow.parquet

from eagleray.errors import ResultsError
from eagleray.reports.files import write_whole
from eagleray.reports.search_checks import check_search
from eagleray.reports.sweep_checks import check_sweep
from eagleray.uris import Place, place

SCHEMA_VERSION = "eagleray.results/1"
MIXTURE_JOB = "adapted_moe"
"""The job whose results hold categories, subclasses and an ablation instead of a stream."""
SEARCH_JOB = "adnas_search"
"""The job whose results hold a fusion of colour and depth, and the searches that it was chosen from."""
SWEEP_JOB = "sweep"
"""The job whose results hold many trials of a stream; they have a schema of their own, ``sweep.schema.json``."""
RESULTS_FILE = "results.json"
SCORES_FILE = "scores.parquet"
SCORES_SCHEMA = pa.schema(
    [
        ("class", pa.string()),
        ("path", pa.string()),
        ("label", pa.int64()),
        ("defect", pa.string()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("flagged", pa.bool_()),
        ("expert", pa.int64()),
        ("routed_expert", pa.int64()),
        ("routed_class", pa.string()),
        ("subclass", pa.string()),
    ]
)
"""Columns of ``scores.parquet``: one row per test image, scored as a user would score it.

"subclass" came later: it is null where the data have no subclasses, and in files without the column.
"""


def read_results(out: str | Place) -> dict[str, Any]:
    """Read and check ``<out>/results.json``.

    Raises:
        ResultsError: the file is missing, is not JSON, has another schema version or breaks the schema; the one line
            names the file and the field.
    """
    path = place(out) / RESULTS_FILE
    try:
        results = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise ResultsError(str(path), "no such file; run a job with --out pointing at this folder first") from None
    except OSError as error:
        raise ResultsError(str(path), f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ResultsError(str(path), f"not valid JSON ({_one_line(error)}); run the job again") from error
    validate(results, where=str(path))
    return dict(results)


def validate(results: Any, where: str = RESULTS_FILE) -> None:
    """Check `results` against the schema and its cross-references.

    Raises:
        ResultsError: the first violation, as one line that names `where` and the field.
    """
    if not isinstance(results, dict):
        raise ResultsError(where, "must hold a JSON object with the fields of results.schema.json")
    if (version := results.get("schema")) != SCHEMA_VERSION:
        raise ResultsError(
            where, f"schema is {version!r}, this eagleray reads {SCHEMA_VERSION!r}; write it again with this version"
        )
    sweep = results.get("job") == SWEEP_JOB
    worst = jsonschema.exceptions.best_match(_validator(sweep).iter_errors(results))
    if worst is not None:
        raise ResultsError(where, f"field {worst.json_path}: {_one_line(worst.message)}")
    if sweep:
        check_sweep(results, where)
        return
    _check_matrix(results, where)
    if results["job"] == MIXTURE_JOB:
        _check_spaces(results, where)
    if results["job"] == SEARCH_JOB:
        check_search(results, where)


def write_results(out: str | Place, results: Mapping[str, Any]) -> Place:
    """Check `results` and write them to ``<out>/results.json``: the old file or the new one, never half of one.

    NaN and infinities become null, since JSON has neither.

    Raises:
        ResultsError: `results` break the schema, or the disk refused.
    """
    path = place(out) / RESULTS_FILE
    clean = _without_nan(dict(results))
    validate(clean, where=str(path))
    text = json.dumps(clean, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda stream: stream.write(text.encode("utf-8")))
    return path


def read_scores(out: str | Place) -> pa.Table:
    """Read ``<out>/scores.parquet`` with exactly the columns of `SCORES_SCHEMA`; no subclass is null.

    Raises:
        ResultsError: the file is missing, is not Parquet, or lacks a column.
    """
    path = place(out) / SCORES_FILE
    if not path.is_file():
        raise ResultsError(str(path), "no such file; run a job with --out pointing at this folder first")
    try:
        table = pa.parquet.read_table(io.BytesIO(path.read_bytes()))
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(str(path), f"not a Parquet file ({_one_line(error)}); run the job again") from error
    return _conform(table, str(path))


def write_scores(out: str | Place, table: pa.Table) -> Place:
    """Write `table` to ``<out>/scores.parquet``, whole or not at all.

    Raises:
        ResultsError: a column of `SCORES_SCHEMA` is missing or has another type, or the disk refused.
    """
    path = place(out) / SCORES_FILE
    conformed = _conform(table, str(path))
    write_whole(path, lambda stream: pa.parquet.write_table(conformed, stream))
    return path


def _conform(table: pa.Table, where: str) -> pa.Table:
    if "subclass" not in table.column_names:
        table = table.append_column("subclass", pa.nulls(len(table), pa.string()))
    missing = [name for name in SCORES_SCHEMA.names if name not in table.column_names]
    if missing:
        raise ResultsError(where, f"column {missing[0]} is missing; it needs {', '.join(SCORES_SCHEMA.names)}")
    try:
        return table.select(SCORES_SCHEMA.names).cast(SCORES_SCHEMA)
    except pa.ArrowException as error:
        raise ResultsError(where, f"a column has the wrong type ({_one_line(error)})") from error


def _check_matrix(results: dict[str, Any], where: str) -> None:
    """One row per step and one column per class: a relation between fields that a JSON Schema cannot state."""
    matrix, steps, width = results["matrix"], len(results["stream"]), len(results["order"])
    if matrix and len(matrix) != steps:
        raise ResultsError(where, f"field $.matrix: {len(matrix)} rows for {steps} steps in $.stream")
    for number, row in enumerate(matrix):
        if len(row) != width:
            raise ResultsError(where, f"field $.matrix[{number}]: {len(row)} values for {width} classes in $.order")


def _check_spaces(results: dict[str, Any], where: str) -> None:
    """One subclass and one mark of having been seen for every point of a routing space."""
    for number, space in enumerate(results["routing_space"]):
        for key in ("subclasses", "seen"):
            if len(space[key]) != len(space["points"]):
                counts = f"{len(space[key])} values for {len(space['points'])} points"
                raise ResultsError(where, f"field $.routing_space[{number}].{key}: {counts}")


@cache
def _validator(sweep: bool) -> Any:
    schema = _schema("results.schema.json")
    if sweep:  # refers to fields of the other, which travels inside it
        runs, schema = schema, _schema("sweep.schema.json")
        schema["$defs"]["run"] = runs
    return jsonschema.Draft202012Validator(schema)


def _schema(name: str) -> dict[str, Any]:
    text = importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return dict(json.loads(text))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _one_line(message: object) -> str:
    """First 160 characters on one line: jsonschema quotes the whole offending value."""
    text = " ".join(str(message).split())
    return text if len(text) <= 160 else text[:157] + "..."
