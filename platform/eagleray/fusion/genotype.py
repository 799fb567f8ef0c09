"""An architecture of the fusion network, as a small value that prints, compares and becomes JSON.

Features are named by modality, stage and number, as in ``depth.middle.1``; a cell's output that a later cell may take
is called ``cell.early`` or ``cell.middle``. A node's inputs are numbered: 0 and 1 are the cell's two features, 2 the
first node, and so on. Source: 3D-ADNAS, Fig. 3 and eq. 4 to 7.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from eagleray.config import from_json, to_json
from eagleray.errors import ConfigError, GenotypeError

Modality: TypeAlias = Literal["color", "depth"]
Stage: TypeAlias = Literal["early", "middle", "late"]
Operation: TypeAlias = Literal["add", "concat", "glu", "attention"]

MODALITIES: tuple[Modality, ...] = ("color", "depth")
STAGES: tuple[Stage, ...] = ("early", "middle", "late")
OPERATIONS: tuple[Operation, ...] = ("add", "concat", "glu", "attention")
GENOTYPE_SCHEMA = "eagleray.genotype/1"


@dataclass(frozen=True, slots=True)
class Node:
    """One operation on two maps."""

    op: Operation
    inputs: tuple[int, int]
    """The first is what attention and gating start from."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one module fuses, and how; its output is made of all its nodes."""

    features: tuple[str, str]
    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        names = [*self.features, *(f"n{number}" for number in range(1, len(self.nodes) + 1))]
        nodes = (
            f"n{number} = {node.op}({names[node.inputs[0]]}, {names[node.inputs[1]]})"
            for number, node in enumerate(self.nodes, 1)
        )
        return "; ".join(nodes)


@dataclass(frozen=True, slots=True)
class Cells:
    """A cell for each module, early to late; None where a module is left out."""

    early: Cell | None = None
    middle: Cell | None = None
    late: Cell | None = None


@dataclass(frozen=True, slots=True)
class Genotype:
    """An architecture; the last cell that is there feeds the head."""

    cells: Cells

    def __str__(self) -> str:
        return "\n".join(f"{stage:<6}  {cell}" for stage, cell in self.by_stage().items())

    def by_stage(self) -> dict[Stage, Cell]:
        """The cells that are there, early to late."""
        cells = {stage: getattr(self.cells, stage) for stage in STAGES}
        return {stage: cell for stage, cell in cells.items() if cell is not None}

    @property
    def last(self) -> Stage:
        """The module whose output feeds the head."""
        return next(reversed(self.by_stage()))

    def used(self) -> dict[Stage, Cell]:
        """The cells whose output reaches the head, early to late: what is left of them when it is run."""
        cells = self.by_stage()
        wanted = {self.last}
        for stage in reversed(cells):
            if stage in wanted:
                wanted |= {name for name in STAGES if f"cell.{name}" in cells[stage].features}
        return {stage: cell for stage, cell in cells.items() if stage in wanted}

    def pruned(self) -> "Genotype":
        """Without the cells whose output does not reach the head: the same network when it is run."""
        return Genotype(Cells(**self.used()))

    def features(self) -> tuple[str, ...]:
        """Names of the modalities' features that reach the head, sorted."""
        names = {name for cell in self.used().values() for name in cell.features}
        return tuple(sorted(name for name in names if not name.startswith("cell.")))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"schema": GENOTYPE_SCHEMA, **to_json(self)}

    @classmethod
    def from_json(cls, values: Any, place: str) -> "Genotype":
        """Read what `to_json` gave; `place` names it in errors.

        Raises:
            GenotypeError: not such values.
        """
        if not isinstance(values, Mapping) or values.get("schema") != GENOTYPE_SCHEMA:
            raise GenotypeError(place, f"is no architecture of schema {GENOTYPE_SCHEMA}")
        try:
            genotype = from_json(cls, {key: value for key, value in values.items() if key != "schema"}, "genotype")
        except ConfigError as error:
            raise GenotypeError(place, str(error)) from error
        if not genotype.by_stage():
            raise GenotypeError(place, "has no cell")
        return genotype

    @classmethod
    def read(cls, path: str | Path) -> "Genotype":
        """Read a JSON file.

        Raises:
            GenotypeError: it cannot be read, or is no architecture.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise GenotypeError(str(path), f"cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise GenotypeError(str(path), f"is not JSON ({error})") from error
        return cls.from_json(values, str(path))
