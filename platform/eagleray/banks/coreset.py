"""Farthest-first coresets: which patches a bank keeps, and how well they cover the rest.

Notable:

* **The textbook choice, several rows per pass.** Distances to the chosen set only shrink, so the points with the
  largest distances of the last pass hold the next choices as long as the best of them beats every stale distance
  outside. One matrix product then brings all points up to date with the whole batch.
* **Ties are ties.** Squared distances are taken in float64 as ||x||^2 - 2xy + ||y||^2 around the first row. Rounding
  stays below 2^-40 of the squared spread of the points, so values that agree to that are ties and the lowest row
  number wins, and points that close to a chosen one equal it. Neither the BLAS, the threads nor the batch size changes
  a choice: it is that of the textbook loop in float64.
* **Nested.** Rows come in order of selection: the first m are the coreset of size m, and `radii_M[m]` is how far any
  point is from them.

Sources: Gonzalez 1985 (farthest-first, radius at most 2x the optimum); Roth et al. 2022 (PatchCore, selection in a
random projection); Malkomes et al. 2015 and Ceccarello et al. 2018 (two-round k-centre over shards).

Shapes, beside the legend of eagleray.arrays: N points, D their size, d the projected size, M rows kept, B points looked
at in one pass, J rows chosen in one pass.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eagleray.arrays import AnyArray, Floats, Ints
from eagleray.banks.knn import NearestRows
from eagleray.threads import limit_blas

_TIE_SHARE = 2.0**-40
_BLOCK_ROWS = 1024
_CANDIDATE_SHARE = 64
_FIRST_SHARE = 8
_LIKELY = 64


@dataclass(frozen=True, slots=True)
class Coreset:
    """Rows of one array in the order in which farthest-first traversal chose them."""

    indices_M: Ints
    """Row numbers in the array that was searched, in order of selection."""
    radii_M: Floats
    """Distance of each row to the rows before it, never rising: the first m rows cover every point within
    `radii_M[m]`. The first is infinite."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Patches kept from one shard, or from several, in order of selection."""

    rows_MD: Floats
    """The patches themselves, full-dimensional."""
    radii_M: Floats
    """Distance to the rows before, in the projection that selected them; the first is infinite."""
    indices_M: Ints
    """Where each row came from: its number among all patches of all shards."""


def random_projection(dim_in: int, dim_out: int, *, seed: int) -> Floats:
    """Return a Gaussian projection (D, d) that keeps distances in expectation; the identity where d would be >= D.

    Entries are independent N(0, 1/d).
    """
    if dim_in < 1 or dim_out < 1:
        raise ValueError(f"a projection needs sizes of at least 1, got {dim_in} and {dim_out}")
    if dim_out >= dim_in:
        return np.eye(dim_in, dtype=np.float32)
    entries_Dd = _rng(seed, "projection").standard_normal((dim_in, dim_out)) / math.sqrt(dim_out)
    return entries_Dd.astype(np.float32)


def project(patches_ND: AnyArray, projection_Dd: Floats) -> Floats:
    """Return the patches (N, d) after projection, block by block; float16 and memory-mapped patches are welcome.

    Products are taken in float64 and rounded once, so that equal patches stay equal wherever they stand.

    Raises:
        ValueError: the shapes do not fit, or a patch holds NaN or infinity.
    """
    _check_points(patches_ND)
    if patches_ND.shape[1] != projection_Dd.shape[0]:
        raise ValueError(f"patches of size {patches_ND.shape[1]} do not fit a projection {projection_Dd.shape}")
    projected_Nd = np.empty((len(patches_ND), projection_Dd.shape[1]), np.float32)
    weights_Dd = projection_Dd.astype(np.float64)
    with limit_blas(1):
        for block in _blocks(patches_ND):
            projected_Nd[block] = patches_ND[block].astype(np.float64) @ weights_Dd
    return projected_Nd


def farthest_first(
    points_ND: AnyArray, num_rows: int, *, seed: int, batch_size: int | None = None, num_threads: int = 1
) -> Coreset:
    """Choose rows by exact farthest-first traversal (k-centre greedy).

    The seed draws the first point; each further one is the point farthest from all chosen so far, ties going to the
    lowest row number. Fewer rows than asked come back when every remaining point equals a chosen one, to
    2^-20 of the spread.

    Args:
        points_ND: at least one point, usually after `project`.
        num_rows: rows to choose, at least 1; no more than N are chosen.
        seed: draws the first point.
        batch_size: points looked at between two passes over all points; speed only, by default N / 64. With 0 it is
            the textbook loop.
        num_threads: CPU threads; speed only.

    Raises:
        ValueError: a point holds NaN or infinity, or there is no point, or num_rows < 1.
    """
    _check_points(points_ND)
    start = int(_rng(seed, "start").integers(len(points_ND)))
    return _traverse(points_ND, num_rows, start, batch_size=batch_size, num_threads=num_threads)


