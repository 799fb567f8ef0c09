"""Choosing a design without a test picture: on a subclass that was left out, with synthetic anomalies.

Subclasses are left out in turn. A candidate learns the others and is judged on good pictures of the one left out,
each as it is and with an anomaly painted in: that is what the test will be, as far as good pictures can show it.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eagleray.adapted_moe.config import MixtureConfig
from eagleray.adapted_moe.dataset import CategoryPatches, TestImage
from eagleray.adapted_moe.evaluation import Scored, evaluate
from eagleray.adapted_moe.workshop import Built, Workshop
from eagleray.arrays import Pixels
from eagleray.data import Sample
from eagleray.experts import ScoringConfig
from eagleray.features import load_image
from eagleray.mixture import Design
from eagleray.mixture.anomalies import add_anomaly
from eagleray.uris import Place


@dataclass(frozen=True, slots=True)
class Evidence:
    """How one candidate did, as the mean over the subclasses left out."""

    design: Design
    image_auroc: float
    pixel_auroc: float

    @property
    def merit(self) -> float:
        """What is compared: both figures count alike."""
        return (self.image_auroc + self.pixel_auroc) / 2


def left_out(data: CategoryPatches, config: MixtureConfig) -> list[int]:
    """Subclasses to leave out: the ones farthest from the mean of the others, since unseen ones lie outside too."""
    means_SD = np.stack(
        [data.statistics.means_ND[data.labels_N == number].mean(axis=0) for number in range(len(data.subclasses))]
    )
    total_D = means_SD.sum(axis=0)
    others = len(means_SD) - 1
    distances = [float(np.linalg.norm(mean_D - (total_D - mean_D) / others)) for mean_D in means_SD]
    ranked = sorted(range(len(means_SD)), key=lambda number: (-distances[number], number))
    return sorted(ranked[: config.evidence_folds])


def weigh(
    categories: Sequence[CategoryPatches],
    candidates: Sequence[Design],
    workshop: Workshop,
    config: MixtureConfig,
    scoring: ScoringConfig,
    *,
    folder: Place,
    top_k: int,
    sigma: float,
    seed: int,
) -> dict[str, list[Evidence]]:
    """Try candidates on subclasses left out; the pictures it takes are left in `folder` to be looked at.

    Args:
        categories: of at least two subclasses each.
        candidates: what to try.
        workshop: fits and scores.
        config: how many subclasses are left out, and how many of their pictures are used.
        scoring: how a picture's score follows from its patches.
        folder: for the synthetic pictures.
        top_k: experts asked of a picture.
        sigma: blur of anomaly maps, in pixels of the picture.
        seed: decides everything.

    Returns:
        How each candidate did, in order, by the name of the category.
    """
    folds = {
        data.name: [_fold(data, number, workshop, config, folder, seed) for number in left_out(data, config)]
        for data in categories
    }
    rows = {
        (name, design): [
            Built(data=fold, design=design, seed=seed, top_k=min(top_k, len(fold.present)))
            for fold in folds[name]
            if len(fold.present) > 1 or not design.moe
        ]
        for name in folds
        for design in candidates
    }
    rows = {key: built for key, built in rows.items() if built}
    workshop.prepare(one for built in rows.values() for one in built)
    flat = [one for built in rows.values() for one in built]
    scored = [Scored(one.data.tests, workshop.patch_scores(one)) for one in flat]
    figures = iter(evaluate(scored, workshop.pool, scoring, sigma=sigma))
    found: dict[str, list[Evidence]] = {name: [] for name in folds}
    for (name, design), built in rows.items():
        own = [subclass.values for _ in built for subclass in next(figures)]
        image, pixel = (float(np.mean([values[figure] for values in own])) for figure in ("image_auroc", "pixel_auroc"))
        found[name].append(Evidence(design, image, pixel))
    return found


def _fold(
    data: CategoryPatches, left: int, workshop: Workshop, config: MixtureConfig, folder: Place, seed: int
) -> CategoryPatches:
    """The category without one subclass, to be tested on that one with synthetic anomalies."""
    name = f"{data.name} without {data.subclasses[left]}"
    own = [data.train.paths[image] for image in np.flatnonzero(data.labels_N == left)][: config.evidence_images]
    samples = _write_pictures(own, data, folder / data.name / str(left), left, seed)
    test = workshop.pool.embed([sample.path for sample in samples])
    return dataclasses.replace(
        data.without(left),
        name=name,
        test=test,
        tests=tuple(
            TestImage(sample, data.subclasses[left], seen=False)
            for sample in samples
            if sample.path in frozenset(test.paths)
        ),
    )


def _write_pictures(paths: Sequence[str], data: CategoryPatches, folder: Place, number: int, seed: int) -> list[Sample]:
    """Each picture as it is and with an anomaly; written once, and again where anything that decides them changed."""
    made_of = json.dumps([data.digest, list(paths), seed])
    stamp = folder / "made_of.json"
    samples = [Sample(path, data.name, "test", 0, "good", None) for path in paths]
    files = [(folder / f"{n:03d}.png", folder / f"{n:03d}_mask.png") for n in range(len(paths))]
    samples += [Sample(str(picture), data.name, "test", 1, "synthetic", str(mask)) for picture, mask in files]
    if stamp.exists() and stamp.read_text() == made_of:
        return samples
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text("")  # what is there is not whole until it says of what it was made
    rng = np.random.default_rng([seed, number])
    donors = [load_image(path) for path in paths]  # taken in the same light: a foreign tint would be found by anything
    for path, (picture, mask) in zip(paths, files, strict=True):
        painted_YX3, mask_YX = add_anomaly(load_image(path), donors, rng)
        picture.write_bytes(_png(painted_YX3))
        mask.write_bytes(_png(mask_YX.astype(np.uint8) * 255))
    stamp.write_text(made_of)
    return samples


def _png(pixels: Pixels) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="PNG", compress_level=1)
    return held.getvalue()
