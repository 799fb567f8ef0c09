"""From what a search met to what it found: its best architectures, each trained from scratch, and which one is kept.

A search compares architectures by fusion networks that were trained for a few epochs on kept features. That is cheap,
and says too little of what an architecture comes to when everything is trained together: the search only hands on the
best ones by it. Whole held-out pictures choose among their trained networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eagleray.adnas.outcome import image_scores
from eagleray.adnas.trials import Material, TrainSpec, network_of
from eagleray.arrays import Floats
from eagleray.experts import ScoringConfig
from eagleray.fusion.anomalies import AnomalyGenerator
from eagleray.fusion.genotype import GENOTYPE_SCHEMA, Genotype
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.training import patch_scores
from eagleray.metrics import auroc
from eagleray.trials import Outcome

_COPIES = 4
"""Defective pictures made of each good one."""
_SEED = 0
"""Draws the same anomalies for all networks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """An architecture that a search hands on."""

    genotype: Genotype
    """Without cells that are not used."""
    step: int | None
    """Of the search, from 1, at which it was met first; None where it was given."""
    merit: float | None
    """By which the search handed it on; None where it was given."""
    validation_auroc: float | None = None
    """Of its network, trained from scratch; see `validation_auroc`."""


def finalists(history: Sequence[Mapping[str, Any]], count: int) -> list[Finalist]:
    """The best architectures of a search by merit, best first; those that differ in unused cells only are one.

    Args:
        history: its steps, as `eagleray.fusion.search.Progress` in plain values.
        count: at most.
    """
    best: dict[Genotype, Finalist] = {}
    for step in sorted(history, key=lambda step: -float(step["merit"])):  # stable: of equals the first
        genotype = Genotype.from_json({"schema": GENOTYPE_SCHEMA, **step["genotype"]}, "a trial's state").pruned()
        one = Finalist(genotype=genotype, step=int(step["step"]), merit=float(step["merit"]))
        best.setdefault(genotype, one)
    return list(best.values())[:count]


def validation_auroc(trained: Outcome[TrainSpec], material: Material, scoring: ScoringConfig) -> float:
    """Image AUROC of whole held-out good pictures against copies with synthetic anomalies; mean over categories.

    The anomalies are in colour, in depth or in both, whatever the network looks at: all are asked the same.
    """
    network = network_of(trained, material)
    found, start = [], 0
    for number, count in enumerate(material.validation_counts):
        good = material.validation.chosen(range(start, start + count))
        defective = _defective(good, material, np.random.default_rng((_SEED, number)))
        scores = [image_scores(patch_scores(network, images), scoring) for images in (good, defective)]
        found.append(_auroc(*scores))
        start += count
    return float(np.mean(found))


def _defective(good: RgbdImages, material: Material, random: np.random.Generator) -> RgbdImages:
    """Copies of each picture, each with an anomaly of its own."""
    generator = AnomalyGenerator(replace(material.anomalies, share=1.0), good.height_NYX.shape[1])
    parts = []
    for number in np.repeat(np.arange(len(good)), _COPIES).tolist():
        one = good.chosen([number])
        made = generator.corrupt(one.color_NYX3[0], one.height_NYX[0], one.valid_NYX[0], random, one.product_NYX[0])
        parts.append(RgbdImages(made.color_YX3[None], made.height_YX[None], made.valid_YX[None], one.product_NYX))
    return RgbdImages.joined(parts)


def _auroc(good_N: Floats, defective_M: Floats) -> float:
    labels = np.repeat([0, 1], [len(good_N), len(defective_M)])
    found = auroc(np.concatenate([good_N, defective_M]), labels)
    assert found is not None, "every category has pictures to validate with"
    return found
