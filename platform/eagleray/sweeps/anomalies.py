"""Pictures with synthetic anomalies that decide a search over settings, as files that are embedded like others."""

from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from eagleray.arrays import Pixels
from eagleray.continual import held_out
from eagleray.data import Category, image_digests
from eagleray.features import load_image
from eagleray.mixture.anomalies import add_anomaly
from eagleray.reports.files import write_whole
from eagleray.uris import Place

_MOST = 24
"""Pictures for each seed, at most."""
_SIDE = 1024
"""Longer side of a picture at most, in pixels."""


def write_anomalies(category: Category, folder: Place, *, share: float, seeds: Iterable[int]) -> list[str]:
    """Copy good pictures that the learner holds out, each with an anomaly that its content decides.

    Args:
        category: whose good pictures; unreadable ones are left out.
        folder: where the copies go; those that are there already are left as they are.
        share: of the good pictures that is held out, as `CalibrationConfig.share`.
        seeds: of the runs; each holds out others.

    Returns:
        Paths of the copies, sorted.
    """
    files: dict[str, str] = {}
    paths = [sample.path for sample in category.train]
    for path, digest in zip(paths, image_digests(paths), strict=True):
        if isinstance(digest, str):
            files.setdefault(digest, path)
    chosen = {digest for seed in seeds for digest in sorted(held_out(tuple(files), share, seed))[:_MOST]}
    return [_with_anomaly(folder, digest, files) for digest in sorted(chosen)]


def _with_anomaly(folder: Place, digest: str, files: Mapping[str, str]) -> str:
    path = folder / f"{digest}.png"
    if not path.exists():
        random = np.random.default_rng(int(digest, 16))
        others = sorted(files.keys() - {digest})
        donor = files[others[int(random.integers(len(others)))]] if others else files[digest]
        painted, _ = add_anomaly(_small(files[digest]), [_small(donor)], random)
        write_whole(path, lambda stream: Image.fromarray(painted).save(stream, format="PNG", compress_level=1))
    return str(path)


def _small(path: str) -> Pixels:
    picture = Image.fromarray(load_image(path))
    picture.thumbnail((_SIDE, _SIDE))
    return np.asarray(picture)
