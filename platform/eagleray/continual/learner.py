"""The continual learner: takes one event of the stream at a time and leaves a complete model version behind each.

Only the expert that a class is assigned to changes (MECAD, section 3.4). An event that was already taken is recognised
by the content of its images and skipped, so the same stream can be given again after a crash, or tomorrow with a new
product in it.
"""

import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eagleray.banks import BankConfig
from eagleray.config import check_at_least, to_json
from eagleray.continual.assignment import assign_expert, kept_similarities
from eagleray.continual.config import MecadConfig
from eagleray.continual.fit import ExpertUpdate
from eagleray.continual.model import Model
from eagleray.continual.pool import Advance, ExpertPool, PatchSet, no_progress
from eagleray.continual.stream import Arrival, Removal, StreamConfig, StreamEvent
from eagleray.data import Sample, image_digests
from eagleray.errors import BadImage, ConfigError, EagleRayWarning, TooFewImages, TooManyBadImages, UnknownClass
from eagleray.experts import ScoringConfig
from eagleray.routing import similarities
from eagleray.storage import (
    ClassEntry,
    Event,
    Manifest,
    ModelStore,
    Skipped,
    read_image_list,
    write_image_list,
)

MODEL_KIND = "mecad"
MIN_IMAGES = 5
"""Good images without which a class cannot be learned: one in five calibrates, the others make the bank."""

