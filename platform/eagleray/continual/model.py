"""A learned model as the driver sees it: which class lies where, who an image belongs to, what it is scored against."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eagleray.arrays import Floats
from eagleray.config import from_json
from eagleray.continual.config import MecadConfig
from eagleray.continual.pool import StoredBank, load_bank
from eagleray.routing import PrototypeRouter
from eagleray.storage import Manifest, ModelStore


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model; immutable."""

    version: int
    banks: Mapping[str, StoredBank]
    """By class name."""
    experts: Mapping[str, int]
    """Expert of each class."""
    mecad: MecadConfig
    """The settings it was learned with."""

    @classmethod
    def load(cls, store: ModelStore, manifest: Manifest, known: Mapping[str, StoredBank] | None = None) -> "Model":
        """Read a version from the store; every blob's hash is checked, but those already `known` by their digest."""
        config = from_json(MecadConfig, manifest.config["mecad"])
        known = known or {}
        banks = {
            n: known.get(entry.blob) or StoredBank.of(load_bank(store, entry.blob), entry.blob)
            for n, entry in manifest.classes.items()
        }
        experts = {name: entry.expert for name, entry in manifest.classes.items()}
        return cls(manifest.version, banks, experts, config)

    def with_banks(self, changed: Mapping[str, StoredBank], expert: int) -> "Model":
        """The model after one expert changed; classes in order of name, as in the store, so that sums do not differ."""
        banks, experts = {**self.banks, **changed}, {**self.experts, **dict.fromkeys(changed, expert)}
        return dataclasses.replace(self, banks=dict(sorted(banks.items())), experts=dict(sorted(experts.items())))

    def without(self, name: str) -> "Model":
        """The model after a class was removed."""
        banks = {n: bank for n, bank in self.banks.items() if n != name}
        return dataclasses.replace(self, banks=banks, experts={n: self.experts[n] for n in banks})

    def at_version(self, version: int) -> "Model":
        """The same under the number it was committed as."""
        return dataclasses.replace(self, version=version)

    def router(self) -> PrototypeRouter:
        """Finds the class of an image that comes without one."""
        return PrototypeRouter({name: stored.bank.prototypes_KD for name, stored in self.banks.items()})

    def scored_against(self, class_name: str) -> tuple[str, ...]:
        """Blobs of the class banks that an image of this class is scored against.

        Nested memory: the class's own rows. Replay memory: all rows of its expert, MECAD eq. 4.
        """
        if self.mecad.memory == "nested":
            return (self.banks[class_name].digest,)
        return self.expert_blobs(self.experts[class_name])

    def expert_banks(self, expert: int) -> dict[str, StoredBank]:
        """An expert's class banks, in order of name."""
        return {
            name: self.banks[name] for name in sorted(n for n, held_by in self.experts.items() if held_by == expert)
        }

    def expert_blobs(self, expert: int) -> tuple[str, ...]:
        """Blobs of an expert's class banks, in order of name."""
        return tuple(stored.digest for stored in self.expert_banks(expert).values())

    def classes_held(self) -> Counter[int]:
        """Number of classes of each expert that has any."""
        return Counter(self.experts.values())

    def rows_held(self) -> dict[int, int]:
        """Bank rows of each expert that has any."""
        rows: dict[int, int] = defaultdict(int)
        for name, stored in self.banks.items():
            rows[self.experts[name]] += stored.num_rows
        return dict(sorted(rows.items()))

    def expert_centroids(self) -> dict[int, Floats]:
        """Mean row of each expert's memory, c_e of MECAD eq. 1."""
        held: dict[int, list[StoredBank]] = defaultdict(list)
        for name in sorted(self.banks):
            held[self.experts[name]].append(self.banks[name])
        return {expert: _mean_row(held[expert]) for expert in sorted(held)}

    def expert_centroid(self, expert: int) -> Floats:
        """The same of one expert, which has to hold a class."""
        return _mean_row([*self.expert_banks(expert).values()])


def _mean_row(held: Sequence[StoredBank]) -> Floats:
    """Mean (D,) of all rows of some class banks; the sum goes in the order given."""
    sum_D = np.zeros_like(held[0].row_mean_D)
    for stored in held:
        sum_D += stored.num_rows * stored.row_mean_D
    mean_D: Floats = sum_D / np.float32(sum(stored.num_rows for stored in held))
    return mean_D
