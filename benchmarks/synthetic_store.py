"""Model stores to measure a service with: a small learned one, and one of any number of experts with full banks."""

import dataclasses
import io
from pathlib import Path

import numpy as np
from PIL import Image

from eagleray.banks import ClassBank
from eagleray.config import to_json
from eagleray.continual import Learner, LearnerConfig, LocalPool, MecadConfig, StreamConfig, open_stream
from eagleray.data import open_dataset, write_products
from eagleray.features import Extractor, FeaturesConfig, build_extractor, decode_image, resize
from eagleray.storage import ClassEntry, Event, Manifest, ModelStore

PRODUCTS = ("wood", "hex_nut", "capsule", "pin_header")
ROWS = 2400


def learn_products(folder: Path, *, seed: int) -> tuple[ModelStore, list[bytes]]:
    """Learn generated products, a version each; returns the store and pictures of all products, good and defective."""
    write_products(folder / "data", seed=seed, num_train=20, num_test_good=8, num_test_defective=8, classes=PRODUCTS)
    extractor = build_extractor(FeaturesConfig())
    store = ModelStore.create(folder / "model")
    with LocalPool(extractor, store) as pool:
        learner = Learner(
            LearnerConfig(),
            StreamConfig(),
            pool,
            store,
            features=_features(extractor),
            extractor_blob=store.put_blob(extractor.onnx),
            seed=seed,
        )
        for event in open_stream(open_dataset(folder / "data")):
            learner.take(event)
    pictures = sorted((folder / "data").glob("*/test/*/*.png"), key=lambda path: (path.name, path))
    return store, [path.read_bytes() for path in pictures]


def write_synthetic_store(folder: Path, num_experts: int, *, seed: int) -> tuple[ModelStore, list[bytes]]:
    """A store with one class an expert, each with a full bank of random rows; version 2 has another bank for the first.

    Returns:
        The store, and a picture for each class that is routed to it: its embedding is the class's prototype.
    """
    extractor = build_extractor(FeaturesConfig())
    embedder, store = extractor.open(), ModelStore.create(folder / "model")
    bodies = [_noise(seed, number) for number in range(num_experts)]
    means_ND = [
        embedder.embed(resize(decode_image(body, name="", max_pixels=10**7), 384)).mean(axis=(0, 1)) for body in bodies
    ]
    manifest = Manifest(
        kind="mecad",
        features=_features(extractor),
        config=to_json(LearnerConfig(mecad=MecadConfig(num_experts=num_experts, rows_per_class=ROWS))),
        seed=seed,
        blobs={"extractor": store.put_blob(extractor.onnx)},
    )
    classes: dict[str, ClassEntry] = {}
    for version, changed in ((1, means_ND), (2, means_ND[:1])):
        for expert, mean_D in enumerate(changed):
            rng = np.random.default_rng([seed, version, expert])
            name = f"class-{expert:04d}"
            blob = store.put_blob(_bank(name, mean_D, rng).to_bytes())
            classes[name] = ClassEntry(expert=expert, blob=blob, rows=ROWS, num_images=100)
        event = Event(step=version, op="learn", class_name="class-0000", expert=0)
        grown = manifest.successor(classes=dict(classes), history=(*manifest.history, event))
        grown = dataclasses.replace(grown, parent=manifest.version or None)
        manifest = dataclasses.replace(grown, version=store.commit(grown))
    store.publish(1)
    return store, bodies


def _noise(seed: int, number: int) -> bytes:
    """A picture like no other: coarse noise of its own colours."""
    rng = np.random.default_rng([seed, number])
    picture = Image.fromarray(rng.integers(0, 256, (rng.integers(4, 24), rng.integers(4, 24), 3), dtype=np.uint8))
    stream = io.BytesIO()
    picture.resize((256, 256), Image.Resampling.BICUBIC).save(stream, format="PNG")
    return stream.getvalue()


def _bank(name: str, mean_D: np.ndarray, rng: np.random.Generator) -> ClassBank:
    rows_MD = (mean_D + 0.05 * rng.standard_normal((ROWS, len(mean_D)))).astype(np.float32)
    return ClassBank(
        name=name,
        rows_MD=rows_MD,
        whitening=None,
        centroid_D=mean_D,
        prototypes_KD=mean_D[None],
        level_rows_L=np.array([ROWS]),
        calibration_LN=np.linspace(0.5, 1.5, 20, dtype=np.float32)[None],
        num_images=100,
        coverage_radius=1.0,
    )


def _features(extractor: Extractor) -> dict[str, object]:
    return {**to_json(extractor.config), "weights_sha256": extractor.weights_sha256}