def shard_candidates(
    patches_ND: AnyArray,
    num_rows: int,
    *,
    seed: int,
    projection_dim: int,
    oversample: float = 1.0,
    first_index: int = 0,
    num_threads: int = 1,
) -> Selection:
    """First round: the farthest-first rows of one shard, selected in the seeded projection, kept full-dimensional.

    Args:
        patches_ND: the shard.
        num_rows: rows that the coreset of all shards will have.
        seed: the same for all shards, so that all share one projection.
        projection_dim: size of the random projection.
        oversample: candidates kept per shard, as a multiple of num_rows; more make the merged coreset better.
        first_index: number of patches in the shards before this one.
        num_threads: CPU threads; speed only.
    """
    if oversample < 1:
        raise ValueError(f"oversample must be at least 1, got {oversample}")
    points_Nd = project(patches_ND, random_projection(patches_ND.shape[-1], projection_dim, seed=seed))
    coreset = farthest_first(points_Nd, math.ceil(oversample * num_rows), seed=seed, num_threads=num_threads)
    rows_MD = patches_ND[coreset.indices_M].astype(np.float32)
    return Selection(rows_MD, coreset.radii_M, coreset.indices_M + first_index)


def merge_candidates(
    candidates: Iterable[Selection], num_rows: int, *, seed: int, projection_dim: int, num_threads: int = 1
) -> Selection:
    """Second round: farthest-first over the union of all shards' candidates, in shard order.

    The traversal starts at the first shard's first row, so that one shard alone gives its own coreset again. With as
    many candidates per shard as rows asked, the radius is at most 4 times the optimum (Malkomes et al. 2015).
    """
    shards = list(candidates)
    if not shards:
        raise ValueError("there are no candidates to merge")
    rows_CD = np.concatenate([shard.rows_MD for shard in shards])
    indices_C = np.concatenate([shard.indices_M for shard in shards])
    points_Cd = project(rows_CD, random_projection(rows_CD.shape[1], projection_dim, seed=seed))
    coreset = _traverse(points_Cd, num_rows, 0, batch_size=None, num_threads=num_threads)
    return Selection(rows_CD[coreset.indices_M], coreset.radii_M, indices_C[coreset.indices_M])


def sharded_farthest_first(
    shards: Iterable[AnyArray],
    num_rows: int,
    *,
    seed: int,
    projection_dim: int,
    oversample: float = 1.0,
    num_threads: int = 1,
) -> Selection:
    """Choose rows from shards that stream through one at a time; only candidates stay in memory.

    The result depends on how the patches are cut into shards and on their order, never on who computed which shard.
    Memory is one shard plus `oversample * num_rows` full-dimensional rows for each shard.
    """
    candidates = []
    first_index = 0
    for patches_ND in shards:
        candidates.append(
            shard_candidates(
                patches_ND,
                num_rows,
                seed=seed,
                projection_dim=projection_dim,
                oversample=oversample,
                first_index=first_index,
                num_threads=num_threads,
            )
        )
        first_index += len(patches_ND)
    return merge_candidates(candidates, num_rows, seed=seed, projection_dim=projection_dim, num_threads=num_threads)


