"""Data to work on: the user's, or generated where none are given."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import overload

from eagleray.uris import Place, Uri, overlapped

_COMPLETE = ".complete"
"""In a bucket, where a folder has no name until something lies in it: written after everything else."""


@overload
def data_or_demo(data: Path | None, out: Path, write: Callable[[Path], object]) -> Path: ...
@overload
def data_or_demo(data: Place | None, out: Place, write: Callable[[Path], object]) -> Place: ...
def data_or_demo(data: Place | None, out: Place, write: Callable[[Path], object]) -> Place:
    """The user's folder, or ``<out>/data``, which `write` fills once; a run that is killed meanwhile leaves no half."""
    if data is not None:
        return data
    if isinstance(out, Uri):
        return _uploaded(out / "data", write)
    root = out / "data"
    if not root.exists():
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".data.") as folder:  # a name that no killed run has left
            partial = Path(folder) / "data"  # readable for others too, unlike the folder around it
            write(partial)
            partial.rename(root)
    return root


def _uploaded(root: Uri, write: Callable[[Path], object]) -> Uri:
    if (root / _COMPLETE).exists():
        return root
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "data"
        write(here)
        files = {root / str(path.relative_to(here)): path for path in here.rglob("*") if path.is_file()}

        def upload(file: Uri) -> None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(files[file].read_bytes())

        list(overlapped(upload, list(files)))
    (root / _COMPLETE).write_bytes(b"")
    return root
