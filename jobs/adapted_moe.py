"""Learn products whose pictures come in subclasses, some of them never shown before the test, on Ray (Adapted-MoE).

python jobs/adapted_moe.py                                     generated cloth, metal and wafers, Ray on this machine
python jobs/adapted_moe.py --data DIR --out runs/mine           your images, in Texture AD layout: category/subclass
python jobs/adapted_moe.py --preset paper --ablation --repeats 3    the paper's tables, mean and spread over three seeds
ray job submit --working-dir . --runtime-env jobs/runtime-env.yaml -- python jobs/adapted_moe.py
"""

import sys

from rich.console import Console

from eagleray.console import parse_flags, progress_bar, run_main
from eagleray.distributed.mixture_job import PRESETS, run_mixture_job
from eagleray.reports import mixture_tables, summary_table


def main() -> None:
    """Parse, run, print what was found."""
    job = parse_flags(PRESETS, sys.argv[1:], description=str(__doc__).splitlines()[0])
    results = run_mixture_job(job, progress=progress_bar)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(summary_table(results), *mixture_tables(results).values())
    console.print(f"report {job.out / 'report.html'}   model {job.out / 'model'}   {results['seconds']['total']:.0f} s")


if __name__ == "__main__":
    sys.exit(run_main(main))
