"""A shift test on real pictures: learn products under some tints and exposures, test them under others.

    python -m benchmarks.shift --data MVTEC_AD_LAYOUT [--out runs/shift] [--categories NAME ...] [--repeats 3]

Every condition is one transform of the pixels, value -> clip(value ** gamma * exposure * tint), value in 0 to 1, tint a
factor for each of R, G, B. Conditions of training and of the test were written down before anything was measured; none
of the test's is among, or between, those of training. A category's training pictures are dealt to the conditions of
training, 32 each (all of them, where a category has fewer), its test pictures to those of the test, in turn. So each
condition is a subclass, and those of the test are unseen.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from eagleray.arrays import AnyArray, Pixels
from eagleray.console import parse_flags, progress_bar, run_main
from eagleray.data import Category, Sample, read_mvtec_ad
from eagleray.distributed.mixture_job import PRESETS, run_mixture_job
from eagleray.features import load_image

IMAGES = 32


@dataclass(frozen=True)
class Condition:
    """How pictures are taken."""

    tint: tuple[float, float, float]
    exposure: float = 1.0
    gamma: float = 1.0

    def apply(self, picture_YX3: Pixels) -> Pixels:
        value = (picture_YX3 / 255.0) ** self.gamma * self.exposure * np.array(self.tint)
        return (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)


SEEN = {
    "plain": Condition((1, 1, 1)),
    "warm": Condition((1, 0.8, 0.6)),
    "cool": Condition((0.6, 0.85, 1)),
    "green": Condition((0.8, 1, 0.75), exposure=0.8),
    "dark": Condition((1, 1, 1), exposure=0.6),
    "rose": Condition((1, 0.7, 0.9), exposure=1.2),
}
UNSEEN = {
    "red_dim": Condition((1, 0.55, 0.45), exposure=0.7),
    "blue_bright": Condition((0.5, 0.7, 1), exposure=1.3),
    "lime_dark": Condition((0.7, 1, 0.5), exposure=0.5),
}


@dataclass(frozen=True, kw_only=True)
class Shift:
    """The shift test; every field is a flag."""

    data: Path = Path()
    """Folder in MVTec AD layout."""
    out: Path = Path("runs/shift")
    """Folder for pictures and results."""
    categories: tuple[str, ...] = ()
    """Categories; all by default."""
    presets: tuple[Literal["paper", "best"], ...] = ("paper", "best")
    """Which to run."""
    repeats: int = 1
    """Seeds."""
    seed: int = 0
    """The first of them."""


def write_category(category: Category, folder: Path) -> None:
    """One category in the layout of Texture AD."""
    paths = [sample.path for sample in category.train]
    for number, (name, condition) in enumerate(SEEN.items()):
        for i in range(min(IMAGES, len(paths))):
            position = (number * IMAGES + i) % len(paths)
            _save(
                condition.apply(load_image(paths[position])), folder / name / "train" / "good" / f"{position:04d}.png"
            )
    names = list(UNSEEN)
    for label in (0, 1):
        for number, sample in enumerate(s for s in category.test if s.label == label):
            _write_test(sample, number, names[number % len(names)], folder)


def _write_test(sample: Sample, number: int, condition: str, folder: Path) -> None:
    stem = f"{number:04d}"
    picture = UNSEEN[condition].apply(load_image(sample.path))
    _save(picture, folder / condition / "test" / sample.defect / f"{stem}.png")
    if sample.mask:
        mask = Image.open(sample.mask).convert("L")
        _save(np.asarray(mask), folder / condition / "ground_truth" / sample.defect / f"{stem}_mask.png")


def _save(pixels: AnyArray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def main() -> None:
    job = parse_flags({"best": Shift()}, sys.argv[1:], description=str(__doc__).splitlines()[0])
    data = job.out / "data"
    if not data.exists():
        partial = job.out / ".data"
        for category in read_mvtec_ad(job.data, job.categories):
            write_category(category, partial / category.name)
        partial.rename(data)
    results = {}
    for preset in job.presets:
        mixture = replace(
            PRESETS[preset], data=data, out=job.out / preset, seed=job.seed, repeats=job.repeats, resume=True
        )
        results[preset] = run_mixture_job(mixture, progress=progress_bar)
    Console(width=120).print(table(results))


def table(results: Mapping[str, dict]) -> Table:
    """Image / pixel AUROC on the unseen conditions: baselines of each run, and the presets."""
    columns: dict[str, dict[str, tuple]] = {}
    for preset, found in results.items():
        for row in found["baselines"]:
            column = columns.setdefault(f"{row['name']} ({preset})", {})
            column[row["category"]] = (row["image_auroc"]["mean"], row["pixel_auroc"]["mean"])
        columns[preset] = {
            name: (values["image_auroc"], values["pixel_auroc"]) for name, values in found["classes"].items()
        }
    shown = Table("category", *columns)
    names = list(next(iter(results.values()))["classes"])
    for name in names:
        shown.add_row(name, *(_cell([column[name]]) for column in columns.values()))
    shown.add_row("mean", *(_cell([column[name] for name in names]) for column in columns.values()))
    return shown


def _cell(pairs: Sequence[tuple[float | None, float | None]]) -> str:
    image, pixel = ([value for value in values if value is not None] for values in zip(*pairs, strict=True))
    return " / ".join(f"{np.mean(values):.3f}" if values else "-" for values in (image, pixel))


if __name__ == "__main__":
    sys.exit(run_main(main))
