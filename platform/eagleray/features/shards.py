"""Pictures by their number through all shards of patches."""

from collections.abc import Iterator, Sequence

import numpy as np

from eagleray.arrays import Halves


def pictures_of(shards: Sequence[Halves], images: Sequence[int] | None = None) -> Iterator[Halves]:
    """Patches (H, W, D) of some pictures, or of all, without copying them.

    Args:
        shards: patches (N, H, W, D); pictures are numbered through all of them, from 0.
        images: numbers of the pictures wanted, in any order.
    """
    firsts_S = np.cumsum([0, *map(len, shards)])
    for image in range(int(firsts_S[-1])) if images is None else images:
        shard = int(np.searchsorted(firsts_S, image, side="right")) - 1
        yield shards[shard][image - firsts_S[shard]]
