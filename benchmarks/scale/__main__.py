"""What any number of products costs: rows, memory, time to learn one more, time to route a picture, network.

python -m benchmarks.scale                            2,000 classes, 200 experts; ten minutes of one core

Features are synthetic (`products`), so no backbone runs; everything else is what a run and a service do. The
learner assigns, fits a bank of 400 vectors and commits a version of the model for each class; at some numbers of
classes a judge is opened on the version and asked where pictures belong. A class has few pictures of few patches:
fitting it costs far less than in a factory, so that what grows with the number of classes weighs more here than there.
Pictures to be routed have the grid of the default settings.

Times are of this process's CPU on one thread, and what the k-th class costs is held against a second, small model
that learns the same classes in turn with the large one, as its tenth and those that follow: a machine's other work
slows both. Writes scale.json; prints figures, and what straight lines through those from 100 classes on come to at
100,000.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.scale.figures import PROMISED, STRAIGHT_FROM, summarise, tables
from benchmarks.scale.simulation import Options, simulate
from eagleray.config import to_json
from eagleray.console import parse_flags, run_main
from eagleray.provenance import git_commit, machine, versions


def run(options: Options) -> dict[str, Any]:
    """Simulate, and write the figures to `options.out`."""
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        steps = simulate(options, Path(folder))
        rows = list(track(steps, "classes", total=options.classes, transient=True, console=Console(stderr=True)))
    summary = summarise(rows, options.window)
    made = {"options": to_json(options) | {"out": None}, "git_commit": git_commit(), "machine": machine()}
    text = json.dumps({**made, "versions": versions(), **summary, "classes": rows}, indent=1)
    (options.out / "scale.json").write_text(text + "\n", encoding="utf-8")
    return summary


def main() -> None:
    """Parse, run, print."""
    options = parse_flags({"": Options()}, sys.argv[1:], description=str(__doc__).splitlines()[0])
    summary = run(options)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(*tables(summary), sep="\n")
    console.print(f"~ {PROMISED:,}: straight lines through the figures from {STRAIGHT_FROM} classes on; not simulated")


if __name__ == "__main__":
    sys.exit(run_main(main))
