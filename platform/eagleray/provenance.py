"""Where figures come from: command, commit, versions, machine."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from eagleray.uris import Place

_PACKAGES = ("eagleray", "faiss-cpu", "faiss-gpu-cu12", "numpy", "onnxruntime", "pillow", "ray", "timm", "torch")


def origin(data: Place | None) -> dict[str, Any]:
    """What the results of every job say of where their figures come from; without `data`, they were generated."""
    return {
        "command": command(),
        "git_commit": git_commit(),
        "versions": versions(),
        "machine": machine(),
        "data": {"source": str(data) if data else "demo", "generated": data is None},
    }


def command() -> str:
    """The command line that this process was started with, for another run like it: a new one, not a resumed one."""
    return shlex.join(["python", *(word for word in sys.argv if word != "--resume")])


def git_commit() -> str | None:
    """Commit of the source tree that runs, with a + where files differ from it; None outside our git checkout."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here.parent, check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # installed into a venv, the checkout around us is not ours
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a figure."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, memory and system of the driver's machine."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": platform.processor() or platform.machine(),
        "gpu": _gpu(),
        "platform": platform.platform(),
    }


def _gpu() -> str | None:
    """Name of the first GPU; torch would know too, but takes seconds to load."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        return None
    return names[0].strip() or None
