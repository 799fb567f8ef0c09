"""Changing files behind a program's back."""

from pathlib import Path


def replace_file(path: Path, data: bytes | str) -> None:
    """Put other bytes under a name, as a restore from a backup does.

    Whoever has the old ones mapped into memory keeps them; writing over them in place would end such a process.
    """
    partial = path.with_name(f".{path.name}.new")
    partial.write_bytes(data.encode() if isinstance(data, str) else data)
    partial.replace(path)
