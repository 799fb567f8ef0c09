"""A stored model that looks at colour and depth, with random weights, and the pictures that it knows."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from eagleray.adnas import (
    CategoryPictures,
    FusionModel,
    FusionSettings,
    Product,
    common_scale,
    image_scores,
    keep_model,
    load_category,
)
from eagleray.data import open_rgbd, write_solids
from eagleray.experts import ScoringConfig
from eagleray.experts.expert_task import one_thread
from eagleray.fusion.genotype import Cell, Cells, Genotype, Node
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import FusionNetwork, NetworkConfig
from eagleray.fusion.training import patch_scores, seeded
from eagleray.storage import Manifest, ModelStore

SIZE = NetworkConfig(width=4, channels=8)
PIXELS = 32
SOLIDS = ("bolt", "tray")
SCORING = ScoringConfig(top_share=0.05)

BOTH = Genotype(
    Cells(
        early=Cell(("color.early.0", "depth.early.1"), (Node("add", (0, 1)), Node("glu", (2, 0)))),
        late=Cell(("cell.early", "color.late.1"), (Node("concat", (1, 0)), Node("attention", (0, 2)))),
    )
)
COLOR = Genotype(Cells(middle=Cell(("color.early.0", "color.middle.1"), (Node("add", (0, 1)), Node("glu", (2, 0))))))


@dataclass(frozen=True)
class TinyFusion:
    """What the job has in hand when it has trained a network."""

    data: Path
    """Two demo solids; three good pictures to validate with, and four to test on."""
    store: ModelStore
    manifest: Manifest
    network: FusionNetwork
    """In the order in memory that it is trained in."""
    model: FusionModel
    categories: tuple[CategoryPictures, ...]
    """In the model's scale."""


def write_pictures(folder, layout="mvtec_3d"):
    """Of 48 pixels: they are resized."""
    counts = {"num_train": 2, "num_validation": 3, "num_test_good": 1, "num_test_defective": 1}
    write_solids(folder, image_size=48, classes=SOLIDS, layout=layout, **counts)
    return folder


def random_network(genotype, images, size=SIZE, seed=0):
    """Its batch norms have seen the pictures, so what comes out depends on them."""
    with seeded(seed), one_thread(), torch.no_grad():
        network = FusionNetwork(genotype, size).to(memory_format=torch.channels_last)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the statistics are those of the one batch
        network(images.inputs())
    return network.eval()


def keep(store, data, genotype, *, plane_removal=False, seed=0):
    """What the job does with a trained network."""
    read = [load_category(one, PIXELS, plane_removal=plane_removal, advance=lambda _: None) for one in open_rgbd(data)]
    scale = common_scale(read)
    categories = tuple(
        dataclasses.replace(
            one, train=one.train.scaled(scale), validation=one.validation.scaled(scale), test=one.test.scaled(scale)
        )
        for one in read
    )
    network = random_network(genotype, RgbdImages.joined([one.train for one in categories]), seed=seed)
    settings = FusionSettings(
        genotype=genotype, network=SIZE, image_size=PIXELS, height_scale=scale, plane_removal=plane_removal
    )
    products = {}
    for one in categories:
        with one_thread():
            good_N = np.sort(image_scores(patch_scores(network, one.validation), SCORING))
        _, summaries_ND = FusionModel(settings, network, {}).look(one.validation)
        products[one.name] = Product(good_N, summaries_ND, len(one.train))
    model = FusionModel(settings, network, products)
    digests = {one.name: ["0123456789abcdef", "fedcba9876543210"] for one in categories}
    weights = network.state_dict()
    manifest = keep_model(store, model, weights, digests, config={"preset": "demo"}, scoring=SCORING, seed=seed)
    return TinyFusion(data, store, manifest, network, model, categories)
