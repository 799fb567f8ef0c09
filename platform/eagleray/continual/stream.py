"""The stream of products: an iterator of events that a learner takes one at a time, once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from eagleray.config import check_share
from eagleray.data import Category


@dataclass(frozen=True, slots=True)
class Arrival:
    """Good images of a product; of a known product, more of them update what is known."""

    category: Category


@dataclass(frozen=True, slots=True)
class Removal:
    """A product that is made no more: its rows leave the bank, its place at the expert is free."""

    class_name: str


StreamEvent: TypeAlias = Arrival | Removal


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """What arrives, and how much of it may be unreadable."""

    classes: tuple[str, ...] = ()
    """Products to learn, in this order; all of them, by name, when empty."""
    max_bad_share: float = 0.05
    """Share of unreadable good images of one product up to which they are skipped and counted, not fatal."""

    def __post_init__(self) -> None:
        check_share("--stream.max-bad-share", self.max_bad_share)


def open_stream(categories: Iterable[Category], *, remove: Sequence[str] = ()) -> Iterator[StreamEvent]:
    """First the products to forget, then the ones that arrive, in the order given."""
    for name in remove:
        yield Removal(name)
    for category in categories:
        yield Arrival(category)
