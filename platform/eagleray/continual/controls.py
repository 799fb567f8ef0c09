"""The controls that a continual run is judged by: the same test images, scored in other ways (docs/methods.md).

Each control says which class banks an image of a class is scored against; the evaluator does the rest.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eagleray.banks import pool_whitenings
from eagleray.continual.config import MecadConfig
from eagleray.continual.model import Model
from eagleray.continual.pool import load_bank
from eagleray.continual.replay import random_replay
from eagleray.storage import Manifest, ModelStore

Banks = dict[str, tuple[str, ...]]
"""Blobs of the class banks that the images of a class are scored against, by class name."""

NOTES = {
    "routed": "what a user gets: the class, and so the expert, is found from the image alone",
    "oracle_expert": "the true class chooses the expert, as in MECAD's own evaluation",
    "shared_bank": "all rows in one bank with one whitening: no classes, no experts, no routing",
    "bank_per_class": "each class alone with all the rows it was first given, class known",
    "random_assignment": "classes dealt to experts at random, true class chooses the expert",
}


@dataclass(frozen=True, slots=True)
class Control:
    """What one control found."""

    image_auroc: Mapping[str, float | None]
    """By class."""
    rows: int
    """Bank rows it used in all."""


def count_rows(banks: Banks, store: ModelStore) -> int:
    """Rows of all class banks that a control uses, each counted once."""
    return sum(load_bank(store, digest).num_rows for digest in {d for group in banks.values() for d in group})


def oracle_expert(model: Model) -> Banks:
    """Every image goes where its true class was assigned."""
    return {name: model.scored_against(name) for name in model.banks}


def shared_bank(model: Model, store: ModelStore) -> Banks:
    """Every image meets all rows of the model in one bank that knows no classes, with one whitening if there is any."""
    if not model.banks:
        return {}
    banks = [load_bank(store, stored.digest) for _, stored in sorted(model.banks.items())]
    rows = [bank.whitening.undo(bank.rows_MD) if bank.whitening else bank.rows_MD for bank in banks]
    parts = [(bank.whitening, bank.num_images) for bank in banks if bank.whitening]
    whitening = pool_whitenings(parts) if parts else None
    rows_MD = np.concatenate(rows)
    shared = dataclasses.replace(
        banks[0],
        name="shared bank",
        rows_MD=whitening.apply(rows_MD) if whitening else rows_MD,
        whitening=whitening,
        level_rows_L=np.array([len(rows_MD)]),
        calibration_LN=banks[0].calibration_LN[-1:],
    )
    return dict.fromkeys(model.banks, (store.put_blob(shared.to_bytes()),))


def bank_per_class(versions: Mapping[int, Manifest]) -> Banks:
    """Every image meets its own class's rows as they were right after the class was learned or updated.

    Args:
        versions: manifest after each step of the history.
    """
    last = versions[max(versions)]
    return {name: (_when_learned(name, versions),) for name in last.classes}


def random_assignment(versions: Mapping[int, Manifest], store: ModelStore, config: MecadConfig, *, seed: int) -> Banks:
    """The same stream with experts drawn at random among those with room; budgets and replay as configured."""
    rng = np.random.default_rng([seed, *b"random assignment"])
    last = versions[max(versions)]
    names = [event.class_name for event in last.history if event.class_name in last.classes]
    order = list(dict.fromkeys(names))
    held: Counter[int] = Counter()
    experts: dict[str, int] = {}
    for name in order:
        with_room = [e for e in range(config.num_experts) if held[e] < config.expert_capacity]
        experts[name] = int(rng.choice(with_room))
        held[experts[name]] += 1
    newest = {expert: name for name, expert in experts.items()}
    full = {name: _when_learned(name, versions) for name in order}
    if config.memory == "nested":
        return {name: (_truncated(full[name], store, config.rows_allowed(held[experts[name]])),) for name in order}
    kept = {n: full[n] if n == newest[experts[n]] else _replayed(full[n], store, config, seed) for n in order}
    return {name: tuple(kept[n] for n in order if experts[n] == experts[name]) for name in order}


def _when_learned(name: str, versions: Mapping[int, Manifest]) -> str:
    """Blob of a class right after its images were last learned, before other classes asked for room."""
    steps = [e.step for e in versions[max(versions)].history if e.class_name == name and e.op != "remove"]
    return versions[steps[-1]].classes[name].blob


def _truncated(digest: str, store: ModelStore, num_rows: int) -> str:
    return store.put_blob(load_bank(store, digest).truncated(num_rows).to_bytes())


def _replayed(digest: str, store: ModelStore, config: MecadConfig, seed: int) -> str:
    num_rows = config.rows_replayed()
    return store.put_blob(random_replay(load_bank(store, digest), num_rows, seed=seed).to_bytes())
