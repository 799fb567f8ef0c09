"""What each contestant is asked in its turn: which pictures, rows and seed; the weights are the same for all."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.peers.contestants import same_patches
from benchmarks.peers.contestants.contest import Job
from benchmarks.peers.options import Bench
from benchmarks.peers.pictures import Product, resized
from benchmarks.peers.turns import Turn
from eagleray.data import open_dataset, write_products
from eagleray.data.demo import data_or_demo
from eagleray.errors import DataError
from eagleray.features import FeaturesConfig, build_extractor
from eagleray.features.backbone import build_backbone, pixel_statistics


def open_products(bench: Bench, work: Path) -> dict[str, Product]:
    """All products by name, resized, each with good and defective test pictures.

    Raises:
        DataError: one has no good or no defective test pictures.
    """
    write = partial(write_products, seed=bench.seeds[0])
    categories = open_dataset(data_or_demo(bench.data, bench.out, write), bench.categories)
    folder = work / "pictures" / str(bench.image_size)
    products = {category.name: resized(category, bench.image_size, folder) for category in categories}
    for name, product in products.items():
        if set(product.labels) != {0, 1}:
            raise DataError(name, "has no good or no defective test pictures; choose others by --categories")
    return products


class Jobs:
    """Makes jobs; writes the backbone's weights to a file of the folder `work`, and exports our extractors."""

    def __init__(self, bench: Bench, products: Mapping[str, Product], work: Path) -> None:
        self._bench, self._products, self._work = bench, products, work
        self._config = FeaturesConfig(image_size=bench.image_size)
        network, self._digest = build_backbone(self._config)
        self._weights = work / "weights.pth"
        torch.save(network.state_dict(), self._weights)
        # Exported here once, as on a user's machine: else whichever of ours comes first would do it, with torch.
        for settings in ({}, same_patches.FEATURES):
            build_extractor(replace(self._config, **settings))

    def of(self, turn: Turn) -> Job:
        bench = self._bench
        mean, std = pixel_statistics(self._config)
        train, test = self._pictures(turn)
        return Job(
            threads=bench.threads,
            seed=bench.seeds[0] if turn.track == "speed" else turn.number,
            rows=bench.rows if turn.track == "speed" else bench.category_rows,
            backbone=self._config.backbone,
            weights=str(self._weights),
            weights_sha256=self._digest,
            strides=list(self._config.strides),
            mean=list(mean),
            std=list(std),
            image_size=bench.image_size,
            train=train,
            test=test,
            out=str(self._work / "turns" / turn.name),
        )

    def _pictures(self, turn: Turn) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Good and test pictures by product."""
        bench, products = self._bench, self._products
        if turn.track == "stream":
            return (
                {name: product.train[: bench.stream_images] for name, product in products.items()},
                {name: [p.test[i] for i in p.test_subset(bench.stream_tests)] for name, p in products.items()},
            )
        product = products[turn.product]
        if turn.track == "accuracy":
            return {product.name: product.train}, {product.name: product.test}
        return {product.name: product.train[: bench.images]}, {product.name: product.test[: bench.test_images]}
