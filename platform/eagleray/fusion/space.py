"""The two-level search space: which features each cell takes, how its nodes are connected, and what they do.

Early cells choose among the early features of both modalities. Their output joins the middle features, and both
outputs join the late ones: that is the inter-module level. Source: 3D-ADNAS, "Search Space"; supplement, Algorithm 1.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from eagleray.errors import ConfigError, GenotypeError
from eagleray.fusion.genotype import MODALITIES, OPERATIONS, STAGES, Cell, Cells, Genotype, Modality, Node, Stage

TAPS = 2
"""Features of each modality at each stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What an architecture is chosen from."""

    modalities: tuple[Modality, ...] = MODALITIES
    stages: tuple[Stage, ...] = STAGES
    """Modules that an architecture has."""
    nodes: int = 2
    """Nodes in a cell (K of the paper)."""

    def __post_init__(self) -> None:
        if not self.modalities or not self.stages:
            raise ConfigError("search space", "of at least one modality and one module", (self.modalities, self.stages))
        if not 1 <= self.nodes <= 4:
            raise ConfigError("--search.nodes", "in 1 to 4", self.nodes)

    def pool(self, stage: Stage) -> tuple[str, ...]:
        """Names of the features that a stage's cell chooses from."""
        own = tuple(f"{modality}.{stage}.{number}" for modality in self.modalities for number in range(TAPS))
        return own + tuple(f"cell.{earlier}" for earlier in STAGES[: STAGES.index(stage)] if earlier in self.stages)

    def __len__(self) -> int:
        """Number of architectures."""
        return math.prod(
            math.perm(len(self.pool(stage)), 2)
            * math.prod(math.perm(2 + node, 2) * len(OPERATIONS) for node in range(self.nodes))
            for stage in self.stages
        )

    def check(self, genotype: Genotype, place: str) -> None:
        """Raise GenotypeError, which names `place`, unless the architecture is one of this space."""
        cells = genotype.by_stage()
        if tuple(cells) != tuple(stage for stage in STAGES if stage in self.stages):
            raise GenotypeError(place, f"has the cells {', '.join(cells)}, this space has {', '.join(self.stages)}")
        for stage, cell in cells.items():
            pool = self.pool(stage)
            for name in cell.features:
                if name not in pool:
                    raise GenotypeError(place, f"its {stage} cell takes {name!r}, which is not among {', '.join(pool)}")
            if cell.features[0] == cell.features[1]:
                raise GenotypeError(place, f"its {stage} cell takes {cell.features[0]!r} twice")
            if len(cell.nodes) != self.nodes:
                raise GenotypeError(place, f"its {stage} cell has {len(cell.nodes)} nodes, this space has {self.nodes}")
            for number, node in enumerate(cell.nodes):
                first, second = node.inputs
                if first == second or not (0 <= first < 2 + number and 0 <= second < 2 + number):
                    expected = f"two different ones of 0 to {1 + number}"
                    raise GenotypeError(
                        place, f"node {number + 1} of its {stage} cell takes {node.inputs}, not {expected}"
                    )

    def sample(self, random: np.random.Generator) -> Genotype:
        """One architecture, each choice uniform."""
        return _genotype({stage: self._sample_cell(stage, random) for stage in self.stages})

    def mutate(self, genotype: Genotype, random: np.random.Generator) -> Genotype:
        """The architecture with one choice made anew: a feature, a connection or an operation; never the same one."""
        cells = genotype.by_stage()
        while True:
            stage = self.stages[random.integers(len(self.stages))]
            fresh, old = self._sample_cell(stage, random), cells[stage]
            choice = int(random.integers(1 + 2 * self.nodes))
            if choice == 0:
                keep = int(random.integers(2))
                features = (old.features[0], fresh.features[1]) if keep == 0 else (fresh.features[0], old.features[1])
                changed = Cell(features, old.nodes)
            else:
                number, what = divmod(choice - 1, 2)
                nodes = list(old.nodes)
                new = fresh.nodes[number]
                nodes[number] = Node(new.op, nodes[number].inputs) if what == 0 else Node(nodes[number].op, new.inputs)
                changed = Cell(old.features, tuple(nodes))
            if changed != old and changed.features[0] != changed.features[1]:
                return _genotype({**cells, stage: changed})

    def _sample_cell(self, stage: Stage, random: np.random.Generator) -> Cell:
        pairs = list(itertools.permutations(self.pool(stage), 2))
        nodes = []
        for number in range(self.nodes):
            inputs = list(itertools.permutations(range(2 + number), 2))
            nodes.append(Node(OPERATIONS[random.integers(len(OPERATIONS))], inputs[random.integers(len(inputs))]))
        return Cell(pairs[random.integers(len(pairs))], tuple(nodes))


def _genotype(cells: dict[Stage, Cell]) -> Genotype:
    return Genotype(Cells(**cells))
