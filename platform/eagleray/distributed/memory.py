"""What a process weighs."""

import resource
import sys


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB; pages of the object store it has touched count too."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
