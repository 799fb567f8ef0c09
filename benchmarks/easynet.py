"""The network that an architecture search found against an EasyNet of the same width: speed, memory, image AUROC.

    python -m benchmarks.easynet --run runs/adnas [--epochs N] [--threads N]

EasyNet (Chen et al. 2023) fuses at full resolution: features of several scales are drawn up to the picture, and heads
of 1 x 1 convolutions judge every pixel. This is its network at the width of the run's, with the same pictures,
anomalies, losses, epochs and seed; its gate, whose thresholds are set by hand for each test class, is left out.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from eagleray.adnas import FusionSettings, image_scores, load_category, load_model
from eagleray.adnas.pictures import CategoryPictures
from eagleray.config import from_json
from eagleray.console import parse_flags, run_main
from eagleray.data import open_rgbd
from eagleray.experts import ScoringConfig
from eagleray.fusion.anomalies import AnomalyConfig, AnomalyGenerator
from eagleray.fusion.genotype import MODALITIES, Modality
from eagleray.fusion.images import RgbdImages, corrupted, cropped
from eagleray.fusion.losses import focal_loss
from eagleray.fusion.sizes import measure
from eagleray.fusion.training import Optimizer, TrainingConfig, draw, reconstruction_loss, seeded
from eagleray.metrics import auroc
from eagleray.reports import read_results
from eagleray.storage import ModelStore


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared; every field is a flag."""

    run: Path = Path("runs/adnas")
    """Folder of a run of jobs/adnas_search.py."""
    epochs: int = 0
    """Epochs that EasyNet is trained for; 0 is as many as the run's network."""
    threads: int = 1
    """Threads that frames are timed on."""


