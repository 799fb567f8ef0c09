"""Array types and the shape legend that every module's names follow.

A trailing suffix on a name gives its axes in order, for example ``patches_NPD``:

    N  images            P  patches of one image (P = H * W)     D  embedding size
    H  patch-grid rows   W  patch-grid columns                    M  rows of a bank
    Q  query patches     K  neighbours                            C  classes
    S  steps of a stream E  experts                               Y, X  pixels

Scores are distances or built from distances: higher is more anomalous, everywhere.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
"""Single-precision values: embeddings, distances, scores."""
Halves: TypeAlias = NDArray[np.float16]
"""Half-precision embeddings, in transit and on disk only."""
Ints: TypeAlias = NDArray[np.int64]
"""Row numbers, labels, counts."""
Bools: TypeAlias = NDArray[np.bool_]
"""Masks: true is defective."""
Pixels: TypeAlias = NDArray[np.uint8]
"""RGB images, (Y, X, 3) or (N, Y, X, 3), 0 to 255."""
AnyArray: TypeAlias = NDArray[Any]
