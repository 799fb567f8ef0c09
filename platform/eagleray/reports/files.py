"""Files that are written whole or not at all."""

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from eagleray.errors import ResultsError
from eagleray.uris import Place, Uri

CURE = "make room, check the folder's permissions, or choose another one"


def write_whole(path: Place, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file beside `path`, then move it into place: a reader or a crash never meets half a file.

    Raises:
        ResultsError: the disk refused; `path` is as it was.
        UriError: the bucket did.
    """
    if isinstance(path, Uri):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = io.BytesIO()
        write(held)
        path.write_bytes(held.getvalue())
        return
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # mkstemp's 0600 would hide results from colleagues
        temporary.replace(path)
    except OSError as error:
        raise ResultsError(str(path), f"cannot be written ({error.strerror or error}); {CURE}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
