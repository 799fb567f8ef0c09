"""Ours beside other libraries, in one run: the same pictures, weights, taps, size, rows and cores, in turn.

make bench DATA=MVTEC_AD_LAYOUT             about 45 minutes on two quiet cores
make bench-quick DATA=MVTEC_AD_LAYOUT       some minutes; shows that all works, no figures to quote

Without DATA the demo's generated products stand in, which are no benchmark of accuracy. What is compared, and how, is
in docs/benchmarks.md. Writes results.json, results.md and three plots.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from benchmarks.peers import plots
from benchmarks.peers.jobs import Jobs, open_products
from benchmarks.peers.markdown import page
from benchmarks.peers.options import PRESETS, Bench
from benchmarks.peers.processes import measured
from benchmarks.peers.results import results_of
from benchmarks.peers.turns import PEERS, Turn, all_turns
from eagleray.console import parse_flags, run_main
from eagleray.errors import ConfigError


def run(bench: Bench, console: Console) -> dict[str, Any]:
    """Measure everything, and write it down."""
    if not bench.peers.exists():
        raise ConfigError("--peers", "the Python of the peers' environment (make bench installs it)", str(bench.peers))
    work = (bench.out / "work").absolute()
    if not bench.resume:
        shutil.rmtree(work / "turns", ignore_errors=True)
    products = open_products(bench, work)
    largest = max(products.values(), key=lambda product: len(product.train))
    jobs = Jobs(bench, products, work)
    turns = all_turns(bench.rounds, largest.name, list(products), bench.seeds)
    found: dict[Turn, dict[str, Any]] = {}
    for number, turn in enumerate(turns, 1):
        # Not resolved: a virtual environment's Python is a link, and known by its place.
        python = bench.peers.absolute() if turn.contestant in PEERS else Path(sys.executable)
        found[turn] = measured(turn.contestant, jobs.of(turn), python)
        stages = found[turn].get("seconds", {})
        note = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages.items())
        console.print(f"{number} of {len(turns)}  {turn.name}  {note}", highlight=False)
    results = results_of(bench, found, products, work)
    (bench.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (bench.out / "results.md").write_text(page(results), encoding="utf-8")
    plots.draw_all(results, bench.out)
    return results


def main() -> None:
    """Parse, run, print."""
    bench = parse_flags(PRESETS, sys.argv[1:], description=str(__doc__).splitlines()[0])
    console = Console(width=None if sys.stdout.isatty() else 140)
    run(bench, console)
    console.print(Markdown((bench.out / "results.md").read_text(encoding="utf-8")))
    console.print(f"figures in {bench.out}")


if __name__ == "__main__":
    sys.exit(run_main(main))
