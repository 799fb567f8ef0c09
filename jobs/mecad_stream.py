"""Learn a stream of products, one after another, on Ray (MECAD).

python jobs/mecad_stream.py                                    generated demo products, Ray on this machine
python jobs/mecad_stream.py --data DIR --out runs/mine          your images, in MVTec AD layout
ray job submit --working-dir . --runtime-env jobs/runtime-env.yaml -- python jobs/mecad_stream.py
"""

import sys

from rich.console import Console

from eagleray.console import parse_flags, progress_bar, run_main
from eagleray.distributed.stream_job import PRESETS, run_stream_job
from eagleray.reports import controls_table, summary_table


def main() -> None:
    """Parse, run, print what was found."""
    job = parse_flags(PRESETS, sys.argv[1:], description=str(__doc__).splitlines()[0])
    results = run_stream_job(job, progress=progress_bar)
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(summary_table(results), controls_table(results))
    console.print(f"report {job.out / 'report.html'}   model {job.out / 'model'}   {results['seconds']['total']:.0f} s")


if __name__ == "__main__":
    sys.exit(run_main(main))
