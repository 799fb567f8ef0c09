"""Data to work on: the user's, or generated where none are given."""

import os
from collections.abc import Callable
from pathlib import Path


def data_or_demo(data: Path | None, out: Path, write: Callable[[Path], object]) -> Path:
    """The user's folder, or ``<out>/data``, which `write` fills once; a run that is killed meanwhile leaves no half."""
    if data is not None:
        return data
    root = out / "data"
    if not root.exists():
        partial = out / f".data.{os.getpid()}"
        write(partial)
        partial.rename(root)
    return root
