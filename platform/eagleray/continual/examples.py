"""The test images worth looking at: for each class the worst and the best, with their heat maps."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from eagleray.continual.evaluation import Verdict
from eagleray.experts import overlay
from eagleray.features import load_image, load_mask
from eagleray.metrics import anomaly_map
from eagleray.uris import Place

_WIDTH = 320
"""Largest side of an example, in pixels."""


def write_examples(out: Place, judged: Mapping[str, Sequence[Verdict]], *, sigma: float) -> list[dict[str, Any]]:
    """Write pictures under ``<out>/examples`` and say what each shows.

    Args:
        out: folder of the run.
        judged: verdicts by class.
        sigma: blur of the heat maps, in pixels of the original picture.
    """
    folder = out / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for class_number, verdicts in enumerate(judged.values()):
        for number, verdict in enumerate(_worst_and_best(verdicts)):
            stem = f"{class_number:03d}-{number}"
            entries.append(_write(folder, stem, verdict, sigma))
    return entries


def _worst_and_best(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The defective image with the lowest score, the good one with the highest, then the opposite of both."""
    ranked = sorted(verdicts, key=lambda verdict: (verdict.p_value, -verdict.score, verdict.sample.path))
    defective = [verdict for verdict in ranked if verdict.sample.label]
    good = [verdict for verdict in ranked if not verdict.sample.label]
    picked = [*defective[-1:], *good[:1], *defective[:1], *good[-1:]]
    return list({verdict.sample.path: verdict for verdict in picked}.values())


def _write(folder: Place, stem: str, verdict: Verdict, sigma: float) -> dict[str, Any]:
    sample = verdict.sample
    picture = load_image(sample.path)
    heat = anomaly_map(verdict.patch_scores_HW, picture.shape[:2], sigma=sigma)
    _save(picture, folder / f"{stem}.png")
    _save(overlay(picture, heat, limit=verdict.patch_limit), folder / f"{stem}-heat.png")
    mask = None
    if sample.mask:
        _save(load_mask(sample.mask).astype(np.uint8) * 255, folder / f"{stem}-mask.png")
        mask = f"examples/{stem}-mask.png"
    kinds = {(1, True): "hit", (1, False): "missed", (0, True): "false_alarm", (0, False): "quiet"}
    return {
        "class": sample.category,
        "path": sample.path,
        "label": sample.label,
        "defect": sample.defect,
        "score": verdict.score,
        "p_value": verdict.p_value,
        "kind": kinds[sample.label, verdict.flagged],
        "image": f"examples/{stem}.png",
        "heatmap": f"examples/{stem}-heat.png",
        "mask": mask,
    }


def _save(pixels: Any, path: Place) -> None:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_WIDTH, _WIDTH))
    held = io.BytesIO()
    picture.save(held, format="PNG")
    path.write_bytes(held.getvalue())
