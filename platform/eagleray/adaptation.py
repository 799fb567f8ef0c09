"""Test-time adaption: a picture's patches are moved to where the chosen expert's training pictures lie.

    x' = (x - mean(x)) * std / std(x) + c_k            (eq. 5)
    x'' = x' / ||x'||                                  (eq. 6)

mean(x) and std(x) are of one picture over its own patches, c_k and std of the expert's training pictures, so one
picture at a time is enough. Over what the deviation runs the paper leaves open; `AdaptionKind` names the readings, and
docs/methods.md has what each gives. Source: Lei et al. 2024 (Adapted-MoE), "Test-Time Adaption".

Shapes, beside the legend of eagleray.arrays: J directions.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from eagleray.arrays import AnyArray, Floats

AdaptionKind: TypeAlias = Literal["none", "mean", "std", "channels", "subspace"]
"""What is brought to the training pictures' value.

none: nothing. mean: the mean of each channel. std: that and one deviation of the whole picture. channels: that and the
deviation of each channel. subspace: of the mean only what lies in directions in which good pictures differ from each
other anyway, so that a large defect is not adapted away.
"""
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class PatchStatistics:
    """Mean and deviation of the patches of each of some pictures."""

    means_ND: Floats
    stds_ND: Floats
    """Of each channel over the picture's patches."""

    @classmethod
    def of(cls, shards: Iterable[AnyArray]) -> "PatchStatistics":
        """Of shards (N, H, W, D)."""
        means, stds = [], []
        for shard in shards:
            patches_NPD = shard.reshape(len(shard), -1, shard.shape[-1]).astype(np.float32)
            means.append(patches_NPD.mean(axis=1))
            stds.append(patches_NPD.std(axis=1))
        return cls(np.concatenate(means), np.concatenate(stds))

    def chosen(self, images: Sequence[int]) -> "PatchStatistics":
        """Those of some of the pictures."""
        index = np.asarray(images, dtype=np.intp)
        return PatchStatistics(self.means_ND[index], self.stds_ND[index])


@dataclass(frozen=True, slots=True)
class Adaption:
    """Adapts patches to one expert; immutable."""

    kind: AdaptionKind
    centre_D: Floats
    """c_k: mean patch of the expert's training pictures."""
    std_D: Floats
    """Mean over them of the deviation within a picture; one value, (1,), where `kind` is std."""
    directions_DJ: Floats
    """Orthonormal; (D, 0) unless `kind` is subspace."""
    unit: bool
    """Whether patches get length 1 in the end, eq. 6."""

    def apply(self, patches_HWD: Floats) -> Floats:
        """The adapted patches (H, W, D) of one picture."""
        patches_HWD = patches_HWD.astype(np.float32, copy=False)
        if self.kind != "none":
            patches_HWD = self._moved(patches_HWD)
        if not self.unit:
            return patches_HWD
        length_HW1 = np.linalg.norm(patches_HWD, axis=2, keepdims=True)
        unit_HWD: Floats = patches_HWD / np.maximum(length_HW1, _TINY)
        return unit_HWD

    def without_moving(self) -> "Adaption":
        """Eq. 6 alone."""
        return dataclasses.replace(self, kind="none")

    def _moved(self, patches_HWD: Floats) -> Floats:
        mean_D = patches_HWD.mean(axis=(0, 1))
        if self.kind == "subspace":
            along_J = (mean_D - self.centre_D) @ self.directions_DJ
            shifted_HWD: Floats = patches_HWD - self.directions_DJ @ along_J
            return shifted_HWD
        centred_HWD = patches_HWD - mean_D
        if self.kind in ("std", "channels"):
            std_D = _pooled(patches_HWD.std(axis=(0, 1))) if self.kind == "std" else patches_HWD.std(axis=(0, 1))
            centred_HWD *= self.std_D / np.maximum(std_D, _TINY)
        moved_HWD: Floats = centred_HWD + self.centre_D
        return moved_HWD


def fit_adaption(
    kind: AdaptionKind, own: PatchStatistics, everybody: PatchStatistics, *, unit: bool, num_directions: int = 16
) -> Adaption:
    """Fit the adaption of one expert.

    Args:
        kind: what is adapted.
        own: of the expert's training pictures.
        everybody: of the training pictures of all experts, which show in what directions good pictures differ.
        unit: whether patches get length 1, eq. 6.
        num_directions: of largest variance among the means of `everybody`, for `subspace`; at most a quarter of the
            pictures, for the last ones are noise.
    """
    std_D = own.stds_ND.mean(axis=0)
    if kind == "std":
        std_D = np.mean([_pooled(std) for std in own.stds_ND], axis=0, dtype=np.float32)
    dim = own.means_ND.shape[1]
    directions_DJ = np.zeros((dim, 0), np.float32)
    if kind == "subspace":
        deviations_ND = everybody.means_ND - everybody.means_ND.mean(axis=0)
        kept = max(1, min(num_directions, len(deviations_ND) // 4))
        directions_DJ = np.linalg.svd(deviations_ND, full_matrices=False)[2][:kept].T.astype(np.float32)
    return Adaption(kind, own.means_ND.mean(axis=0), std_D, np.ascontiguousarray(directions_DJ), unit)


def _pooled(std_D: Floats) -> Floats:
    """One deviation (1,) of all channels together: the root mean square."""
    pooled_1: Floats = np.sqrt(np.mean(std_D**2, keepdims=True))
    return pooled_1
