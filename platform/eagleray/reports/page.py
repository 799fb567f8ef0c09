"""What every report page is made of: the template engine, its script, embedded pictures and facts about the run."""

import base64
import hashlib
import importlib.resources
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from eagleray.reports.grids import Grid
from eagleray.reports.plots import Picture, write_plots
from eagleray.reports.wording import duration, figure, percent, signed
from eagleray.uris import Place


def fill(template: str, results: Mapping[str, Any], **words: Any) -> str:
    """The page that `template` makes of the results and `words`, with the script and the facts that every page has."""
    script = importlib.resources.files(__package__).joinpath("template/report.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template(template)
        .render(
            r=results,
            run_facts=_run_facts(results),
            config=list(_flat(results["config"])),
            script=Markup(script),  # our own file, no word of the user's in it
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            **words,
        )
    )


def embed_plots(out: Place, pictures: list[Picture]) -> dict[str, dict[str, str]]:
    """Write the pictures to `out`; returns what the template shows of each, by name."""
    files = write_plots(out, pictures)
    return {
        p.name: {"title": p.title, "caption": p.caption, "alt": p.alt, "uri": uri(files[p.name].read_bytes(), "png")}
        for p in pictures
    }


def parts_of(
    sections: Sequence[tuple[str, str, Sequence[str], Sequence[str]]],
    plots: Mapping[str, Mapping[str, str]],
    tables: Mapping[str, Grid],
) -> list[tuple[str, str, list[str], list[Grid]]]:
    """Those of `sections`, as anchor, title, plots and tables, for which something is there to be shown."""
    parts = [
        (key, name, [plot for plot in pictures if plot in plots], [tables[table] for table in rows if table in tables])
        for key, name, pictures, rows in sections
    ]
    return [one for one in parts if one[2] or one[3]]


def uri(content: bytes, kind: str) -> str:
    """The content of a picture file, of a kind such as "png", as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eagleray.reports", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "signed": signed, "percent": percent}
    return environment


def _run_facts(results: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Caption of each small table about the run -> its rows."""

    def plain(values: Mapping[str, Any], write: Callable[[Any], str]) -> list[tuple[str, str]]:
        return [(key.replace("_", " "), write(value)) for key, value in values.items()]

    return {
        "Machine": plain(results["machine"], lambda value: "none" if value is None else str(value)),
        "Versions": list(results["versions"].items()),
        "Time": plain(results["seconds"], duration),
        "Peak memory of each process": plain(results["processes"], "{:,.0f} MB".format),
    }


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names, the way flags are written."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", " ".join(map(str, value))
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)
