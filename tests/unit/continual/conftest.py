"""A workshop that makes products, and learns them with a feature extractor that needs neither torch nor weights."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eagleray.banks import BankConfig
from eagleray.config import to_json
from eagleray.continual import (
    Arrival,
    EvaluationConfig,
    Evaluator,
    Learner,
    LearnerConfig,
    LocalPool,
    MecadConfig,
    StreamConfig,
    StreamRun,
    silent,
)
from eagleray.data import Category, Sample
from eagleray.features import FeaturesConfig
from eagleray.storage import ModelStore

SIDE = 32
CELL = 4
SMALL = {"num_experts": 3, "expert_capacity": 2, "rows_per_class": 60, "rows_per_expert": 120}


class CellEmbedder:
    """Mean and spread of colour and the mean gradients of each cell of 4 x 4 pixels: (8, 8, 8)."""

    def __init__(self):
        self.calls = 0

    def embed(self, image_YX3):
        self.calls += 1
        pixels = image_YX3.astype(np.float32) / 255
        grey = pixels.mean(axis=2)
        down, right = (np.abs(np.diff(grey, axis=axis, append=grey.take([-1], axis))) for axis in (0, 1))
        planes = np.concatenate([pixels, np.stack([down, right], 2)], 2)
        cells = planes.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL, 5)
        return np.concatenate([cells.mean(axis=(1, 3)), cells[..., :3].std(axis=(1, 3))], 2).astype(np.float32)


class CellExtractor:
    """Stands in for an Extractor."""

    config = FeaturesConfig(image_size=SIDE)
    weights_sha256 = "0" * 64
    onnx = b"no model"

    def __init__(self):
        self.embedder = CellEmbedder()

    def open(self, *, device="cpu", num_threads=1):
        return self.embedder


class Workshop:
    """Products of stripes on a colour of their own, one picture a file, and everything that learns them."""

    def __init__(self, root: Path):
        self.root = root
        self.extractor = CellExtractor()

    def pixels(self, product, number, *, defective=False):
        kind = np.random.default_rng(zlib.crc32(product.encode()))
        own = np.random.default_rng([zlib.crc32(product.encode()), number])
        colour, across = kind.uniform(60, 200, 3), kind.integers(2)
        wave = 25 * np.sin(np.arange(SIDE) / kind.uniform(1, 3) + own.uniform(0, 6))
        picture = colour + (wave[:, None, None] if across else wave[None, :, None]) + own.normal(0, 6, (SIDE, SIDE, 3))
        if defective:
            y, x = own.integers(2, SIDE - 10, 2)
            picture[y : y + 8, x : x + 8] = 255 - colour
        return np.clip(picture, 0, 255).astype(np.uint8)

    def sample(self, product, number, split="train", defect="good", *, mask=False, name=None):
        path = self.root / "data" / product / split / defect / (name or f"{number:03d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Image.fromarray(self.pixels(product, number, defective=defect != "good")).save(path)
        mask_path = None
        if mask:
            mask_path = self.root / "data" / product / f"mask_{number:03d}.png"
            changed = self.pixels(product, number).astype(int) - self.pixels(product, number, defective=True)
            Image.fromarray(255 * (np.abs(changed).max(2) > 40).astype(np.uint8)).save(mask_path)
        return Sample(str(path), product, split, int(defect != "good"), defect, str(mask_path) if mask else None)

    def spoil(self, sample, how=lambda data: data[:-60]):
        """Damage a picture's file, so that it cannot be decoded any more."""
        path = Path(sample.path)
        path.write_bytes(how(path.read_bytes()))

    def product(self, name, *, train=range(12), good=range(500, 504), defective=range(600, 604), masks=True):
        test = [self.sample(name, n, "test") for n in good]
        test += [self.sample(name, n, "test", "hole", mask=masks) for n in defective]
        return Category(name, tuple(self.sample(name, n) for n in train), tuple(test))

    def arrival(self, name, **options):
        return Arrival(self.product(name, **options))

    def config(self, *, bank=None, **mecad):
        """A small learner's settings; unless told otherwise, with plain rows, so that they can be counted."""
        banks = {"num_prototypes": 3, "whitening_directions": 0} | (bank or {})
        return LearnerConfig(mecad=MecadConfig(**(SMALL | mecad)), bank=BankConfig(**banks))

    def store(self, out="run"):
        return ModelStore.create(self.root / out / "model")

    def pool(self, out="run"):
        return LocalPool(self.extractor, self.store(out))

    def learner(self, out="run", *, pool=None, seed=0, features=None, max_bad_share=0.05, config=None, **mecad):
        store = self.store(out)
        config = config or self.config(**mecad)
        return Learner(
            config,
            StreamConfig(max_bad_share=max_bad_share),
            pool or LocalPool(self.extractor, store),
            store,
            features=features or {**to_json(self.extractor.config), "weights_sha256": self.extractor.weights_sha256},
            extractor_blob=store.put_blob(self.extractor.onnx),
            seed=seed,
        )

    def run(self, out="run", *, pool=None, config=None, seed=0, progress=silent, publish=False, **mecad):
        """A whole run into a folder."""
        config = config or self.config(**mecad)
        pool = pool or self.pool(out)
        learner = self.learner(out, pool=pool, seed=seed, config=config)
        evaluator = Evaluator(pool, config.scoring, EvaluationConfig(false_alarm_rate=0.2))
        return StreamRun(learner, evaluator, self.store(out), self.root / out, progress=progress, publish=publish)

    def rename(self, product, old, new):
        """Another folder's copy of a product."""
        shutil.copytree(self.root / "data" / product / old, self.root / "data" / product / new)

    def files(self, out="run"):
        """Every byte of a model store."""
        root = self.root / out / "model"
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    def progress(self, out="run"):
        """The progress files of a run, by name."""
        return {path.name: path.read_text() for path in sorted((self.root / out / "progress").glob("*.json"))}

    def step(self, number, out="run"):
        return json.loads(self.progress(out)[f"{number:04d}.json"])


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)
