"""Settings of the continual learner, with the paper's values (MECAD, section 4.1.3) as defaults."""

from dataclasses import dataclass
from typing import Literal

from eagleray.config import check_at_least, check_share
from eagleray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class MecadConfig:
    """Experts, budgets and what becomes of old classes."""

    num_experts: int = 8
    """Experts in all; the paper varies this from 1 to 8."""
    expert_capacity: int = 6
    """Classes one expert may hold; 2,400 rows at 400 a class in the paper."""
    similarity_threshold: float = 0.9
    """Cosine similarity above which a class joins an expert that already holds others (eq. 2)."""
    rows_per_class: int = 400
    """Bank rows of one class, at most."""
    rows_per_expert: int = 2400
    """Bank rows of one expert, at most; its classes share them evenly."""
    memory: Literal["nested", "replay"] = "nested"
    """What an expert keeps of old classes: the longest coreset prefix within budget, or a random replay sample."""
    replay_ratio: float = 0.2
    """Share of rows_per_class that a class keeps once another class joins its expert (replay only)."""
    routing: Literal["image", "oracle"] = "image"
    """At test, find the expert from the image alone, or be told the class, as the paper's evaluation is."""

    def __post_init__(self) -> None:
        check_at_least("--mecad.num-experts", self.num_experts, 1)
        check_at_least("--mecad.expert-capacity", self.expert_capacity, 1)
        check_at_least("--mecad.rows-per-class", self.rows_per_class, 2)
        check_at_least("--mecad.rows-per-expert", self.rows_per_expert, max(self.rows_per_class, self.expert_capacity))
        check_share("--mecad.replay-ratio", self.replay_ratio, zero=False)
        if not -1 <= self.similarity_threshold <= 1:
            raise ConfigError("--mecad.similarity-threshold", "in [-1, 1]", self.similarity_threshold)

    def rows_allowed(self, num_classes: int) -> int:
        """Rows each of an expert's `num_classes` classes may keep."""
        return min(self.rows_per_class, self.rows_per_expert // num_classes)

    def rows_replayed(self) -> int:
        """Rows that a class keeps as its replay sample once another class joins its expert."""
        return max(1, round(self.replay_ratio * self.rows_per_class))
