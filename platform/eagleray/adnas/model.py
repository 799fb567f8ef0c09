"""A trained fusion network in a model store, and what it says of a picture's colour and depth."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from safetensors.torch import load as load_tensors

from eagleray.arrays import AnyArray, Floats
from eagleray.config import from_json, to_json
from eagleray.continual import FUSION_KIND
from eagleray.errors import ConfigError, GenotypeError, StoreCorrupt, StoreError
from eagleray.experts import ScoringConfig
from eagleray.experts.expert_task import one_thread
from eagleray.fusion.genotype import Genotype, Modality
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import FusionNetwork, NetworkConfig
from eagleray.storage import ClassEntry, Event, Manifest, ModelStore, write_image_list

_CURE = "restore it from a backup, or learn the model again"
_MULTIPLE = 8
"""Of the side of pictures: networks halve it three times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionSettings:
    """What a network expects of pictures, and its architecture: all of it beside the weights."""

    genotype: Genotype
    network: NetworkConfig
    image_size: int
    """Side of the square that pictures are resized to, in pixels."""
    height_scale: float
    """What heights are divided by, in the unit of depth files."""
    plane_removal: bool
    """Whether the plane below the product is taken out first."""

    def __post_init__(self) -> None:
        if self.image_size < _MULTIPLE or self.image_size % _MULTIPLE:
            raise ConfigError("image_size", f"a multiple of {_MULTIPLE}", self.image_size)
        if not 0 < self.height_scale < math.inf:
            raise ConfigError("height_scale", "above 0", self.height_scale)


@dataclass(frozen=True, slots=True)
class Product:
    """What is kept of a category: how its good pictures score, and what they look like to the network."""

    calibration_N: Floats
    """Scores of good pictures that no weight was learned from, sorted."""
    summaries_ND: Floats
    """Of those pictures; a picture is of the product whose summary is nearest."""
    num_images: int
    """Good pictures learned from."""


class FusionModel:
    """A network with its settings and products.

    Scores come out bit for bit as `eagleray.fusion.training.patch_scores` gives them on one thread: of one picture at a
    time, with the weights in the order in memory that they were trained in.
    """

    def __init__(self, settings: FusionSettings, network: FusionNetwork, products: Mapping[str, Product]) -> None:
        self.settings, self.products = settings, dict(sorted(products.items()))
        self._network = network.eval().to(memory_format=torch.channels_last)

    @property
    def network(self) -> FusionNetwork:
        """What judges patches."""
        return self._network

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the architecture looks at."""
        return self._network.modalities

    def look(self, images: RgbdImages) -> tuple[Floats, Floats]:
        """Patch scores (N, H, W), higher is more anomalous, and summaries (N, D) of pictures in the model's scale."""
        with one_thread(), torch.inference_mode():
            found = [self._network.scores_and_summary(images.chosen([n]).inputs()) for n in range(len(images))]
        scores, summaries = zip(*found, strict=True)
        return torch.cat(scores).numpy(), torch.cat(summaries).numpy()

    def nearest(self, summary_D: Floats) -> list[tuple[str, float]]:
        """Products by the distance of their nearest known picture, nearest first."""
        distances = {
            name: float(np.linalg.norm(product.summaries_ND - summary_D, axis=1).min())
            for name, product in self.products.items()
        }
        return sorted(distances.items(), key=lambda one: (one[1], one[0]))


def keep_model(
    store: ModelStore,
    model: FusionModel,
    weights: Mapping[str, torch.Tensor],
    digests: Mapping[str, Sequence[str]],
    *,
    config: Mapping[str, object],
    scoring: ScoringConfig,
    seed: int,
) -> Manifest:
    """Put a model into the store as its only version; the version that lies there, where it is the same.

    Args:
        store: where it goes.
        model: with its products.
        weights: of the network, by the names of its state.
        digests: of the pictures learned, by category.
        config: all settings that decided it.
        scoring: how a picture's score follows from its patches.
        seed: of the run.
    """
    blobs = {"network": store.put_blob(_to_bytes({name: tensor.numpy() for name, tensor in weights.items()}))}
    entries, history = {}, []
    for step, (name, product) in enumerate(model.products.items(), 1):
        arrays = {"calibration_N": product.calibration_N, "summaries_ND": product.summaries_ND}
        blob = store.put_blob(_to_bytes(arrays))
        entries[name] = ClassEntry(expert=0, blob=blob, rows=0, num_images=product.num_images)
        images = write_image_list(store, list(digests[name]))
        history.append(
            Event(step=step, op="learn", class_name=name, expert=0, images=images, num_images=len(digests[name]))
        )
    settings = {key: value for key, value in to_json(model.settings).items() if key != "genotype"}
    manifest = Manifest(
        kind=FUSION_KIND,
        features={**settings, "genotype": model.settings.genotype.to_json()},
        config={**config, "scoring": to_json(scoring)},
        seed=seed,
        classes=entries,
        blobs=blobs,
        history=tuple(history),
    )
    current = store.current()
    if current is not None and dataclasses.replace(manifest, version=current.version) == current:
        return current
    return dataclasses.replace(manifest, version=store.commit(manifest))


def load_model(store: ModelStore, manifest: Manifest) -> FusionModel:
    """Load a version; every blob's hash is checked.

    Raises:
        StoreError: a version of another kind.
        StoreCorrupt: a blob or a setting is missing, altered or of another network.
    """
    if manifest.kind != FUSION_KIND:
        raise StoreError(store.uri, f"holds a model of kind {manifest.kind!r}, which looks at colour alone")
    place = f"{store.uri} version {manifest.version}"
    if "network" not in manifest.blobs:
        raise StoreCorrupt(place, f"the manifest lacks the network in blobs; {_CURE}")
    settings = _read_settings(manifest, place)
    network = FusionNetwork(settings.genotype, settings.network)
    digest = manifest.blobs["network"]
    try:
        network.load_state_dict(load_tensors(store.get_blob(digest).to_pybytes()))
    except (SafetensorError, RuntimeError) as error:
        raise StoreCorrupt(store.blob_path(digest), f"holds no weights of this network; {_CURE}") from error
    products = {name: _read_product(store, entry) for name, entry in manifest.classes.items()}
    return FusionModel(settings, network, products)


def _read_settings(manifest: Manifest, place: str) -> FusionSettings:
    try:
        genotype = Genotype.from_json(manifest.features.get("genotype"), "genotype")
        return from_json(FusionSettings, {**manifest.features, "genotype": to_json(genotype)}, "features")
    except (ConfigError, GenotypeError) as error:
        problem = error.args[1] if isinstance(error, GenotypeError) else str(error)
        raise StoreCorrupt(place, f"the settings of its network are damaged ({problem}); {_CURE}") from error


def _read_product(store: ModelStore, entry: ClassEntry) -> Product:
    try:
        arrays: dict[str, Floats] = load(store.get_blob(entry.blob).to_pybytes())
        product = Product(arrays["calibration_N"], arrays["summaries_ND"], entry.num_images)
    except (SafetensorError, KeyError) as error:
        raise StoreCorrupt(store.blob_path(entry.blob), f"holds no product of a fusion network; {_CURE}") from error
    return product


def _to_bytes(arrays: Mapping[str, AnyArray]) -> bytes:
    """Safetensors: equal arrays give equal bytes."""
    data: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return data
