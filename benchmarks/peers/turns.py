"""Who runs when: contestants take turns, and the one that begins changes, so that all meet the same machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SPEED = ("anomalib_patchcore", "eagleray_patchcore", "same_patches", "floor", "limits")
ACCURACY = ("anomalib_patchcore", "eagleray_patchcore", "same_patches")
STREAM = ("eagleray_stream", "pyclad_stream")
PEERS = ("anomalib_patchcore", "pyclad_stream")
"""Contestants that run in the peers' environment."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant's run, as one process."""

    track: str
    """speed, accuracy or stream."""
    contestant: str
    """Module that is run."""
    product: str
    """Category of the pictures; empty for a stream of all."""
    number: int
    """Round of the speed track, seed of the others."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return "-".join(filter(None, (self.track, self.product, str(self.number), self.contestant)))


def interleaved(contestants: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Every contestant once a round; each round begins one further down the list."""
    for number in range(rounds):
        first = number % len(contestants)
        for contestant in (*contestants[first:], *contestants[:first]):
            yield number, contestant


def all_turns(rounds: int, speed_product: str, products: Sequence[str], seeds: Sequence[int]) -> list[Turn]:
    """The whole benchmark in the order in which it runs."""
    turns = [Turn("speed", contestant, speed_product, number) for number, contestant in interleaved(SPEED, rounds)]
    for seed in seeds:
        order = interleaved(ACCURACY, len(products))
        turns += [Turn("accuracy", contestant, products[number], seed) for number, contestant in order]
        turns += [Turn("stream", contestant, "", seed) for contestant in STREAM]
    return turns
