"""A bucket in memory, for tests that need no server: pyarrow's own, one a process."""

from pathlib import Path

from eagleray.uris import Uri


def bucket(folder: Path) -> Uri:
    """An empty one that no other test has."""
    return Uri(f"mock://{folder}")


def upload(folder: Path, root: Uri) -> Uri:
    """Copy a folder's files below `root`."""
    for path in folder.rglob("*"):
        if path.is_file():
            copy = root / str(path.relative_to(folder))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return root
