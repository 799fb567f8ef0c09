"""A mill whose materials have subclasses of stripes on a colour of their own, and an extractor that only averages."""

import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from eagleray.adapted_moe import LocalTrainer, MixtureConfig, Workshop, embed_category, first_manifest, keep
from eagleray.adapted_moe.workshop import Built
from eagleray.banks import BankConfig
from eagleray.config import to_json
from eagleray.continual import LocalPool
from eagleray.continual.pool import no_progress
from eagleray.data import SubclassedCategory, read_texture_ad
from eagleray.experts import ScoringConfig
from eagleray.experts.discriminator_training import DiscriminatorConfig
from eagleray.features import Extractor, FeaturesConfig
from eagleray.mixture import MIXTURE_KIND
from eagleray.routing import RoutingConfig
from eagleray.storage import Manifest, ModelStore
from tests.unit.conftest import averaging_network

SIDE = 64
SEEN, UNSEEN = ("felt", "linen", "twill"), ("denim",)
MIXTURE = MixtureConfig(rows=60, directions=2, holdout_share=0.25, evidence_folds=2, evidence_images=4)
DISCRIMINATOR = DiscriminatorConfig(epochs=1, hidden=8)
ROUTING = RoutingConfig(epochs=2, channels=8)
BANK = BankConfig(whitening_directions=3)
SCORING = ScoringConfig()


def tiny_extractor():
    """Patches of 8 x 8 pixels: (8, 8, 6)."""
    return Extractor(config=FeaturesConfig(image_size=SIDE), weights_sha256="0" * 64, onnx=averaging_network(SIDE))


def draw(subclass, number, *, defective=False):
    """A picture of a subclass, (64, 64, 3); the defect is a white square."""
    kind = np.random.default_rng(zlib.crc32(subclass.encode()))
    own = np.random.default_rng([zlib.crc32(subclass.encode()), number])
    wave = 20 * np.sin(np.arange(SIDE) / kind.uniform(2, 5) + own.uniform(0, 6))
    picture = kind.uniform(60, 180, 3) + wave[:, None, None] + own.normal(0, 8, 3) + own.normal(0, 6, (SIDE, SIDE, 3))
    if defective:
        picture[16:40, 24:48] = 250
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_subclass(folder, *, train=8, good=3, defective=3, masks=True):
    """Pictures in the layout of Texture AD."""
    for part, count, first in (("train/good", train, 0), ("test/good", good, 100), ("test/spot", defective, 200)):
        for number in range(first, first + count):
            path = folder / part / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(folder.name, number, defective=part == "test/spot")).save(path)
            if part == "test/spot" and masks:
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[16:40, 24:48] = 255
                (folder / "ground_truth/spot").mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(folder / "ground_truth/spot" / f"{number:03d}_mask.png")


def write_category(folder, *, seen=SEEN, unseen=UNSEEN, **options):
    """A category with subclasses to learn from and others that are only tested."""
    for name in seen:
        write_subclass(folder / name, **options)
    for name in unseen:
        write_subclass(folder / name, **{**options, "train": 0})


class CountingPool(LocalPool):
    """Remembers what it was asked."""

    def __init__(self, extractor, store):
        super().__init__(extractor, store)
        self.embedded, self.asked = [], []

    def embed(self, paths, advance=no_progress):
        self.embedded += paths
        return super().embed(paths, advance)

    def map_patches(self, function, work, advance=no_progress):
        self.asked += [(function.__name__, item) for item, _ in work]
        return super().map_patches(function, work, advance)

    def items(self, function):
        return [item for name, item in self.asked if name == function]

    @property
    def scored(self):
        """How often each expert scored; the pictures' numbers with it."""
        return Counter((task.expert, image) for task in self.items("score_images") for image in task.images)


class CountingTrainer(LocalTrainer):
    """Remembers what it was asked."""

    def __init__(self, folder):
        super().__init__(folder)
        self.routers, self.experts = 0, []

    def train_routers(self, tasks):
        self.routers += len(tasks)
        return super().train_routers(tasks)

    def train_experts(self, tasks):
        self.experts += [task.name for task in tasks]
        return super().train_experts(tasks)


class Mill:
    """A data folder, a model store, and whoever works on them."""

    def __init__(self, root):
        self.root, self.data = root, root / "data"
        self.extractor, self.store = tiny_extractor(), ModelStore.create(root / "model")
        self.pool = CountingPool(self.extractor, self.store)
        self.trainer = CountingTrainer(str(root / "training"))

    def category(self, name="cloth", **options) -> SubclassedCategory:
        write_category(self.data / name, **options)
        return read_texture_ad(self.data, (name,))[0]

    def embed(self, category=None, *, num_subclasses=0, seed=0):
        return embed_category(
            category or self.category(),
            self.pool,
            holdout_share=MIXTURE.holdout_share,
            num_subclasses=num_subclasses,
            seed=seed,
            features="tiny",
            advance=no_progress,
        )

    def workshop(self):
        return Workshop(
            self.pool, self.trainer, mixture=MIXTURE, bank=BANK, discriminator=DISCRIMINATOR, routing=ROUTING
        )

    def built(self, data, design, *, seed=0, top_k=1):
        return Built(data=data, design=design, seed=seed, top_k=top_k)

    def keep(self, built, workshop=None, manifest=None):
        """Prepare a design and put it into the store."""
        workshop = workshop or self.workshop()
        workshop.prepare([built])
        return keep(built, workshop, self.store, manifest or self.first(), SCORING)

    def first(self):
        features = {**to_json(self.extractor.config), "weights_sha256": self.extractor.weights_sha256}
        ours = Manifest(kind=MIXTURE_KIND, features=features, config={"scoring": to_json(SCORING)}, seed=0)
        return first_manifest(self.store, ours, extractor_blob=self.store.put_blob(self.extractor.onnx))


@pytest.fixture
def mill(tmp_path):
    return Mill(tmp_path)
