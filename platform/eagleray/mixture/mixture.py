"""A category's mixture as it lies in a model store: routing network, whom to ask, and what its scores mean."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eagleray.arrays import Floats, Ints
from eagleray.config import from_json, to_json
from eagleray.errors import ConfigError, StoreCorrupt, StoreVersion
from eagleray.experts.adapted_expert import as_pooled
from eagleray.mixture.design import Design
from eagleray.routing import RoutingNetwork
from eagleray.storage.tensors import metadata

MIXTURE_KIND = "adapted_moe"
"""Kind of the models that mixtures lie in."""
MIXTURE_SCHEMA = "eagleray.mixture/1"
_KEY = "eagleray"
_NETWORK = "network."
"""Before the names of the routing network's arrays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureHead:
    """The part of a mixture that is no array."""

    name: str
    """Of the category."""
    design: Design
    top_k: int
    """Experts asked of a picture."""
    subclasses: tuple[str, ...]
    """Of the experts, by number; one, named after the category, without a routing network."""
    experts: tuple[tuple[str, ...], ...]
    """Blobs of each subclass's experts, one for each of the design's adaptions."""
    num_images: int
    """Good images learned."""
    rows: int
    """Bank rows of all experts; 0 for discriminators."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """One category; immutable. The experts themselves are blobs of their own."""

    head: MixtureHead
    network: RoutingNetwork | None
    """None where one expert answers for all subclasses."""
    prototypes_KD: Floats
    """Centres of a few clusters of the training pictures' mean patches: which category a picture is of."""
    calibration_N: Floats = field(repr=False)
    """Scores of held-out good pictures, where thresholds and p-values come from."""

    def route(self, patches_HWD: Floats) -> tuple[tuple[int, float], ...]:
        """Numbers of the subclasses whose experts to ask, nearest first, with weights that sum to 1."""
        if self.network is None:
            return ((0, 1.0),)
        ranked = self.network.route(as_pooled(patches_HWD), len(self.network.centres_EC))
        order_E, weight_E = zip(*ranked, strict=True)
        order_1K, weight_1K = top_weights(np.array([order_E]), np.array([weight_E], np.float32), self.head.top_k)
        return tuple(zip(order_1K[0].tolist(), weight_1K[0].tolist(), strict=True))

    def to_bytes(self) -> bytes:
        """Safetensors, the head as JSON in its metadata; equal mixtures give equal bytes."""
        plain = {"schema": MIXTURE_SCHEMA, "head": to_json(self.head)}
        arrays = {"prototypes_KD": self.prototypes_KD, "calibration_N": self.calibration_N}
        if self.network:
            plain["stride"] = self.network.stride
            arrays |= {f"{_NETWORK}{name}": array for name, array in self.network.to_tensors().items()}
        data: bytes = save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            {_KEY: json.dumps(plain, sort_keys=True)},
        )
        return data

    @classmethod
    def from_bytes(cls, data: bytes, place: str) -> "Mixture":
        """Read what `to_bytes` wrote; `place` names it in errors.

        Raises:
            StoreCorrupt: not such bytes.
            StoreVersion: written with another schema.
        """
        try:
            arrays: dict[str, Any] = load(data)
            plain = json.loads(metadata(data)[_KEY])
            if plain["schema"] != MIXTURE_SCHEMA:
                raise StoreVersion(place, f"a mixture of another schema than {MIXTURE_SCHEMA}; learn it again")
            network = None
            if "stride" in plain:
                parts = {n.removeprefix(_NETWORK): arrays[n] for n in arrays if n.startswith(_NETWORK)}
                network = RoutingNetwork.from_tensors(parts, plain["stride"])
            return cls(
                head=from_json(MixtureHead, plain["head"]),
                network=network,
                prototypes_KD=arrays["prototypes_KD"],
                calibration_N=arrays["calibration_N"],
            )
        except (SafetensorError, ConfigError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise StoreCorrupt(place, f"not a mixture ({error}); learn it again") from error


def top_weights(order_NE: Ints, weight_NE: Floats, top_k: int) -> tuple[Ints, Floats]:
    """The first k of a ranking of experts, with weights that sum to 1 again: softmax over the chosen (eq. 4)."""
    weight_NK = np.maximum(weight_NE[:, :top_k], np.finfo(np.float32).tiny)  # the nearest may weigh 0 among all
    return order_NE[:, :top_k], weight_NK / weight_NK.sum(axis=1, keepdims=True)


def aggregate(grids_ENHW: Floats, order_NK: Ints, weight_NK: Floats) -> Floats:
    """Patch scores (N, H, W) of some pictures: the weighted sum over the experts chosen for each (eq. 4)."""
    numbers_N1 = np.arange(len(order_NK))[:, None]
    chosen_NKHW = grids_ENHW[order_NK, numbers_N1]
    weighted_NKHW = chosen_NKHW * weight_NK.astype(np.float32)[:, :, None, None]
    total_NHW: Floats = weighted_NKHW.sum(axis=1)  # one after the other, as a judge adds them: the same to the bit
    return total_NHW
