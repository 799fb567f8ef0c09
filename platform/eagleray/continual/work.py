"""The pieces of work that a pool carries out: plain functions of their arguments, so that any worker gives the same.

A picture that cannot be read never stops a piece of work: it comes back as skipped, and the learner decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eagleray.arrays import AnyArray, Floats
from eagleray.banks import ClassBank
from eagleray.errors import BadImage
from eagleray.experts import BankExpert
from eagleray.features import Embedder, load_image, resize
from eagleray.storage import Skipped
from eagleray.threads import limit_blas


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """The small part of an embedded shard, which the driver looks at; the patches stay where they are."""

    paths: tuple[str, ...]
    """Pictures that were embedded, in order."""
    skipped: tuple[Skipped, ...]
    means_ND: Floats
    """Mean patch embedding of each picture."""


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One picture to be scored against some class banks, named by their blobs."""

    path: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """Patch scores of one picture for each class bank asked for."""

    path: str
    mean_D: Floats
    """Mean patch embedding."""
    patch_scores_HW: Mapping[str, Floats]
    """By the digest of the class bank; higher is more anomalous."""


def embed_image(embedder: Embedder, path: str, image_size: int) -> Floats:
    """Patch embeddings (H, W, D) of one file.

    Raises:
        BadImage: it cannot be read.
    """
    return embedder.embed(resize(load_image(path), image_size))


def embed_shard(
    embedder: Embedder, paths: Sequence[str], image_size: int, *, half: bool = True
) -> tuple[ShardInfo, AnyArray]:
    """Embed some pictures; returns what the driver needs and the patches (N, H, W, D).

    Classes are fitted to patches in half precision, pictures are scored in single precision.
    """
    precision = np.float16 if half else np.float32
    kept, skipped, means, patches = [], [], [], []
    for path in paths:
        try:
            patches_HWD = embed_image(embedder, path, image_size)
        except BadImage as error:
            skipped.append(Skipped(path=path, reason=error.args[1]))
            continue
        kept.append(path)
        means.append(patches_HWD.mean(axis=(0, 1)))
        patches.append(patches_HWD.astype(precision))
    info = ShardInfo(tuple(kept), tuple(skipped), np.array(means, np.float32))
    return info, np.array(patches, precision)


def score_shard(
    embedder: Embedder, items: Sequence[ScoreItem], banks: Mapping[str, ClassBank], image_size: int
) -> list[ScoredImage | Skipped]:
    """Embed some pictures and score each against its class banks; one result an item, in order."""
    experts = {digest: BankExpert(bank.rows_MD, bank.whitening) for digest, bank in banks.items()}
    results: list[ScoredImage | Skipped] = []
    with limit_blas(1):  # its sums depend on its threads, and scores must not
        for item in items:
            try:
                patches_HWD = embed_image(embedder, item.path, image_size)
            except BadImage as error:
                results.append(Skipped(path=item.path, reason=error.args[1]))
                continue
            scores = {digest: experts[digest].patch_scores(patches_HWD) for digest in item.digests}
            results.append(ScoredImage(item.path, patches_HWD.mean(axis=(0, 1)), scores))
    return results
