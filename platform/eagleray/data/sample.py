"""One image of a data set, one product with its good and its test images, and one category of many such products."""

from dataclasses import dataclass
from typing import Literal

GOOD = "good"
"""Folder name, and `Sample.defect`, of images without a defect."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file; nothing is decoded."""

    path: str
    """Absolute path or URI of the image."""
    category: str
    """Name of the product the image shows."""
    split: Literal["train", "validation", "test"]
    label: int
    """0 good, 1 defective."""
    defect: str
    """'good', or the name of the defect's folder."""
    mask: str | None
    """Absolute path or URI of the mask (non-zero is defective), None where there is none."""


@dataclass(frozen=True, slots=True)
class Category:
    """One product: good images to learn from and, where there are any, images to test on."""

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]

    @property
    def has_masks(self) -> bool:
        """Whether at least one test image has a mask."""
        return any(sample.mask is not None for sample in self.test)


@dataclass(frozen=True, slots=True)
class SubclassedCategory:
    """One material, such as cloth, with its subclasses; some can be learned, others only appear in test."""

    name: str
    subclasses: tuple[Category, ...]

    @property
    def seen(self) -> tuple[Category, ...]:
        """Subclasses with good images to learn from."""
        return tuple(subclass for subclass in self.subclasses if subclass.train)

    @property
    def unseen(self) -> tuple[Category, ...]:
        """Subclasses with test images only."""
        return tuple(subclass for subclass in self.subclasses if not subclass.train)