_FEW_HELD_OUT = 6  # fewer promise no useful false-alarm rate; of a very small class a third is enough


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationConfig:
    """Thresholds from good images that no bank row comes from (split conformal)."""

    share: float = 0.2
    """Share of the good images held out."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError("--calibration.share", "between 0 and 1", self.share)


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnerConfig:
    """Everything that decides what is learned, beside the features and the seed."""

    mecad: MecadConfig = field(default_factory=MecadConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)

    def __post_init__(self) -> None:
        least = 1 + self.bank.whitening_directions  # directions count as rows
        check_at_least("--mecad.rows-per-class", self.mecad.rows_per_class, least)
        check_at_least("--mecad.rows-per-expert", self.mecad.rows_per_expert, least * self.mecad.expert_capacity)


class Learner:
    """Learns a stream of products into a model store, one committed version an event."""

    def __init__(
        self,
        config: LearnerConfig,
        stream: StreamConfig,
        pool: ExpertPool,
        store: ModelStore,
        *,
        features: Mapping[str, Any],
        extractor_blob: str,
        seed: int,
    ) -> None:
        """Continue the model that the store holds, or begin one.

        Raises:
            ConfigError: the store's model was learned with other settings.
        """
        self._config, self._stream, self._pool, self._store, self._seed = config, stream, pool, store, seed
        check_settings(store, config, features=features, seed=seed)
        fresh = Manifest(
            kind=MODEL_KIND,
            features=dict(features),
            config=to_json(config),
            seed=seed,
            blobs={"extractor": extractor_blob},
        )
        self._manifest = store.current() or fresh
        self._model = Model.load(store, self._manifest)
        self._centroids = self._model.expert_centroids()
        self._image_lists: dict[str, list[str]] = {}
        for event in self.history:
            self._note_images(event)

    @property
    def model(self) -> Model:
        """What is learned so far."""
        return self._model

    @property
    def history(self) -> tuple[Event, ...]:
        """The events taken so far, oldest first."""
        return self._manifest.history

    def take(self, event: StreamEvent, advance: Advance = no_progress) -> Event | None:
        """Learn, update or remove; nothing, if this event was taken before.

        Raises:
            TooFewImages, TooManyBadImages, ExpertsFull, UnknownClass: the store stays as it was.
        """
        if isinstance(event, Removal):
            return self._remove(event.class_name)
        return self._learn(event, advance)

    def _learn(self, arrival: Arrival, advance: Advance) -> Event | None:
        name = arrival.category.name
        new, skipped = self._unlearned(name, arrival.category.train)
        advance(len(arrival.category.train) - len(new))
        if not new and name in self._manifest.classes:
            return None
        held = held_out(tuple(new), self._config.calibration.share, self._seed)
        fit = self._pool.embed([paths[0] for digest, paths in new.items() if digest not in held], advance)
        calibration = self._pool.embed([paths[0] for digest, paths in new.items() if digest in held], advance)
        skipped += _with_copies(fit.skipped + calibration.skipped, new.values())
        self._check_images(arrival, fit, calibration, skipped)
        if not fit.num_images:
            return None
        readable = {*fit.paths, *calibration.paths}
        expert, found = self._assign(name, fit)
        banks = self._model.expert_banks(expert)
        update = ExpertUpdate(
            class_name=name,
            num_classes=len({*banks, name}),
            seed=self._seed,
            mecad=self._config.mecad,
            bank=self._config.bank,
            scoring=self._config.scoring,
            provenance={"features": self._manifest.features, "seed": self._seed},
        )
        memory = [
            stored.digest
            for n, stored in banks.items()
            if n == name or stored.num_rows > update.rows_kept(stored.num_directions)
        ]
        changed = self._pool.update_expert(expert, update, memory, fit, calibration)
        entries = {
            n: ClassEntry(expert=expert, blob=s.digest, rows=s.num_rows, num_images=s.bank.num_images)
            for n, s in changed.items()
        }
        learned = tuple(digest for digest, paths in new.items() if paths[0] in readable)
        return self._commit(
            {**self._manifest.classes, **entries},
            Event(
                step=len(self.history) + 1,
                op="update" if name in self._manifest.classes else "learn",
                class_name=name,
                expert=expert,
                images=write_image_list(self._store, learned),
                num_images=len(learned),
                similarities=kept_similarities(found, expert),
                skipped=skipped,
            ),
            self._model.with_banks(changed, expert),
        )

    def _remove(self, name: str) -> Event | None:
        if name not in self._manifest.classes:
            if any(event.class_name == name for event in self.history):
                return None
            raise UnknownClass(name, tuple(self._manifest.classes), self._store.uri)
        kept = {n: entry for n, entry in self._manifest.classes.items() if n != name}
        expert = self._manifest.classes[name].expert
        event = Event(step=len(self.history) + 1, op="remove", class_name=name, expert=expert)
        return self._commit(kept, event, self._model.without(name))

    def _commit(self, classes: dict[str, ClassEntry], event: Event, model: Model) -> Event:
        successor = self._manifest.successor(classes=dict(sorted(classes.items())), history=(*self.history, event))
        version = self._store.commit(successor)
        # Names are sorted above, so that this equals what a resumed run reads, in the order of its dicts too.
        self._manifest = dataclasses.replace(successor, version=version)
        self._model = model.at_version(version)
        self._note_images(event)
        self._centroids.pop(event.expert, None)
        if event.expert in model.experts.values():
            self._centroids[event.expert] = model.expert_centroid(event.expert)
        return event

    def _unlearned(self, name: str, samples: tuple[Sample, ...]) -> tuple[dict[str, list[str]], tuple[Skipped, ...]]:
        """Files of each picture that is new to this class, by content digest; and files that do not open."""
        known = {digest for blob in self._image_lists.get(name, ()) for digest in read_image_list(self._store, blob)}
        new: dict[str, list[str]] = {}
        skipped = []
        digests = image_digests([sample.path for sample in samples])
        for sample, digest in zip(samples, digests, strict=True):
            if isinstance(digest, BadImage):
                skipped.append(Skipped(path=sample.path, reason=digest.args[1]))
            elif digest not in known:
                new.setdefault(digest, []).append(sample.path)
        return new, tuple(skipped)

    def _note_images(self, event: Event) -> None:
        """Keep the lists of the pictures that each class was learned from, since it was last removed."""
        if event.op == "remove":
            self._image_lists.pop(event.class_name, None)
        elif event.images is not None:
            self._image_lists.setdefault(event.class_name, []).append(event.images)

    def _check_images(
        self, arrival: Arrival, fit: PatchSet, calibration: PatchSet, skipped: tuple[Skipped, ...]
    ) -> None:
        """Raise where too much is unreadable, or too little is left of a new class; warn of what is skipped."""
        name, total = arrival.category.name, len(arrival.category.train)
        limit = self._stream.max_bad_share
        if len(skipped) > limit * total:
            raise TooManyBadImages(name, len(skipped), total, limit, skipped[0].path)
        readable = fit.num_images + calibration.num_images
        complete = readable >= MIN_IMAGES and fit.num_images and calibration.num_images
        if not complete and name not in self._manifest.classes:
            where = arrival.category.train[0].path.rpartition("/")[0] if arrival.category.train else name
            raise TooFewImages(name, readable, MIN_IMAGES, where)
        if skipped:
            first = f"{skipped[0].path}: {skipped[0].reason}"
            text = f"class {name!r}: {len(skipped)} of {total} images are unreadable and skipped, the first is {first}"
            warnings.warn(text, EagleRayWarning, stacklevel=2)

    def _assign(self, name: str, fit: PatchSet) -> tuple[int, dict[int, float]]:
        """The expert that knows the class already, or the one that eq. 1 and 2 choose for it."""
        found = similarities(fit.means_ND.mean(axis=0), self._centroids)
        if name in self._manifest.classes:
            return self._manifest.classes[name].expert, found
        return assign_expert(name, found, self._model.classes_held(), self._config.mecad), found


def _with_copies(skipped: tuple[Skipped, ...], files: Iterable[Sequence[str]]) -> tuple[Skipped, ...]:
    """What is unreadable, each file of equal bytes for itself: an interrupted copy leaves many that are all empty."""
    copies = {paths[0]: paths for paths in files}
    return tuple(Skipped(path=path, reason=bad.reason) for bad in skipped for path in copies[bad.path])


def held_out(digests: tuple[str, ...], share: float, seed: int) -> frozenset[str]:
    """The images that calibrate: a draw that depends on the seed and on each image's content, not on names or order."""
    if len(digests) < MIN_IMAGES:
        return frozenset()
    ranked = sorted(digests, key=lambda digest: hashlib.sha256(f"{seed}:{digest}".encode()).digest())
    wished = max(1, round(share * len(ranked)), min(_FEW_HELD_OUT, len(ranked) // 3))
    return frozenset(ranked[: min(wished, len(ranked) - 1)])


def check_settings(store: ModelStore, config: LearnerConfig, *, features: Mapping[str, Any], seed: int) -> None:
    """Raise ConfigError if the store holds a model that was learned with other settings; writes nothing."""
    check_same_settings(store, Manifest(kind=MODEL_KIND, features=dict(features), config=to_json(config), seed=seed))


def check_same_settings(store: ModelStore, ours: Manifest) -> None:
    """Raise ConfigError if the store holds a model of another kind or other settings than `ours`; writes nothing."""
    found = store.current()
    if found is None:
        return
    where = store.uri
    for part in ("kind", "features", "config", "seed"):
        theirs, wanted = getattr(found, part), getattr(ours, part)
        if theirs == wanted:
            continue
        if isinstance(theirs, dict) and isinstance(wanted, dict):
            part, theirs, wanted = next(_differences(part, theirs, wanted))
        expected = f"{theirs!r} as in the model at {where} (or give --out another folder)"
        raise ConfigError(_flag(part), expected, wanted)


def _flag(part: str) -> str:
    """The flag that sets a part of a manifest; its path where there is none, as for the hash of the weights."""
    return (
        part if part in ("kind", "features.weights_sha256") else f"--{part.removeprefix('config.').replace('_', '-')}"
    )


def _differences(path: str, theirs: Any, ours: Any) -> Any:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if theirs.get(key) != ours.get(key):
                yield from _differences(f"{path}.{key}", theirs.get(key), ours.get(key))
    else:
        yield path, theirs, ours
