"""Search how colour and depth are best fused for products, and train the network that was found, on Ray (3D-ADNAS).

python jobs/adnas_search.py                                     generated solids, Ray on this machine
python jobs/adnas_search.py --data DIR --out runs/mine           your pictures, laid out as in MVTec 3D-AD or Eyecandies
python jobs/adnas_search.py --repeats 3 --baselines random evolution single pairs color depth     everything compared
python jobs/adnas_search.py --few-shot 5 10                     the best network also trained on 5 and 10 pictures each
python jobs/adnas_search.py --preset paper --check              one training step of the paper's network, and its sizes
ray job submit --working-dir . --runtime-env jobs/runtime-env.yaml -- python jobs/adnas_search.py
"""

import sys

from rich.console import Console

from eagleray.console import parse_flags, progress_bar, run_main
from eagleray.reports import search_tables, summary_table
from eagleray.sweeps.search_job import PRESETS, check_step, run_search_job


def main() -> None:
    """Parse, run, print what was found."""
    job = parse_flags(PRESETS, sys.argv[1:], description=str(__doc__).splitlines()[0])
    console = Console(width=None if sys.stdout.isatty() else 120)
    if job.check:
        console.print("\n".join(f"{name:<17} {value:,.3f}" for name, value in check_step(job).items()))
        return
    results = run_search_job(job, progress=progress_bar)
    console.print(summary_table(results), *search_tables(results).values())
    console.print(f"report {job.out / 'report.html'}   model {job.out / 'model'}   {results['seconds']['total']:.0f} s")


if __name__ == "__main__":
    sys.exit(run_main(main))
