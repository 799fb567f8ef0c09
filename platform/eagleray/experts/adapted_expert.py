"""An expert with its test-time adaption and its scale: what a mixture is made of, whatever the expert inside is."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eagleray.adaptation import Adaption
from eagleray.arrays import AnyArray, Floats
from eagleray.banks import Whitening
from eagleray.errors import StoreCorrupt, StoreVersion
from eagleray.experts.bank_expert import BankExpert
from eagleray.experts.discriminator import DiscriminatorExpert
from eagleray.experts.expert import Expert
from eagleray.storage.tensors import metadata

EXPERT_SCHEMA = "eagleray.expert/1"
_TYPICAL, _UNUSUAL = 0.5, 0.99
_KEY = "eagleray"


@dataclass(frozen=True, slots=True)
class Scale:
    """Where an expert's scores of good patches lie: scores of different experts are added, so they must mean the same.

    0 is a typical good patch, 1 one of the most unusual hundredth.
    """

    typical: float
    unusual: float

    @classmethod
    def of(cls, scores: Floats) -> "Scale":
        """From patch scores of good pictures that the expert has not learned from."""
        typical, unusual = np.quantile(scores.astype(np.float64), (_TYPICAL, _UNUSUAL))
        return cls(float(typical), float(max(unusual, typical + 1e-6)))

    def apply(self, scores_HW: Floats) -> Floats:
        """Comparable scores (H, W)."""
        scaled_HW: Floats = (scores_HW - np.float32(self.typical)) / np.float32(self.unusual - self.typical)
        return scaled_HW


UNSCALED = Scale(0.0, 1.0)
"""Leaves scores as they are."""


def as_pooled(patches_HWD: AnyArray) -> Floats:
    """Patches as a pool keeps them, in half precision: scales and thresholds come from those, so scores have to."""
    return patches_HWD.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, slots=True)
class AdaptedExpert:
    """Adapts a picture's patches to its expert, eq. 5 and 6 of Lei et al. 2024, asks it, and scales what it says."""

    adaption: Adaption
    inner: Expert
    scale: Scale

    def patch_scores(self, patches_HWD: Floats) -> Floats:
        """Anomaly score of every patch of one picture, (H, W); higher is more anomalous."""
        adapted_HWD = self.adaption.apply(as_pooled(patches_HWD))
        return self.scale.apply(self.inner.patch_scores(adapted_HWD))


@dataclass(frozen=True, slots=True)
class BankWeights:
    """What a bank expert is made of."""

    rows_MD: Floats
    whitening: Whitening | None


def expert_to_bytes(adaption: Adaption, scale: Scale, inner: BankWeights | DiscriminatorExpert) -> bytes:
    """Safetensors, the rest as JSON in its metadata; equal experts give equal bytes."""
    plain: dict[str, Any] = {
        "schema": EXPERT_SCHEMA,
        "adaption": {"kind": adaption.kind, "unit": adaption.unit},
        "scale": [scale.typical, scale.unusual],
    }
    arrays = {f"adaption.{name}": getattr(adaption, name) for name in _ADAPTION}
    if isinstance(inner, DiscriminatorExpert):
        arrays |= {f"discriminator.{name}": array for name, array in inner.to_tensors().items()}
    else:
        arrays["bank.rows_MD"] = inner.rows_MD
        if inner.whitening:
            arrays |= {f"whitening.{name}": getattr(inner.whitening, name) for name in _WHITENING}
            plain["whitening"] = {name: getattr(inner.whitening, name) for name in ("rest_variance", "shrinkage")}
    data: bytes = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items() if array.size},
        {_KEY: json.dumps(plain, sort_keys=True)},
    )
    return data


def expert_from_bytes(data: bytes, place: str) -> AdaptedExpert:
    """Read what `expert_to_bytes` wrote; `place` names it in errors.

    Raises:
        StoreCorrupt: not such bytes.
        StoreVersion: written with another schema.
    """
    try:
        arrays: dict[str, Any] = load(data)
        plain = json.loads(metadata(data)[_KEY])
        if plain["schema"] != EXPERT_SCHEMA:
            raise StoreVersion(place, f"an expert of another schema than {EXPERT_SCHEMA}; train it again")
        parts: dict[str, dict[str, Any]] = {}
        for name, array in arrays.items():
            part, _, field = name.partition(".")
            parts.setdefault(part, {})[field] = array
        adaption = {"directions_DJ": np.zeros((len(parts["adaption"]["centre_D"]), 0), np.float32), **parts["adaption"]}
        return AdaptedExpert(Adaption(**plain["adaption"], **adaption), _inner(parts, plain), Scale(*plain["scale"]))
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StoreCorrupt(place, f"not an expert ({error}); train it again") from error


def _inner(parts: dict[str, dict[str, Any]], plain: dict[str, Any]) -> Expert:
    if "discriminator" in parts:
        return DiscriminatorExpert.from_tensors(parts["discriminator"])
    whitening = Whitening(**parts["whitening"], **plain["whitening"]) if "whitening" in plain else None
    return BankExpert(parts["bank"]["rows_MD"], whitening)


_ADAPTION = ("centre_D", "std_D", "directions_DJ")
_WHITENING = ("mean_D", "directions_DJ", "variances_J")
