"""A run that is gone on with: when that is asked for, and only with the settings that it began with."""

from collections.abc import Mapping
from typing import Any

from eagleray.config import fingerprint
from eagleray.errors import ConfigError, ResultsError
from eagleray.uris import Place


def check_resumable(out: Place, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Mark a folder as of a run with these settings.

    Raises:
        ConfigError: a run is in the folder already and going on is not asked for, or its settings were others.
        ResultsError: the folder cannot be written to.
        UriError: nor the bucket.
    """
    stamp, ours = out / "settings.txt", fingerprint(settings)
    if stamp.exists() and not resume:
        raise ConfigError("--out", "a new folder, or --resume to go on with the run in it", str(out))
    if stamp.exists() and stamp.read_text() != ours:
        raise ConfigError("--resume", f"given with the settings that the run in {out} began with", True)
    try:
        out.mkdir(parents=True, exist_ok=True)
        stamp.write_text(ours)
    except OSError as error:
        raise ResultsError(str(out), f"cannot be written ({error.strerror})") from error
