"""What an expert knows of one class: a nested coreset of its good patches, and what goes with it.

A class is the unit of storage and of transport: learning one writes one blob, and an expert is the sum of its classes.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from eagleray.arrays import AnyArray, Floats, Ints
from eagleray.banks.whitening import Whitening
from eagleray.config import check_at_least, check_share
from eagleray.errors import StoreCorrupt, StoreVersion

BANK_SCHEMA = "eagleray.bank/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class BankConfig:
    """How rows are chosen."""

    projection_dim: int = 64
    """Size of the seeded random projection in which rows are selected; the rows kept are full-dimensional."""
    memory_mb: int = 400
    """Patches of one class beyond this are selected in two rounds, shard by shard."""
    num_prototypes: int = 4
    """Clusters of each class's images whose centres are kept for routing."""
    whitening_directions: int = 64
    """Directions in which a class's patches vary anyway and count less, each at the price of a row; 0 is without."""
    whitening_shrinkage: float = 0.2
    """Share of the mean variance in each direction's, in (0, 1]; 1 damps nothing."""

    def __post_init__(self) -> None:
        check_at_least("--bank.projection-dim", self.projection_dim, 1)
        check_at_least("--bank.memory-mb", self.memory_mb, 1)
        check_at_least("--bank.num-prototypes", self.num_prototypes, 1)
        check_at_least("--bank.whitening-directions", self.whitening_directions, 0)
        check_share("--bank.whitening-shrinkage", self.whitening_shrinkage, zero=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassBank:
    """The rows of one class; immutable."""

    name: str
    rows_MD: Floats
    """Patch embeddings, whitened if there is a whitening, in farthest-first order: the first m are the coreset of m."""
    whitening: Whitening | None
    """What embeddings go through before they are compared with rows."""
    centroid_D: Floats
    """Mean of all patch embeddings learned, not whitened, for the assignment (MECAD eq. 1)."""
    prototypes_KD: Floats
    """Centres of a few clusters of images by their mean embeddings, for routing."""
    level_rows_L: Ints
    """Sizes of the prefixes that were calibrated, rising; the last is the number of rows."""
    calibration_LN: Floats
    """Image scores of held-out good images against each prefix; more rows, lower scores."""
    num_images: int
    """Good images behind the rows."""
    coverage_radius: float
    """Largest distance to its nearest row of a patch that was learned last, full-dimensional, when it was fitted."""
    routing_distances_N: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    """Distances of held-out good images' mean embeddings to the nearest prototype; none in older banks."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Seed, configuration and weights that made it."""

    @property
    def num_rows(self) -> int:
        """Rows held."""
        return len(self.rows_MD)

    @property
    def num_directions(self) -> int:
        """Directions that the whitening holds."""
        return self.whitening.num_directions if self.whitening else 0

    @property
    def num_vectors(self) -> int:
        """Rows and directions held: what counts towards the budgets."""
        return self.num_rows + self.num_directions

    @property
    def calibration_N(self) -> Floats:
        """Scores of held-out good images against all rows: where thresholds and p-values come from."""
        scores_N: Floats = self.calibration_LN[-1]
        return scores_N

    def truncated(self, num_vectors: int) -> "ClassBank":
        """The longest calibrated prefix of at most `num_vectors` rows and directions; nothing is fitted again.

        The smallest calibrated prefix is returned where even that is longer.
        """
        if num_vectors >= self.num_vectors:
            return self
        num_rows = self.num_rows - (self.num_vectors - num_vectors)
        level = max(int(np.searchsorted(self.level_rows_L, num_rows, side="right")) - 1, 0)
        return dataclasses.replace(
            self,
            rows_MD=self.rows_MD[: self.level_rows_L[level]],
            level_rows_L=self.level_rows_L[: level + 1],
            calibration_LN=self.calibration_LN[: level + 1],
        )

    def without_rows(self) -> "ClassBank":
        """The same with one row, not whitened, the mean of all: what the assignment needs, light enough to keep."""
        mean_1D = self.rows_MD.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
        mean_1D = self.whitening.undo(mean_1D) if self.whitening else mean_1D
        return dataclasses.replace(self, rows_MD=mean_1D, whitening=None)

    def to_bytes(self) -> bytes:
        """Arrow IPC: one tensor column per array, the rest as JSON in the schema. Equal banks give equal bytes."""
        plain: dict[str, Any] = {"schema": BANK_SCHEMA} | {name: getattr(self, name) for name in _PLAIN}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.routing_distances_N.size:  # Arrow has no empty tensors, and older banks no such column
            arrays["routing_distances_N"] = self.routing_distances_N
        if self.whitening:
            plain["whitening"] = {name: getattr(self.whitening, name) for name in _WHITENING_PLAIN}
            arrays |= {name: getattr(self.whitening, name) for name in _WHITENING_ARRAYS}
        table = pa.table({name: _to_column(array) for name, array in arrays.items()})
        table = table.replace_schema_metadata({"eagleray": json.dumps(plain, sort_keys=True)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, data: bytes | memoryview | pa.Buffer, place: str) -> "ClassBank":
        """Read what `to_bytes` wrote, without copying the rows; `place` names it in errors.

        Raises:
            StoreCorrupt: not such bytes.
            StoreVersion: written with another schema.
        """
        try:
            table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
            plain = json.loads(table.schema.metadata[b"eagleray"])
            if plain.pop("schema") != BANK_SCHEMA:
                raise StoreVersion(place, f"a class bank of another schema than {BANK_SCHEMA}; learn the class again")
            arrays: dict[str, Any] = {name: _from_column(table[name]) for name in table.column_names}
            whitening = None
            if "whitening" in plain:
                own = {name: arrays.pop(name) for name in _WHITENING_ARRAYS}
                whitening = Whitening(**own, **plain.pop("whitening"))
            return cls(**plain, **arrays, whitening=whitening)
        except (pa.ArrowException, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            raise StoreCorrupt(place, f"not a class bank ({error}); learn the class again") from error


_ARRAYS = ("rows_MD", "centroid_D", "prototypes_KD", "level_rows_L", "calibration_LN")
_PLAIN = ("name", "num_images", "coverage_radius", "provenance")
_WHITENING_ARRAYS = ("mean_D", "directions_DJ", "variances_J")
_WHITENING_PLAIN = ("rest_variance", "shrinkage")


def _to_column(array: AnyArray) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array).reshape(1, *array.shape))


def _from_column(column: pa.ChunkedArray) -> AnyArray:
    values: AnyArray = column.chunk(0).to_numpy_ndarray()[0]
    return values
