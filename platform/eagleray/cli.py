"""The `eagleray` command: score pictures, look after a model store, rebuild reports, generate demo data."""

import importlib.metadata
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from eagleray.console import parse_command, progress_bar, run_main
from eagleray.continual import ScoringSession, silent
from eagleray.data import write_products
from eagleray.errors import ConfigError
from eagleray.score_command import find_pictures, score_pictures
from eagleray.storage import ModelStore

DESCRIPTION = """Continual anomaly detection for production lines.

A model is learned by jobs/mecad_stream.py; its store, <out>/model, is all that the commands here need.
eagleray COMMAND --help tells more of each, eagleray --version the version installed."""

_CLOSED_PIPE = 141
"""Exit code that a shell gives for a program whose reader went away."""


class Command(Protocol):
    """What stands behind the first word of the command line."""

    def run(self) -> None:
        """Carry it out."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Score pictures with a model: one JSON object a line on stdout, in the order given.

    Each line has path, score (higher is more anomalous), p_value, anomalous, threshold, category, expert, routing (the
    three closest classes), model_version and heatmap; a picture that cannot be read has path and error.
    """

    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGES")]
    """Image files, and folders that are searched for images with all their folders."""
    model: Annotated[str, arg(metavar="STORE")]
    """Model store: a folder such as runs/mecad/model, or a URI."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for heat maps: each picture as a PNG, in its own size, with a line round what is anomalous."""
    category: Annotated[str | None, arg(metavar="NAME")] = None
    """Class that all the pictures show; without it, each picture decides."""
    false_alarm_rate: Annotated[float, arg(metavar="SHARE")] = 0.01
    """Share of good pictures that may be called anomalous."""
    version: Annotated[int | None, arg(metavar="N")] = None
    """Model version; the current one by default."""

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 1:
            raise ConfigError("--false-alarm-rate", "between 0 and 1", self.false_alarm_rate)

    def run(self) -> None:
        """Score, and print as it goes."""
        pictures = find_pictures(self.images)
        session = ScoringSession.open(
            ModelStore.open(self.model),
            version=self.version,
            false_alarm_rate=self.false_alarm_rate,
        )
        if self.category is not None:
            session.check_category(self.category)
        stdout = sys.stdout  # the progress bar takes sys.stdout over
        with (progress_bar if _bar_wanted() else silent)("score", len(pictures)) as advance:
            for line in score_pictures(session, pictures, category=self.category, out=self.out):
                print(line, file=stdout, flush=True)
                advance(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Rebuild report.html and the plots of a run from its result files."""

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the run, which holds results.json."""

    def run(self) -> None:
        """Write the report and print where it is."""
        from eagleray.reports import write_report  # loads all of matplotlib, which no other command should wait for

        print(write_report(self.out))


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoData:
    """Generate pictures of ten products, good and defective, to try things out: never a benchmark."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """New folder, which gets the layout of MVTec AD."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Another seed, other pictures."""
    image_size: Annotated[int, arg(metavar="PIXELS")] = 256
    """Side of the square pictures, in pixels."""
    classes: Annotated[tuple[str, ...], arg(metavar="NAME")] = ()
    """Products to generate; all of them by default."""

    def run(self) -> None:
        """Write the pictures and print where they are."""
        write_products(self.folder, seed=self.seed, image_size=self.image_size, classes=self.classes)
        print(self.folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """List the versions of a model and what each one learned; * marks the one in use."""

    model: Annotated[str, arg(metavar="STORE")]
    """Model store: a folder such as runs/mecad/model, or a URI."""

    def run(self) -> None:
        """Print a table."""
        store = ModelStore.open(self.model)
        current = store.current()
        table = Table("", "version", "from", "step", "class", "expert", "classes", "rows", box=box.SIMPLE_HEAD)
        for version in store.versions():
            manifest = store.read(version)
            mark = "*" if current and current.version == version else ""
            step = manifest.history[-1]
            rows = sum(entry.rows for entry in manifest.classes.values())
            cells = (mark, version, manifest.parent or "-", step.op, step.class_name, step.expert)
            table.add_row(*map(str, (*cells, len(manifest.classes), rows)))
        Console(width=None if sys.stdout.isatty() else 200).print(table, markup=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """Put another version of a model into use, older or newer; no version is lost."""

    version: Annotated[Positional[int], arg(metavar="N")]
    """Number of the version, as `eagleray versions` lists it."""
    model: Annotated[str, arg(metavar="STORE")]
    """Model store: a folder such as runs/mecad/model, or a URI."""

    def run(self) -> None:
        """Move the store's pointer and say so."""
        ModelStore.open(self.model).rollback(self.version)
        print(f"version {self.version} is in use")


COMMANDS: tuple[type[Command], ...] = (Score, Versions, Rollback, Report, DemoData)


def main() -> int:
    """Entry point of `eagleray`; returns the exit code."""
    try:
        code = run_main(_run)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our lines has seen enough. Python flushes stdout once more at exit; that must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    return code


def _run() -> None:
    arguments = sys.argv[1:] or ["--help"]
    if arguments == ["--version"]:
        print(f"eagleray {importlib.metadata.version('eagleray')}")
        return
    parse_command(COMMANDS, arguments, prog="eagleray", description=DESCRIPTION).run()


def _bar_wanted() -> bool:
    """A bar is for a person who sees stderr, and the lines must not run through it."""
    return sys.stderr.isatty() and not sys.stdout.isatty()


if __name__ == "__main__":
    sys.exit(main())
