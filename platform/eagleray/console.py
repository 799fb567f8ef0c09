"""What jobs and the command line share: flags from dataclasses, progress bars, and errors as one line."""

import contextlib
import errno
import functools
import io
import itertools
import operator
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from eagleray.errors import ConfigError, EagleRayError, EagleRayWarning, UsageError
from eagleray.uris import Place, Uri, is_uri, place

T = TypeVar("T")

USER_ERROR = 2
"""Exit code for a mistake that the user can cure."""

_CURES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, then run the same command with --resume") | (
    dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "check its permissions or choose another folder")
    | dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "something is in the way; move it or choose another folder"
    )
    | {
        errno.ENAMETOOLONG: "give a shorter path, of names that have 255 bytes at most",
        errno.ELOOP: "links lead in a circle; correct them or choose another path",
    }
)


def parse_flags(presets: Mapping[str, T], arguments: Sequence[str], *, description: str) -> T:
    """Build a job from its presets: the one that `--preset` names, with any field as a flag, nested as --part.field.

    Raises:
        UsageError: an unknown flag, or a value of the wrong kind.
        ConfigError: an unknown preset, or a wrong value.
    """
    default = presets[_preset(presets, arguments)]
    with _one_line_usage(), _FLAGS:
        return tyro.cli(type(default), args=list(arguments), default=default, description=description)


def parse_command(commands: Sequence[type[T]], arguments: Sequence[str], *, prog: str, description: str) -> T:
    """Build the command that the first argument names, as its class does in kebab case, from the flags after it.

    Raises:
        UsageError: an unknown command or flag, or a value of the wrong kind.
        ConfigError: a wrong value.
    """
    union: Any = functools.reduce(operator.or_, commands)
    with _one_line_usage():
        made: T = tyro.cli(union, args=list(arguments), prog=prog, description=description)
        return made


_FLAGS = ConstructorRegistry()
"""What tyro does not know by itself."""


@_FLAGS.primitive_rule
def _uri_flag(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Place] | None:
    """The first half of a flag for a URI or a path; what is no URI is left to the second."""
    if kind.type is not Uri:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="URI",
        instance_from_str=_uri,
        is_instance=lambda value: isinstance(value, Uri),
        str_from_instance=lambda value: [str(value)],
    )


def _uri(words: list[str]) -> Place:
    if not is_uri(words[0]):
        raise ValueError("no URI")
    return place(words[0])


@contextlib.contextmanager
def _one_line_usage() -> Iterator[None]:
    """Turn tyro's framed usage messages into our one line."""
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught):
            yield
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise UsageError(_unframed(caught.getvalue()).rstrip(".")) from stop


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with rate and time left on a terminal; elsewhere one line when it is done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (console.is_terminal and total)) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, advance=done)
    if not console.is_terminal:
        console.print(label, highlight=False)


def run_main(main: Callable[[], None]) -> int:
    """Run an entry point; a user's mistake becomes one line on stderr and exit code 2, never a traceback."""
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", EagleRayWarning)
    try:
        main()
    except EagleRayError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    except OSError as error:
        if error.errno not in _CURES:
            raise
        print(f"error: {error.filename or 'the disk'}: {error.strerror}; {_CURES[error.errno]}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("stopped; what was learned is kept, --resume goes on from there", file=sys.stderr)
        return 130
    return 0


class _Rate(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed else "-/s", style="progress.data.speed")


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    text = message if issubclass(category, EagleRayWarning) else f"{category.__name__}: {message} ({filename}:{lineno})"
    print(f"warning: {text}", file=sys.stderr)


def _preset(presets: Mapping[str, T], arguments: Sequence[str]) -> str:
    chosen = next(iter(presets))
    for position, argument in enumerate(arguments):  # as for every flag, the last one counts
        name, _, value = argument.partition("=")
        if name == "--preset":
            chosen = value or next(iter(arguments[position + 1 :]), "")
            if chosen not in presets:
                raise ConfigError("--preset", f"one of {', '.join(presets)}", chosen)
    return chosen


def _unframed(text: str) -> str:
    """What tyro says inside its frame, as one line: all between the title and the first rule, and the flag it meant."""
    lines = [re.sub("[\u2500-\u257f]", "", line).strip() for line in text.strip().splitlines()]
    message = " ".join(itertools.takewhile(bool, lines[1:])) or " ".join(lines)
    meant = re.search(r"Perhaps you meant:\s*(--[\w.-]+)", "\n".join(lines))
    return f"{message}; perhaps you meant {meant[1]}" if meant else message
