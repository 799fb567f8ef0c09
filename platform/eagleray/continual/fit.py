"""Fitting a class and making room for it: what an expert does when a class arrives (MECAD, section 3.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eagleray.arrays import AnyArray, Floats, Halves, Ints
from eagleray.banks import (
    BankConfig,
    ClassBank,
    Selection,
    coverage,
    farthest_first,
    project,
    random_projection,
    sharded_farthest_first,
)
from eagleray.continual.config import MecadConfig
from eagleray.continual.replay import random_replay
from eagleray.experts import BankExpert, ScoringConfig, image_score

_SMALLEST_LEVEL = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertUpdate:
    """One class arrives at one expert."""

    class_name: str
    seed: int
    mecad: MecadConfig
    bank: BankConfig
    scoring: ScoringConfig
    provenance: Mapping[str, Any]


def update_expert(
    update: ExpertUpdate,
    memory: Mapping[str, ClassBank],
    patches: Sequence[Halves],
    calibration: Sequence[Halves],
) -> dict[str, ClassBank]:
    """The expert's memory after a class arrived: MECAD eq. 3.

    Args:
        update: which class, with which settings.
        memory: the expert's class banks so far.
        patches: shards (N, H, W, D) of the class's good pictures, for the rows.
        calibration: shards of further good pictures of the class, which no row may come from.

    Returns:
        The class banks that changed: the arriving class, and older ones that had to make room.
    """
    others = {name: bank for name, bank in memory.items() if name != update.class_name}
    rows_allowed = update.mecad.rows_allowed(len(others) + 1)
    changed = {update.class_name: _fit_class(update, memory.get(update.class_name), patches, calibration, rows_allowed)}
    for name, bank in others.items():
        kept = _keep(bank, update, rows_allowed)
        if kept is not bank:
            changed[name] = kept
    return changed


def _keep(bank: ClassBank, update: ExpertUpdate, rows_allowed: int) -> ClassBank:
    """What stays of an older class."""
    if update.mecad.memory == "nested":
        return bank.truncated(rows_allowed)
    return random_replay(bank, min(update.mecad.rows_replayed(), rows_allowed), seed=update.seed)


def _fit_class(
    update: ExpertUpdate,
    previous: ClassBank | None,
    patches: Sequence[Halves],
    calibration: Sequence[Halves],
    num_rows: int,
) -> ClassBank:
    points = [shard.reshape(-1, shard.shape[-1]) for shard in patches]
    if previous is not None:
        points.insert(0, previous.rows_MD.astype(np.float16))
    selection = _select(points, num_rows, update)
    rows_MD = selection.rows_MD
    means_ND = np.concatenate([shard.mean(axis=(1, 2), dtype=np.float32) for shard in patches])
    centroid_D, num_images = means_ND.mean(axis=0, dtype=np.float64), len(means_ND)
    levels_L = _levels(len(rows_MD))
    calibration_LN = _calibrate(rows_MD, levels_L, calibration, update.scoring)
    prototypes_KD = _prototypes(means_ND, previous, update)
    if previous is not None:
        weight = num_images / (num_images + previous.num_images)
        centroid_D = weight * centroid_D + (1 - weight) * previous.centroid_D
        num_images += previous.num_images
    return ClassBank(
        name=update.class_name,
        rows_MD=rows_MD,
        centroid_D=centroid_D.astype(np.float32),
        prototypes_KD=prototypes_KD,
        level_rows_L=levels_L,
        calibration_LN=calibration_LN,
        num_images=num_images,
        coverage_radius=coverage(points, rows_MD).radius,
        provenance=dict(update.provenance),
    )


def _select(points: Sequence[AnyArray], num_rows: int, update: ExpertUpdate) -> Selection:
    """The coreset: exact where the patches fit the memory budget, in two rounds over the shards where they do not."""
    bank = update.bank
    if sum(shard.nbytes for shard in points) > bank.memory_mb * 2**20:
        return sharded_farthest_first(points, num_rows, seed=update.seed, projection_dim=bank.projection_dim)
    points_ND = np.concatenate(points)
    projection_Dd = random_projection(points_ND.shape[1], bank.projection_dim, seed=update.seed)
    coreset = farthest_first(project(points_ND, projection_Dd), num_rows, seed=update.seed)
    return Selection(points_ND[coreset.indices_M].astype(np.float32), coreset.radii_M, coreset.indices_M)


def _levels(num_rows: int) -> Ints:
    """Prefix sizes to calibrate: all rows, half of them, a quarter, down to the smallest useful bank."""
    levels = [num_rows]
    while levels[-1] // 2 >= _SMALLEST_LEVEL:
        levels.append(levels[-1] // 2)
    return np.array(levels[::-1], np.int64)


def _calibrate(rows_MD: Floats, levels_L: Ints, calibration: Sequence[Halves], scoring: ScoringConfig) -> Floats:
    """Scores (L, N) of held-out good pictures against each prefix of the rows."""
    pictures = [picture_HWD.astype(np.float32) for shard in calibration for picture_HWD in shard]
    experts = [BankExpert(rows_MD[:rows]) for rows in levels_L]
    scores = [[image_score(expert.patch_scores(picture), scoring) for picture in pictures] for expert in experts]
    return np.array(scores, np.float32)


def _prototypes(means_ND: Floats, previous: ClassBank | None, update: ExpertUpdate) -> Floats:
    """A few pictures' mean embeddings that cover all of the class's."""
    if previous is not None:
        means_ND = np.concatenate([previous.prototypes_KD, means_ND])
    return means_ND[farthest_first(means_ND, update.bank.num_prototypes, seed=update.seed).indices_M]
