"""One category, embedded once: whose pictures train, which are held out, which are tested."""

import dataclasses
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eagleray.adaptation import PatchStatistics
from eagleray.arrays import Ints
from eagleray.continual import Advance, ExpertPool, PatchSet
from eagleray.data import Category, Sample, SubclassedCategory, image_digest
from eagleray.errors import ConfigError, EagleRayWarning, TooFewImages
from eagleray.mixture import find_subclasses, statistics
from eagleray.storage import Skipped
from eagleray.uris import overlapped

MIN_IMAGES = 4
"""Good images without which a subclass has no expert: one is held out, the others train."""


@dataclass(frozen=True, slots=True)
class TestImage:
    """One readable test picture."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    sample: Sample
    subclass: str
    seen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryPatches:
    """Patches of a category's pictures, wherever the pool keeps them, and what each picture is."""

    name: str
    subclasses: tuple[str, ...]
    """That have training pictures."""
    train: PatchSet
    labels_N: Ints
    """Subclass of each training picture; -1 where it is to be forgotten."""
    held_out: tuple[int, ...]
    """Training pictures that no expert learns from: they set scales and thresholds."""
    statistics: PatchStatistics
    """Of the training pictures."""
    digest: str
    """Changes with the training pictures' content, their subclasses, or what made patches of them."""
    test: PatchSet
    tests: tuple[TestImage, ...]
    """In the order of `test`."""
    digests: tuple[str, ...]
    """Content of each training picture."""
    skipped: tuple[Skipped, ...] = ()

    def fitted(self, subclass: int | None = None) -> tuple[int, ...]:
        """Training pictures that experts learn from: of one subclass, or of all."""
        held_out = frozenset(self.held_out)
        return tuple(image for image in self._of(subclass) if image not in held_out)

    def held(self, subclass: int | None = None) -> tuple[int, ...]:
        """Held-out training pictures: of one subclass, or of all."""
        held_out = frozenset(self.held_out)
        return tuple(image for image in self._of(subclass) if image in held_out)

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the subclasses that have training pictures."""
        return tuple(int(number) for number in np.unique(self.labels_N[self.labels_N >= 0]))

    def without(self, subclass: int) -> "CategoryPatches":
        """The category as if it had never shown a subclass."""
        kept_N = self.labels_N != subclass
        labels_N = np.where(kept_N, self.labels_N, -1)
        held_out = tuple(image for image in self.held_out if kept_N[image])
        return dataclasses.replace(self, labels_N=labels_N, held_out=held_out, digest=f"{self.digest}-{subclass}")

    def _of(self, subclass: int | None) -> Sequence[int]:
        if subclass is None:
            return [int(image) for image in np.flatnonzero(self.labels_N >= 0)]
        return [int(image) for image in np.flatnonzero(self.labels_N == subclass)]


def with_subclasses(category: Category) -> SubclassedCategory:
    """A category whose data name no subclasses, as one: `embed_category` finds them."""
    return SubclassedCategory(category.name, (category,))


def embed_category(
    category: SubclassedCategory,
    pool: ExpertPool,
    *,
    holdout_share: float,
    num_subclasses: int,
    seed: int,
    features: str,
    advance: Advance,
) -> CategoryPatches:
    """Embed every picture of a category, once.

    Args:
        category: training and test pictures; where it has a single subclass, its subclasses are found by k-means.
        pool: embeds.
        holdout_share: share of each subclass's training pictures that are held out, in (0, 1).
        num_subclasses: for k-means; 0 finds it, see `find_subclasses`.
        seed: of k-means and of the draw of held-out pictures.
        features: changes with whatever makes patches of pictures.
        advance: called with the number of pictures done.

    Raises:
        TooFewImages: a subclass has fewer than four readable training pictures.
        ConfigError: a subclass that k-means found has; there are too many.
    """
    seen = category.seen
    train = pool.embed([sample.path for subclass in seen for sample in subclass.train], advance)
    of_path = {sample.path: number for number, subclass in enumerate(seen) for sample in subclass.train}
    labels_N = np.array([of_path[path] for path in train.paths], np.int64)
    for number, subclass in enumerate(seen):
        if (found := int((labels_N == number).sum())) < MIN_IMAGES:
            where = subclass.train[0].path.rpartition("/")[0]
            raise TooFewImages(f"{category.name}/{subclass.name}", found, MIN_IMAGES, where)
    names = tuple(subclass.name for subclass in seen)
    if len(seen) == 1:
        labels_N = find_subclasses(train.means_ND, num_subclasses=num_subclasses, seed=seed)
        found = int(labels_N.max()) + 1
        if found > 1 and int(np.bincount(labels_N).min()) < MIN_IMAGES:
            expected = f"small enough for {MIN_IMAGES} good images in each subclass of category {category.name!r}"
            raise ConfigError("--mixture.subclasses", expected, num_subclasses)
        names = names if found == 1 else tuple(f"{names[0]}-{number + 1}" for number in range(found))
    digests = tuple(overlapped(image_digest, train.paths))
    samples = [(sample, subclass) for subclass in category.subclasses for sample in subclass.test]
    test = pool.embed([sample.path for sample, _ in samples], advance)
    readable = frozenset(test.paths)
    (stats,) = pool.map_patches(statistics, [(None, train)])
    skipped = train.skipped + test.skipped
    if skipped:
        text = f"category {category.name!r}: {len(skipped)} unreadable images are left out, the first is "
        warnings.warn(f"{text}{skipped[0].path}: {skipped[0].reason}", EagleRayWarning, stacklevel=2)
    return CategoryPatches(
        name=category.name,
        subclasses=names,
        train=train,
        labels_N=labels_N,
        held_out=_held_out(digests, labels_N, holdout_share, seed),
        statistics=stats,
        digest=hashlib.sha256(repr([features, digests, labels_N.tolist()]).encode()).hexdigest(),
        test=test,
        tests=tuple(
            TestImage(sample, subclass.name, bool(subclass.train))
            for sample, subclass in samples
            if sample.path in readable
        ),
        digests=digests,
        skipped=skipped,
    )


def _held_out(digests: Sequence[str], labels_N: Ints, share: float, seed: int) -> tuple[int, ...]:
    """A share of each subclass, drawn by the seed and the pictures' content, not by names or order."""
    chosen: list[int] = []
    for subclass in np.unique(labels_N):
        images = [int(image) for image in np.flatnonzero(labels_N == subclass)]
        ranked = sorted(images, key=lambda image: hashlib.sha256(f"{seed}:{digests[image]}".encode()).digest())
        chosen += ranked[: min(max(1, round(share * len(images))), len(images) - 1)]
    return tuple(sorted(chosen))
