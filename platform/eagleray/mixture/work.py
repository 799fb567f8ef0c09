"""The pieces of work that a pool carries out for mixtures: plain functions of their arguments and of patches.

Patches come as shards (N, H, W, D) in half precision; pictures are numbered through all shards of a call.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eagleray.adaptation import Adaption, PatchStatistics
from eagleray.arrays import Floats, Halves, Ints
from eagleray.banks import BankConfig, fit_whitening, sharded_farthest_first
from eagleray.experts.adapted_expert import BankWeights, expert_from_bytes
from eagleray.features.shards import pictures_of
from eagleray.routing import RoutingNetwork
from eagleray.threads import limit_blas


@dataclass(frozen=True, kw_only=True, slots=True)
class BankTask:
    """A bank expert to be fitted."""

    images: tuple[int, ...]
    adaption: Adaption | None
    """What the training pictures go through."""
    rows: int
    bank: BankConfig
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreTask:
    """Pictures to be scored by an expert."""

    images: tuple[int, ...]
    expert: bytes
    """As `expert_to_bytes` writes it: an index of rows does not travel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateTask:
    """A mixture whose speed is measured."""

    network: bytes
    experts: tuple[tuple[bytes, ...], ...]
    """Of each subclass, one for each adaption."""
    top_k: tuple[int, ...]
    num_images: int = 16


def fit_bank(task: BankTask, *shards: Halves) -> BankWeights:
    """Whitening and coreset of some pictures' patches; directions take the place of rows, as in a class bank."""

    def groups() -> Iterator[Floats]:  # made anew for each pass, so that no more than one is held
        return map(np.concatenate, _grouped(_adapted(shards, task.images, task.adaption), task.bank))

    with limit_blas(1):  # which rows are chosen must not depend on the machine
        whitening = None
        if task.bank.whitening_directions:
            kept = min(task.bank.whitening_directions, max(1, task.rows // 4))
            whitening = fit_whitening(groups(), num_directions=kept, shrinkage=task.bank.whitening_shrinkage)
        rows = max(task.rows - (whitening.num_directions if whitening else 0), 1)
        chosen = sharded_farthest_first(
            (whitening.apply(group) if whitening else group for group in groups()),
            rows,
            seed=task.seed,
            projection_dim=task.bank.projection_dim,
        )
    return BankWeights(chosen.rows_MD, whitening)


def score_images(task: ScoreTask, *shards: Halves) -> Floats:
    """Patch scores (N, H, W) of some pictures; higher is more anomalous."""
    expert = expert_from_bytes(task.expert, "the expert")
    with limit_blas(1):
        scores = [expert.patch_scores(patches_HWD) for patches_HWD in pictures(shards, task.images)]
    return np.stack(scores)


def route_images(network: bytes, *shards: Halves) -> tuple[Ints, Floats]:
    """Ranking (N, E) of the subclasses for each picture, nearest first, and their softmax weights in that order."""
    router = RoutingNetwork.from_bytes(network, "the routing network")
    order, weights = [], []
    with limit_blas(1):
        for patches_HWD in pictures(shards):
            ranked = router.route(patches_HWD, len(router.centres_EC))
            order.append([number for number, _ in ranked])
            weights.append([weight for _, weight in ranked])
    return np.array(order, np.int64), np.array(weights, np.float32)


def routing_embeddings(network: bytes, *shards: Halves) -> Floats:
    """Embeddings (N, C) of pictures in the routing space."""
    router = RoutingNetwork.from_bytes(network, "the routing network")
    with limit_blas(1):
        return np.stack([router.embed(patches_HWD) for patches_HWD in pictures(shards)])


def measure_rates(task: RateTask, *shards: Halves) -> list[float]:
    """Pictures a second that one thread routes and scores, for each number of experts asked; without embedding."""
    router = RoutingNetwork.from_bytes(task.network, "the routing network")
    experts = [[expert_from_bytes(one, "an expert") for one in row] for row in task.experts]
    with limit_blas(1):
        shown = list(itertools.islice(pictures(shards), task.num_images))
        rates = []
        for top_k in task.top_k:
            start = time.perf_counter()
            for patches_HWD in shown:
                for number, weight in router.route(patches_HWD, top_k):
                    for expert in experts[number]:
                        np.multiply(expert.patch_scores(patches_HWD), np.float32(weight))
            rates.append(len(shown) / (time.perf_counter() - start))
    return rates


def statistics(_: None, *shards: Halves) -> PatchStatistics:
    """Mean and deviation of the patches of every picture."""
    return PatchStatistics.of(shards)


def pictures(shards: Sequence[Halves], images: Sequence[int] | None = None) -> Iterator[Floats]:
    """Patches (H, W, D) of some pictures, or of all, in single precision."""
    for patches_HWD in pictures_of(shards, images):
        yield patches_HWD.astype(np.float32)


def _adapted(shards: Sequence[Halves], images: Sequence[int], adaption: Adaption | None) -> Iterator[Floats]:
    for patches_HWD in pictures(shards, images):
        adapted_HWD = adaption.apply(patches_HWD) if adaption else patches_HWD
        yield adapted_HWD.reshape(-1, adapted_HWD.shape[-1])


def _grouped(patches: Iterable[Floats], bank: BankConfig) -> Iterator[list[Floats]]:
    """Consecutive pictures that fit the memory budget together: the coreset of several groups takes two rounds."""
    group: list[Floats] = []
    for picture_PD in patches:
        group.append(picture_PD)
        if sum(member.nbytes for member in group) > bank.memory_mb * 2**20:
            yield group
            group = []
    if group:
        yield group