class EasyNet(nn.Module):
    """Encoder and decoder of each modality, features of four scales drawn up to the picture, heads for every pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.down = nn.ModuleDict(
            {m: nn.ModuleList([_block(a, b) for a, b in zip((3, *sizes), sizes, strict=False)]) for m in MODALITIES}
        )
        self.up = nn.ModuleDict(
            {
                m: nn.ModuleList(
                    [
                        _block(8 * width, 8 * width),
                        _block(8 * width, 4 * width),
                        _block(4 * width, 2 * width),
                        _block(2 * width, width),
                    ]
                )
                for m in MODALITIES
            }
        )
        self.picture = nn.ModuleDict({m: nn.Conv2d(width, 3, 3, padding=1) for m in MODALITIES})
        self.fine = nn.ModuleDict({m: nn.Conv2d(2 * width, 4 * width, 1) for m in MODALITIES})
        self.coarse = nn.ModuleDict({m: nn.Conv2d(4 * width, 4 * width, 1) for m in MODALITIES})
        self.color_head = _head(8 * width, width)
        self.fusion_head = _head(16 * width, width)

    def forward(self, inputs: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor, dict[Modality, Tensor]]:
        """Logits of the fusion head and of the colour head (N, Y, X), and the reconstructions."""
        features: dict[Modality, Tensor] = {}
        pictures: dict[Modality, Tensor] = {}
        for modality in MODALITIES:
            maps, seen = inputs[modality], []
            for number, block in enumerate(self.down[modality]):
                maps = block(functional.max_pool2d(maps, 2) if number else maps)
                seen.append(maps)
            drawn = []
            for block in self.up[modality]:
                maps = block(functional.interpolate(maps, scale_factor=2.0, mode="bilinear"))
                drawn.append(maps)
            pictures[modality] = self.picture[modality](maps)
            fine = self.fine[modality](torch.cat([seen[0], drawn[-1]], dim=1))
            coarse = self.coarse[modality](torch.cat([seen[1], drawn[-2]], dim=1))
            coarse = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
            features[modality] = torch.cat([fine, coarse], dim=1)
        fused = self.fusion_head(torch.cat([features["color"], features["depth"]], dim=1))[:, 0]
        return fused, self.color_head(features["color"])[:, 0], pictures

    def scores(self, inputs: Mapping[Modality, Tensor]) -> Tensor:
        """Scores (N, Y, X) of pixels, as `FusionNetwork.scores`."""
        return functional.softplus(self(inputs)[0])


def _block(channels_in: int, channels_out: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before in (channels_in, channels_out):
        layers += [nn.Conv2d(before, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


def _head(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4 * width, 1), nn.ReLU(), nn.Conv2d(4 * width, 2 * width, 1), nn.ReLU(),
        nn.Conv2d(2 * width, 1, 1),
    )  # fmt: skip


def train(images: RgbdImages, width: int, config: TrainingConfig, anomalies: AnomalyConfig, *, seed: int) -> EasyNet:
    """As `NetworkTraining` trains ours, with the verdict on every pixel."""
    with seeded(seed):
        network = EasyNet(width).to(memory_format=torch.channels_last)
    generator = AnomalyGenerator(anomalies, min(config.crop, images.color_NYX3.shape[1]))
    optimizer = Optimizer(network.parameters(), config.learning_rate, network="EasyNet")
    for epoch in range(config.epochs):
        network.train()
        random = np.random.default_rng((seed, epoch))
        batches = draw(len(images), config.pictures, config.batch_size, random)
        for step, numbers in enumerate(batches):
            batch = corrupted(cropped(images, numbers, config.crop, random), generator, random)
            fused, color, pictures = network(batch.inputs)
            target_NYX = functional.interpolate(batch.target_NHW[:, None], size=fused.shape[1:], mode="nearest")[:, 0]
            verdicts = focal_loss(fused, target_NYX) + focal_loss(color, target_NYX)
            loss = config.focal_weight * verdicts + reconstruction_loss(pictures, batch.clean, config)
            optimizer.step(loss, (epoch + step / len(batches)) / config.epochs)
        print(f"EasyNet: epoch {epoch + 1} of {config.epochs}", file=sys.stderr)
    return network


def mean_image_auroc(network: nn.Module, categories: list[CategoryPictures]) -> float:
    """Over the categories; the score of a picture is the mean of the highest hundredth of its map."""
    network.eval()
    found = []
    for data in categories:
        with torch.inference_mode():
            maps = [network.scores(data.test.chosen([n]).inputs()).numpy() for n in range(len(data.test))]
        labels = np.array([test.sample.label for test in data.tests])
        found.append(auroc(image_scores(np.concatenate(maps), ScoringConfig()), labels))
    return float(np.mean(found))


def load_pictures(run: Path, results: Mapping[str, Any], settings: FusionSettings) -> list[CategoryPictures]:
    """The pictures that a run had, in the scale of its model."""
    root = run / "data" if results["data"]["generated"] else Path(results["data"]["source"])
    found = []
    for category in open_rgbd(root, list(results["classes"])):
        if shots := results["config"]["shots"]:
            category = category.few_shot(shots, results["seed"])
        data = load_category(
            category, settings.image_size, plane_removal=settings.plane_removal, advance=lambda _: None
        )
        parts = {name: getattr(data, name).scaled(settings.height_scale) for name in ("train", "validation", "test")}
        found.append(dataclasses.replace(data, **parts))
    return found


def main() -> None:
    job = parse_flags({"default": Comparison()}, sys.argv[1:], description=str(__doc__).splitlines()[0])
    torch.set_num_threads(job.threads)
    results = read_results(job.run)
    store = ModelStore.open(str(job.run / "model"))
    manifest = store.current()
    assert manifest is not None
    model = load_model(store, manifest)
    settings, config = model.settings, results["config"]
    categories = load_pictures(job.run, results, settings)
    training = from_json(TrainingConfig, config["training"])
    if job.epochs:
        training = TrainingConfig(**{**config["training"], "epochs": job.epochs})
    images = RgbdImages.joined([data.train for data in categories])
    easynet = train(
        images, settings.network.width, training, from_json(AnomalyConfig, config["anomalies"]), seed=results["seed"]
    )
    inputs = images.chosen([0]).inputs()
    table = Table("network", "frames/s", "weights MB", "peak MB", "image AUROC")
    sizes = {}
    for name, network in (("EasyNet", easynet), ("found", model.network)):
        sizes[name] = measure(network, lambda network=network: network.scores(inputs))
        one = sizes[name]
        table.add_row(
            name,
            f"{one.frames_per_s:.1f}",
            f"{one.weights_mb:.2f}",
            f"{one.peak_mb:.2f}",
            f"{mean_image_auroc(network, categories):.3f}",
        )
    console = Console(width=100)
    console.print(table)
    faster = sizes["found"].frames_per_s / sizes["EasyNet"].frames_per_s
    smaller = sizes["EasyNet"].peak_mb / sizes["found"].peak_mb
    console.print(f"the found network runs {faster:.1f} x the frames a second in 1/{smaller:.1f} of the peak memory")


if __name__ == "__main__":
    sys.exit(run_main(main))
