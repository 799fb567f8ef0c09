"""Learn the same products under many settings, class orders and seeds, side by side on Ray Tune.

python jobs/sweep.py experts                           1 to 8 experts on generated products (MECAD, Fig. 2 to 5)
python jobs/sweep.py threshold --data DIR              similarities above which classes share an expert
python jobs/sweep.py budget --data DIR                 bank rows of a class
python jobs/sweep.py space FILE --data DIR             your own search over any settings
python jobs/sweep.py topk --data DIR                   experts asked of a picture (Adapted-MoE, Fig. 6)
ray job submit --working-dir . --runtime-env jobs/runtime-env.yaml -- python jobs/sweep.py experts
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from eagleray.console import parse_flags, progress_bar, run_main
from eagleray.distributed.mixture_job import PRESETS as MIXTURE_PRESETS
from eagleray.distributed.mixture_job import run_mixture_job
from eagleray.errors import UsageError
from eagleray.reports import mixture_tables, summary_table, sweep_table
from eagleray.sweeps.kinds import Budget, Experts, SpaceSearch, SweepJob, Threshold, presets
from eagleray.sweeps.sweep_job import run_sweep_job
from eagleray.uris import Place

KINDS: dict[str, type[SweepJob]] = {kind.kind: kind for kind in (Experts, Threshold, Budget, SpaceSearch)}
TOP_K = "topk"
TOP_K_PRESETS = {
    name: dataclasses.replace(job, out=Path(f"runs/sweep-{TOP_K}"), repeats=3, top_k_curve=True)
    for name, job in MIXTURE_PRESETS.items()
}


def main() -> None:
    """Find out which sweep, parse, run, print what was found."""
    what, *flags = sys.argv[1:] or ["--help"]
    if what in ("-h", "--help"):
        print(__doc__)
    elif what == TOP_K:
        job = parse_flags(TOP_K_PRESETS, flags, description="Numbers of experts asked (Adapted-MoE, Fig. 6)")
        results = run_mixture_job(job, progress=progress_bar)
        _print(mixture_tables(results).get("top_k", summary_table(results)), job.out, results["seconds"]["total"])
    elif what in KINDS:
        sweep = _parse(KINDS[what], flags)
        results = run_sweep_job(sweep, progress=progress_bar)
        _print(sweep_table(results), sweep.folder, results["seconds"]["total"])
    else:
        raise UsageError(f"give one of {', '.join((*KINDS, TOP_K))} as the first word, not {what!r}")


def _parse(kind: type[SweepJob], flags: Sequence[str]) -> SweepJob:
    description = str(kind.__doc__).splitlines()[0]
    if kind is not SpaceSearch:
        return parse_flags(presets(kind), flags, description=description)
    if flags and flags[0] in ("-h", "--help"):
        return parse_flags(presets(kind), flags, description=description)
    if not flags or flags[0].startswith("-"):
        raise UsageError("give the YAML file of the space after the word space")
    return parse_flags(presets(kind), [*flags[1:], "--space", flags[0]], description=description)


def _print(table: object, out: Place, seconds: float) -> None:
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(f"report {out / 'report.html'}   {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(run_main(main))
