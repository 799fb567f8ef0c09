"""The `eagleray` command: score pictures, look after a model store, rebuild reports, generate demo data."""

import importlib.metadata
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, UseAppendAction, arg

from eagleray.console import parse_command, progress_bar, run_main
from eagleray.continual import silent
from eagleray.data import write_products, write_solids, write_textures
from eagleray.errors import ConfigError, UsageError
from eagleray.score_command import (
    Picture,
    add_depth,
    check_depth,
    find_pictures,
    open_session,
    score_by_service,
    score_pictures,
)
from eagleray.storage import ModelStore

DESCRIPTION = """Continual anomaly detection for production lines.

A model is learned by jobs/mecad_stream.py; its store, <out>/model, is all that the commands here need.
eagleray COMMAND --help tells more of each, eagleray --version the version installed."""

_CLOSED_PIPE = 141
"""Exit code that a shell gives for a program whose reader went away."""


_CONCURRENCY, _MOST_CONCURRENCY = 16, 256
_API_KEY_VARIABLE = "EAGLERAY_API_KEY"


class Command(Protocol):
    """What stands behind the first word of the command line."""

    def run(self) -> None:
        """Carry it out."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Score pictures with a model or by a running service: one JSON object a line on stdout, in the order given.

    Each line has path, score (higher is more anomalous), p_value, verdict (good, anomalous, or unknown where nobody
    taught this product), anomalous, threshold, category, expert, routing (the three closest classes), model_version
    and heatmap; a picture that cannot be read has path and error.
    """

    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGES")]
    """Image files, and folders that are searched for images with all their folders."""
    model: Annotated[str | None, arg(metavar="STORE")] = None
    """Model store: a folder such as runs/mecad/model, or a URI."""
    address: Annotated[str | None, arg(metavar="URL")] = None
    """Running service, in place of --model: such as http://127.0.0.1:8000."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for heat maps: each picture as a PNG, in its own size (a service's have 2,048 px a side at most), with a
    line round what is anomalous."""
    category: Annotated[str | None, arg(metavar="NAME")] = None
    """Class that all the pictures show; without it, each picture decides."""
    false_alarm_rate: Annotated[float | None, arg(metavar="SHARE")] = None
    """With --model: share of good pictures that may be called anomalous; 0.01 by default."""
    version: Annotated[int | None, arg(metavar="N")] = None
    """With --model: model version; the current one by default."""
    depth: Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="PATH")] = ()
    """Depth of the pictures, for a model that looks at it: a TIFF of points NNN.tiff for NNN.png (MVTec
    3D-AD), a 16-bit NNN_depth.png beside its NNN_info_depth.yaml for NNN_image_5.png (Eyecandies), or a folder of
    either."""
    concurrency: Annotated[int | None, arg(metavar="N")] = None
    """With --address: pictures that the service gets at once; 16 by default."""
    api_key_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """With --address: file that holds the API key; else the environment's EAGLERAY_API_KEY, if it is set."""

    def __post_init__(self) -> None:
        if bool(self.model) == bool(self.address):
            raise UsageError("give either --model STORE or --address URL")
        other, theirs = (
            ("--model", {"--version": self.version, "--false-alarm-rate": self.false_alarm_rate})
            if self.address
            else ("--address", {"--concurrency": self.concurrency, "--api-key-file": self.api_key_file})
        )
        if given := [flag for flag, value in theirs.items() if value is not None]:
            raise UsageError(f"{' and '.join(given)} can only be given with {other}")
        if self.false_alarm_rate is not None and not 0 < self.false_alarm_rate < 1:
            raise ConfigError("--false-alarm-rate", "between 0 and 1", self.false_alarm_rate)
        if self.concurrency is not None and not 1 <= self.concurrency <= _MOST_CONCURRENCY:
            raise ConfigError("--concurrency", f"between 1 and {_MOST_CONCURRENCY}", self.concurrency)

    def run(self) -> None:
        """Score, and print as it goes."""
        pictures = find_pictures(self.images, with_depth=bool(self.depth))
        if self.model:
            self._run_locally(self.model, pictures)
        elif self.address:
            self._run_by_service(self.address, pictures)

    def _run_locally(self, model: str, pictures: list[Picture]) -> None:
        session = open_session(
            ModelStore.open(model),
            version=self.version,
            false_alarm_rate=0.01 if self.false_alarm_rate is None else self.false_alarm_rate,
            with_depth=bool(self.depth),
        )
        if self.category is not None:
            session.judge.check_category(self.category)
        if self.depth:
            pictures = add_depth(pictures, self.depth)
        _print_lines(score_pictures(session, pictures, category=self.category, out=self.out), len(pictures))

    def _run_by_service(self, address: str, pictures: list[Picture]) -> None:
        from eagleray.service_client import ServiceClient  # loads httpx, which no other command should wait for

        with ServiceClient(address, api_key=_api_key(self.api_key_file)) as client:
            model = client.model()
            check_depth(needed=model.needs_depth, given=bool(self.depth), place=f"at {client.address}")
            lines = score_by_service(
                client,
                model,
                add_depth(pictures, self.depth) if self.depth else pictures,
                category=self.category,
                out=self.out,
                concurrency=self.concurrency or _CONCURRENCY,
            )
            _print_lines(lines, len(pictures))


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
    """Generate pictures, good and defective, to try things out: never a benchmark.

    Of ten products, of three materials (cloth, metal and wafer) with many subclasses, of which some only appear in
    test, or of five solids in color and depth.
    """

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """New folder, which gets the layout of MVTec AD, with --kind textures that of Texture AD, or see --layout."""
    kind: Literal["products", "textures", "solids"] = "products"
    """What the pictures show."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Another seed, other pictures."""
    image_size: Annotated[int, arg(metavar="PIXELS")] = 256
    """Side of the square pictures, in pixels."""
    classes: Annotated[tuple[str, ...], arg(metavar="NAME")] = ()
    """Products, categories of --kind textures or solids to generate; all of them by default."""
    layout: Annotated[Literal["mvtec_3d", "eyecandies"] | None, arg(metavar="NAME")] = None
    """With --kind solids only: mvtec_3d (MVTec 3D-AD, the default) or eyecandies."""

    def run(self) -> None:
        """Write the pictures and print where they are."""
        if self.layout and self.kind != "solids":
            raise UsageError("--layout can only be given with --kind solids")
        if self.kind == "products":
            write_products(self.folder, seed=self.seed, image_size=self.image_size, classes=self.classes)
        elif self.kind == "solids":
            layout = self.layout or "mvtec_3d"
            write_solids(self.folder, seed=self.seed, image_size=self.image_size, classes=self.classes, layout=layout)
        else:
            write_textures(self.folder, seed=self.seed, image_size=self.image_size, categories=self.classes)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Publish:
    """Have running services answer with another version of a model, older or newer; learning goes on where it was."""

    model: Annotated[str, arg(metavar="STORE")]
    """Model store: a folder such as runs/mecad/model, or a URI."""
    version: Annotated[str, arg(metavar="N|latest")]
    """Number of the version, as `eagleray versions` lists it, or latest: the one learned last."""
    address: Annotated[str | None, arg(metavar="URL")] = None
    """Running service to wait for: such as http://127.0.0.1:8000."""
    api_key_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """File that holds the service's API key; else the environment's EAGLERAY_API_KEY, if it is set."""

    def __post_init__(self) -> None:
        if self.version != "latest" and not self.version.isdecimal():
            raise ConfigError("--version", "a version's number or 'latest'", self.version)

    def run(self) -> None:
        """Move the store's pointer for services, wait for the service that is named, and say so."""
        store = ModelStore.open(self.model)
        version = max(store.versions(), default=0) if self.version == "latest" else int(self.version)
        if self.address is None:
            store.publish(version)
            print(f"version {version} is published")
            return
        from eagleray.service_client import ServiceClient  # loads httpx, which no other command should wait for

        with ServiceClient(self.address, api_key=_api_key(self.api_key_file)) as client:
            client.model()  # a wrong address or key shows before anything has changed
            store.publish(version)
            published_s = time.monotonic()
            client.wait_for_version(version)
            took_s = time.monotonic() - published_s
            print(f"version {version} answers at {client.address}, {took_s:.1f} s after publishing")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clean:
    """Free what no version of a model names, such as leftovers of killed runs; not while a job learns into it."""

    model: Annotated[str, arg(metavar="STORE")]
    """Model store: a folder such as runs/mecad/model, or a URI."""

    def run(self) -> None:
        """Delete, and say how much that was."""
        print(f"{ModelStore.open(self.model).remove_unused() / 1e6:,.1f} MB freed")


COMMANDS: tuple[type[Command], ...] = (Score, Versions, Rollback, Publish, Clean, Report, DemoData)


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


def _print_lines(lines: Iterable[str], total: int) -> None:
    stdout = sys.stdout  # the progress bar takes sys.stdout over
    with (progress_bar if _bar_wanted() else silent)("score", total) as advance:
        for line in lines:
            print(line, file=stdout, flush=True)
            advance(1)


def _api_key(file: Path | None) -> str | None:
    """The key in a file, without the space round it; else that of the environment; else none."""
    if file is None:
        return os.environ.get(_API_KEY_VARIABLE) or None
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--api-key-file", "a text file that can be read", str(file)) from error


def _bar_wanted() -> bool:
    """A bar is for a person who sees stderr, and the lines must not run through it."""
    return sys.stderr.isatty() and not sys.stdout.isatty()


if __name__ == "__main__":
    sys.exit(main())