def covering_radius(shards: Iterable[AnyArray], rows_MD: Floats, *, num_threads: int = 1) -> float:
    """Return how far the farthest patch lies from its nearest row, full-dimensional; lower is better.

    A patch whose nearest row among the first few is within the largest distance found so far cannot be the farthest,
    so only the others are compared with all rows. With rows in order of selection these are a small part.

    Raises:
        ValueError: there is no patch, or a patch or row holds NaN or infinity.
    """
    first = NearestRows(rows_MD[: -(-len(rows_MD) // _FIRST_SHARE)], num_threads=num_threads)
    nearest = NearestRows(rows_MD, num_threads=num_threads)
    radius = -1.0
    for patches_BD in (shard_ND[block] for shard_ND in shards for block in _blocks(shard_ND)):
        bounds_B = first.search(patches_BD)[0][:, 0]
        likely_B = np.argsort(bounds_B)[-_LIKELY:]
        radius = float(nearest.search(patches_BD[likely_B])[0].max(initial=radius))
        radius = float(nearest.search(patches_BD[bounds_B > radius])[0].max(initial=radius))
    if radius < 0:
        raise ValueError("there are no patches to cover")
    return radius


class _Points:
    """The points relative to one of them, in float64 block by block, with their squared norms."""

    def __init__(self, points_ND: AnyArray, origin: int) -> None:
        self._points_ND = points_ND
        self._origin_D = points_ND[origin].astype(np.float64)
        self.norms_N = np.concatenate([_squared_norms(self[block]) for block in _blocks(points_ND)])
        self.tie = _TIE_SHARE * float(self.norms_N.max())

    def __getitem__(self, rows: slice | Ints) -> NDArray[np.float64]:
        offsets_BD = self._points_ND[rows].astype(np.float64)
        offsets_BD -= self._origin_D
        return offsets_BD

    def farthest(self, squares_B: NDArray[np.float64]) -> int:
        """The first position whose value ties with the largest."""
        return int((squares_B >= squares_B.max() - self.tie).argmax())


def _traverse(points_ND: AnyArray, num_rows: int, start: int, *, batch_size: int | None, num_threads: int) -> Coreset:
    if num_rows < 1:
        raise ValueError(f"num_rows must be at least 1, got {num_rows}")
    # Blocks go to our own threads and BLAS to one each: on products this small OpenBLAS' own threads cost more than
    # they bring, up to sevenfold on a busy machine.
    with limit_blas(1), ThreadPoolExecutor(num_threads) as threads:
        for_each = threads.map if num_threads > 1 else map  # handing a small block to a thread costs more than its work
        points = _Points(points_ND, start)
        # The first row is the origin, so the squared norms are already the distances to it.
        squares_N = points.norms_N.copy()
        if batch_size is None:
            batch_size = len(squares_N) // _CANDIDATE_SHARE
        chosen: list[int] = [start]
        squares: list[float] = [math.inf]
        while len(chosen) < num_rows and squares_N.max() > points.tie:
            batch, batch_squares = _next_rows(points, squares_N, batch_size, num_rows - len(chosen))
            chosen += batch
            squares += batch_squares
            if len(chosen) < num_rows:
                _shrink(squares_N, points, np.array(batch), for_each)
    return Coreset(np.array(chosen, np.int64), np.sqrt(squares).astype(np.float32))


def _next_rows(
    points: _Points, squares_N: NDArray[np.float64], batch_size: int, wanted: int
) -> tuple[list[int], list[float]]:
    """Choose among the points with the largest distances for as long as no point outside can be as far."""
    num_outside = len(squares_N) - batch_size
    outside = float(np.partition(squares_N, num_outside - 1)[num_outside - 1]) if num_outside > 0 else 0.0
    # What only ties with a point outside may tie with a lower row number there: the next pass decides.
    bound = outside + points.tie
    if squares_N.max() > bound:
        candidates_B = np.flatnonzero(squares_N > outside)
    else:  # more ties for the largest distance than a batch holds
        candidates_B = np.array([points.farthest(squares_N)])
    points_BD = points[candidates_B]
    norms_B = points.norms_N[candidates_B]
    squares_B = squares_N[candidates_B]
    rows: list[int] = []
    squares: list[float] = []
    best = points.farthest(squares_B)
    while True:
        rows.append(int(candidates_B[best]))
        squares.append(float(squares_B[best]))
        np.minimum(squares_B, norms_B + norms_B[best] - 2.0 * (points_BD @ points_BD[best]), out=squares_B)
        best = points.farthest(squares_B)
        if len(rows) == wanted or squares_B.max() <= bound:
            return rows, squares


def _shrink(
    squares_N: NDArray[np.float64], points: _Points, rows_J: Ints, for_each: Callable[..., Iterable[None]]
) -> None:
    """Lower every point's squared distance to that of its nearest new row, in place."""
    minus_twice_JD = -2.0 * points[rows_J]
    norms_J1 = points.norms_N[rows_J][:, None]

    def shrink(block: slice) -> None:
        products_JB = minus_twice_JD @ points[block].T
        products_JB += norms_J1
        nearest_B = products_JB.min(axis=0) + points.norms_N[block]
        np.minimum(squares_N[block], nearest_B, out=squares_N[block])

    for _ in for_each(shrink, _blocks(squares_N)):
        pass


def _squared_norms(points_BD: NDArray[np.float64]) -> NDArray[np.float64]:
    squares_B: NDArray[np.float64] = np.einsum("bd,bd->b", points_BD, points_BD)
    return squares_B


def _blocks(points_ND: AnyArray) -> Iterator[slice]:
    return (slice(first, first + _BLOCK_ROWS) for first in range(0, len(points_ND), _BLOCK_ROWS))


def _check_points(points_ND: AnyArray) -> None:
    if points_ND.ndim != 2 or 0 in points_ND.shape:
        raise ValueError(f"points must be (N, D) with at least one row and column, got shape {points_ND.shape}")
    if not all(np.isfinite(points_ND[block]).all() for block in _blocks(points_ND)):
        raise ValueError("points hold NaN or infinity")


def _rng(seed: int, purpose: str) -> np.random.Generator:
    """One stream of random numbers for each purpose, so that the start does not depend on the projection's size."""
    return np.random.Generator(np.random.PCG64([seed, *purpose.encode()]))
