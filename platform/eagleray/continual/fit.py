"""Fitting a class and making room for it: what an expert does when a class arrives (MECAD, section 3.4)."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eagleray.arrays import AnyArray, Floats, Halves, Ints
from eagleray.banks import (
    BankConfig,
    ClassBank,
    Whitening,
    covering_radius,
    farthest_first,
    fit_whitening,
    sharded_farthest_first,
)
from eagleray.continual.config import MecadConfig
from eagleray.continual.replay import random_replay
from eagleray.experts import BankExpert, ScoringConfig, image_score
from eagleray.routing import PrototypeRouter
from eagleray.threads import limit_threads

_SMALLEST_LEVEL = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertUpdate:
    """One class arrives at one expert."""

    class_name: str
    num_classes: int
    """Classes that the expert holds once this one has arrived."""
    seed: int
    mecad: MecadConfig
    bank: BankConfig
    scoring: ScoringConfig
    provenance: Mapping[str, Any]

    @property
    def rows_allowed(self) -> int:
        """Rows and directions that each of the expert's classes may hold from now on."""
        return self.mecad.rows_allowed(self.num_classes)

    def rows_kept(self, num_directions: int) -> int:
        """Rows, at most, that stay of an older class with so many whitening directions."""
        rows = max(self.rows_allowed - num_directions, 1)
        return rows if self.mecad.memory == "nested" else min(rows, self.mecad.rows_replayed())


def fit_class(
    update: ExpertUpdate,
    previous: ClassBank | None,
    patches: Sequence[Halves],
    calibration: Sequence[Halves],
    budget: int,
) -> ClassBank:
    """Rows, whitening, calibration and prototypes of one class; more images of a known class join what is known.

    Args:
        update: which class, with which settings.
        previous: what is known of it.
        patches: as in `update_expert`.
        calibration: as in `update_expert`.
        budget: rows, at most.
    """
    points = [shard.reshape(-1, shard.shape[-1]) for shard in patches]
    means_ND = _means(patches)
    known_images = previous.num_images if previous else 0
    whitening = _fit_whitening(points, update.bank, previous, known_images * _area(patches))
    spent = whitening.num_directions if whitening else 0
    rows_MD = _select(points, previous, whitening, max(budget - spent, 1), update)
    crowded = update.mecad.rows_allowed(update.mecad.expert_capacity)  # what is left when the expert is full
    levels_L = _levels(len(rows_MD), max(crowded - spent, 1))
    calibration_LN = _calibrate(rows_MD, whitening, levels_L, calibration, update.scoring)
    if previous is not None:
        calibration_LN = np.concatenate([_at_levels(previous, levels_L), calibration_LN], axis=1)
    prototypes_KD = _prototypes(means_ND, previous, update)
    return ClassBank(
        name=update.class_name,
        rows_MD=rows_MD,
        whitening=whitening,
        centroid_D=_centroid(means_ND, previous),
        prototypes_KD=prototypes_KD,
        level_rows_L=levels_L,
        calibration_LN=calibration_LN,
        num_images=len(means_ND) + known_images,
        coverage_radius=covering_radius((_whitened(shard, whitening) for shard in points), rows_MD),
        routing_distances_N=_routing_distances(prototypes_KD, calibration, previous),
        provenance=dict(update.provenance),
    )


def update_expert(
    update: ExpertUpdate,
    memory: Mapping[str, ClassBank],
    patches: Sequence[Any],
    calibration: Sequence[Any],
    *,
    fit: Callable[..., ClassBank] = fit_class,
) -> dict[str, ClassBank]:
    """The expert's memory after a class arrived: MECAD eq. 3.

    Args:
        update: which class, with which settings.
        memory: of the expert's class banks so far the arriving class's own and those of more than `rows_kept` rows;
            others may be there too, and stay as they are.
        patches: shards (N, H, W, D) of the class's good pictures, for the rows.
        calibration: shards of further good pictures of the class, which no row may come from.
        fit: as `fit_class`; or who remembers what that gave, and is handed whatever the shards are to it.

    Returns:
        The class banks that changed: the arriving class, and older ones that had to make room.
    """
    previous = memory.get(update.class_name)
    changed = {update.class_name: fit(update, previous, patches, calibration, update.rows_allowed)}
    for name, bank in memory.items():
        if name != update.class_name and bank.num_rows > update.rows_kept(bank.num_directions):
            changed[name] = _shrunk(bank, update)
    return changed


def _shrunk(bank: ClassBank, update: ExpertUpdate) -> ClassBank:
    """What stays of an older class that has to make room."""
    if update.mecad.memory == "nested":
        return bank.truncated(update.rows_allowed)
    return random_replay(bank, update.rows_kept(bank.num_directions), seed=update.seed)


def _means(shards: Sequence[Halves]) -> Floats:
    """Mean patch embedding (N, D) of each picture."""
    return np.concatenate([shard.mean(axis=(1, 2), dtype=np.float32) for shard in shards])


def _area(shards: Sequence[Halves]) -> int:
    """Patches of one picture."""
    return int(shards[0].shape[1] * shards[0].shape[2])


def _fit_whitening(
    points: Sequence[AnyArray], bank: BankConfig, previous: ClassBank | None, known_patches: int
) -> Whitening | None:
    if bank.whitening_directions == 0:
        return None
    return fit_whitening(
        points,
        num_directions=bank.whitening_directions,
        shrinkage=bank.whitening_shrinkage,
        known=previous.whitening if previous else None,
        known_count=known_patches,
    )


