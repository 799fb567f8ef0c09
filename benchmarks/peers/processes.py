"""Contestants as processes: the same cores and threads, a log each, and figures that a resumed run finds again."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.contestants.contest import FIGURES, Job
from eagleray.errors import EagleRayError

ROOT = Path(__file__).resolve().parents[2]


class ContestantFailed(EagleRayError):
    """A contestant's process ended with an error."""

    def __init__(self, contestant: str, reason: str, log: str) -> None:
        super().__init__(contestant, reason, log)

    def __str__(self) -> str:
        return "{} failed ({}); its log is {}, and --resume goes on after the cure".format(*self.args)


@contextmanager
def on_cores(most: int) -> Iterator[None]:
    """Keep this process, and all that it starts, to so many cores."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:most])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measured(contestant: str, job: Job, python: Path) -> dict[str, Any]:
    """Figures of a contestant, with the load of the machine when it began; kept ones, where the job was done before."""
    folder = Path(job.out)
    folder.mkdir(parents=True, exist_ok=True)
    file, asked, load = folder / FIGURES, folder / "job.json", folder / "load.json"
    if file.exists() and asked.exists() and Job.read(asked) == job:
        return {**json.loads(file.read_text()), **json.loads(load.read_text()), "kept": True}
    file.unlink(missing_ok=True)
    job.write(asked)
    load.write_text(json.dumps({"load_before": os.getloadavg()[0]}))
    log = folder / "log.txt"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(job.threads))
    with log.open("w") as stream, on_cores(job.threads):
        command = [str(python), "-m", f"benchmarks.peers.contestants.{contestant}", str(asked)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | threads,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            check=False,
        )
    if done.returncode or not file.exists():
        lines = log.read_text(errors="replace").split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
        raise ContestantFailed(contestant, reason, str(log))
    return {**json.loads(file.read_text()), **json.loads(load.read_text()), "kept": False}
