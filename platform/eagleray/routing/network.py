"""The routing network of a category: which subclasses' experts a picture belongs to (Lei et al. 2024, Adapted-MoE)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eagleray.arrays import Floats
from eagleray.errors import StoreCorrupt, StoreVersion
from eagleray.storage.tensors import metadata

NETWORK_SCHEMA = "eagleray.routing-network/1"


@dataclass(frozen=True, slots=True)
class RoutingNetwork:
    """Embeds a picture as one unit vector and compares it with the centres of the subclasses; needs no torch.

    C is the size of that vector here, as in the paper, and E the number of subclasses, which is that of experts.
    """

    kernel: Floats
    """Of the convolution: (3, 3, D, C)."""
    bias_C: Floats
    centres_EC: Floats
    """Of unit length."""
    classifier_EC: Floats
    """Rows w_j of eq. 2."""
    stride: int

    def embed(self, patches_HWD: Floats) -> Floats:
        """Embedding (C,) of a picture, of unit length: the mean over the grid of relu(W * X + b), normalised.

        The border is padded with zeros. Source: Lei et al. 2024, eq. 1, and "Normalization".
        """
        columns = _columns(patches_HWD.astype(np.float32, copy=False), self.stride)
        activations = np.maximum(columns @ self.kernel.reshape(-1, len(self.bias_C)) + self.bias_C, 0)
        pooled_C = activations.mean(axis=0)
        embedding_C: Floats = pooled_C / max(np.linalg.norm(pooled_C), np.finfo(np.float32).tiny)
        return embedding_C

    def route(self, patches_HWD: Floats, top_k: int) -> tuple[tuple[int, float], ...]:
        """The nearest subclasses of a picture with their experts' weights, nearest first, equally near ones by number.

        Source: Lei et al. 2024; near is a large cosine with the centre, and weights are the softmax of w_j x of eq. 2
        over the experts chosen, which is the quotient of eq. 4.

        Args:
            patches_HWD: patch embeddings of the picture.
            top_k: how many, from 1 to E.

        Returns:
            (number of the subclass, weight) each; weights sum to 1.
        """
        if not 1 <= top_k <= len(self.centres_EC):
            raise ValueError(f"top_k must be from 1 to {len(self.centres_EC)}, got {top_k}")
        embedding_C = self.embed(patches_HWD)
        nearest = np.argsort(-(self.centres_EC @ embedding_C), kind="stable")[:top_k]
        logits = (self.classifier_EC[nearest] @ embedding_C).astype(np.float64)
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        return tuple((int(expert), float(weight)) for expert, weight in zip(nearest, weights, strict=True))

    def to_bytes(self) -> bytes:
        """Safetensors, with schema and stride in the metadata. Equal networks give equal bytes."""
        plain = {"schema": NETWORK_SCHEMA, "stride": self.stride}
        data: bytes = save(self.to_tensors(), {_KEY: json.dumps(plain, sort_keys=True)})
        return data

    @classmethod
    def from_bytes(cls, data: bytes, place: str) -> "RoutingNetwork":
        """Read what `to_bytes` wrote; `place` names it in errors.

        Raises:
            StoreCorrupt: not such bytes.
            StoreVersion: written with another schema.
        """
        try:
            arrays: dict[str, Any] = load(data)
            plain = json.loads(metadata(data)[_KEY])
            if plain.pop("schema") != NETWORK_SCHEMA:
                raise StoreVersion(place, f"a routing network of another schema than {NETWORK_SCHEMA}; train it again")
            return cls.from_tensors(arrays, **plain)
        except (SafetensorError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise StoreCorrupt(place, f"not a routing network ({error}); train it again") from error

    def to_tensors(self) -> dict[str, Floats]:
        """The weights by name; `stride` is not among them."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Floats], stride: int) -> "RoutingNetwork":
        """From what `to_tensors` gave.

        Raises:
            TypeError, ValueError: other names, shapes or kinds of number.
        """
        network = cls(**tensors, stride=stride)
        network._check()
        return network

    def _check(self) -> None:
        features = len(self.bias_C)
        shapes = (self.kernel.shape[:2], self.kernel.shape[3:], self.centres_EC.shape, self.bias_C.shape)
        if shapes != ((3, 3), (features,), self.classifier_EC.shape, (features,)):
            raise ValueError(f"arrays of shapes {shapes} do not fit")
        if self.centres_EC.shape[1:] != (features,) or self.stride < 1:
            raise ValueError(f"centres of shape {self.centres_EC.shape}, stride {self.stride}")
        if any(getattr(self, name).dtype != np.float32 for name in _ARRAYS):
            raise ValueError("arrays in another than single precision")


_ARRAYS = ("kernel", "bias_C", "centres_EC", "classifier_EC")
_KEY = "eagleray"


def _columns(patches_HWD: Floats, stride: int) -> Floats:
    """The 3 x 3 neighbourhood of every `stride`-th patch as a row (patches, 9 D), rows of the grid first."""
    height, width, _ = patches_HWD.shape
    padded = np.pad(patches_HWD, ((1, 1), (1, 1), (0, 0)))
    shifted = [
        padded[down : down + height : stride, right : right + width : stride] for down in range(3) for right in range(3)
    ]
    return np.concatenate(shifted, axis=2).reshape(-1, 9 * patches_HWD.shape[2])