def _whitened(points_ND: AnyArray, whitening: Whitening | None) -> Floats:
    return whitening.apply(points_ND) if whitening else points_ND.astype(np.float32)


def _select(
    points: Sequence[AnyArray],
    previous: ClassBank | None,
    whitening: Whitening | None,
    num_rows: int,
    update: ExpertUpdate,
) -> Floats:
    """The coreset: exact where the patches fit the memory budget, in two rounds over groups of shards otherwise."""
    groups: Iterable[Floats] = (
        np.concatenate([_whitened(shard, whitening) for shard in group])
        for group in _groups(points, update.bank.memory_mb * 2**20)
    )
    if previous is not None:
        rows_MD = previous.whitening.undo(previous.rows_MD) if previous.whitening else previous.rows_MD
        groups = itertools.chain([_whitened(rows_MD, whitening)], groups)
    return sharded_farthest_first(groups, num_rows, seed=update.seed, projection_dim=update.bank.projection_dim).rows_MD


def _groups(points: Sequence[AnyArray], budget: int) -> Iterator[list[AnyArray]]:
    """Consecutive shards that fit the budget together, in bytes of single precision."""
    group: list[AnyArray] = []
    used = 0
    for shard in points:
        size = shard.size * np.dtype(np.float32).itemsize
        if group and used + size > budget:
            yield group
            group, used = [], 0
        group.append(shard)
        used += size
    yield group


def _levels(num_rows: int, least: int) -> Ints:
    """Prefix sizes to calibrate: all rows, half of them, a quarter, down to the smallest useful bank or to `least`."""
    levels = [num_rows]
    while levels[-1] // 2 >= _SMALLEST_LEVEL or levels[-1] > least:
        levels.append(levels[-1] // 2)
    return np.array(levels[::-1], np.int64)


def _calibrate(
    rows_MD: Floats, whitening: Whitening | None, levels_L: Ints, calibration: Sequence[Halves], scoring: ScoringConfig
) -> Floats:
    """Scores (L, N) of held-out good pictures against each prefix of the rows."""
    experts = [BankExpert(rows_MD[:rows]) for rows in levels_L]
    scores_LN = np.empty((len(experts), sum(map(len, calibration))), np.float32)
    pictures = (picture_HWD for shard in calibration for picture_HWD in shard)
    for number, picture_HWD in enumerate(pictures):
        patches_PD = _whitened(picture_HWD.reshape(-1, picture_HWD.shape[-1]), whitening)
        patches_HWD = patches_PD.reshape(picture_HWD.shape)
        scores_LN[:, number] = [image_score(expert.patch_scores(patches_HWD), scoring) for expert in experts]
    return scores_LN


def _at_levels(previous: ClassBank, levels_L: Ints) -> Floats:
    """Earlier calibration scores at new prefix sizes, each from the nearest smaller prefix.

    They are kept beside the new ones because their pictures are gone. Old and new pictures share the rows now, so those
    earlier ones would score higher today, the more the update's pictures differ from them: see docs/methods.md.
    """
    level = np.searchsorted(previous.level_rows_L, levels_L, side="right") - 1
    scores_LN: Floats = previous.calibration_LN[np.maximum(level, 0)]
    return scores_LN


def _centroid(means_ND: Floats, previous: ClassBank | None) -> Floats:
    """Mean patch embedding of all pictures learned."""
    total_D = means_ND.sum(axis=0, dtype=np.float64)
    count = len(means_ND)
    if previous is not None:
        total_D += previous.num_images * previous.centroid_D.astype(np.float64)
        count += previous.num_images
    mean_D: Floats = (total_D / count).astype(np.float32)
    return mean_D


def _prototypes(means_ND: Floats, previous: ClassBank | None, update: ExpertUpdate) -> Floats:
    """Centres of a few clusters of the class's mean embeddings: k-means, begun at a farthest-first choice.

    That choice alone would cover the class too, but with its oddest pictures, and those lie closest to other classes.
    """
    from sklearn.cluster import KMeans  # two seconds and 60 MB, which whoever only scores does without

    weights_N = np.ones(len(means_ND))
    if previous is not None:
        known_KD = previous.prototypes_KD
        means_ND = np.concatenate([known_KD, means_ND])
        weights_N = np.concatenate([np.full(len(known_KD), previous.num_images / len(known_KD)), weights_N])
    start_KD = means_ND[farthest_first(means_ND, update.bank.num_prototypes, seed=update.seed).indices_M]
    with limit_threads(1):  # sums, and so bytes, would depend on the threads
        clusters = KMeans(len(start_KD), init=start_KD, n_init=1, random_state=update.seed)
        clusters.fit(means_ND, sample_weight=weights_N)
    return np.asarray(clusters.cluster_centers_, dtype=np.float32)


def _routing_distances(prototypes_KD: Floats, calibration: Sequence[Halves], previous: ClassBank | None) -> Floats:
    """Distances (N,) of held-out good pictures' mean embeddings to the nearest prototype.

    Earlier ones are kept as they were, because their pictures are gone. An update moves the prototypes, so they may be
    somewhat off by now; `novelty_limits` leaves more room than that.
    """
    router = PrototypeRouter({"": prototypes_KD})
    new = [router.nearest(mean_D, 1)[0][1] for shard in calibration for mean_D in _means([shard])]
    known_N = previous.routing_distances_N if previous else np.empty(0, np.float32)
    return np.concatenate([known_N, np.array(new, np.float32)])
