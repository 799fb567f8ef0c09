"""Trials: runs of steps that can be stopped, kept and gone on with; and the port to whoever runs many of them.

What runs them is told what they are by specifications of plain values, so that a trial can be made anew on any machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar, TypeVarTuple

from eagleray.experts.expert_task import one_thread


class Spec(Protocol):
    """What a trial is, in plain values."""

    @property
    def seed(self) -> int:
        """Decides every random choice."""
        ...


Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVarTuple("Shared")
SpecT = TypeVar("SpecT", bound=Spec)
SpecIn = TypeVar("SpecIn", bound=Spec, contravariant=True)


class Run(Protocol):
    """A trial under way."""

    @property
    def done(self) -> bool:
        """Whether it is over."""
        ...

    def step(self) -> dict[str, float]:
        """Go on by one step; what it came to. ``merit`` is what trials are compared by, higher is better."""
        ...

    def state(self) -> dict[str, Any]:
        """Tensors and plain values: what the next step depends on, and what came of the trial so far."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        ...


class Material(Protocol[SpecIn]):
    """What trials share; it crosses to the workers once."""

    @property
    def most_steps(self) -> int:
        """Steps of the longest trial."""
        ...

    def begin(self, spec: SpecIn) -> Run:
        """Make a trial, before its first step."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(Generic[SpecT]):
    """What came of a trial."""

    spec: SpecT
    state: Mapping[str, Any] = field(repr=False)
    """As `Run.state` gave it last."""
    stopped: Literal["asha"] | None
    """Why it ended before it was done."""


class TrialRunner(Protocol):
    """Runs trials, side by side where it can, and goes on with those of an interrupted run."""

    def run(
        self, name: str, specs: Sequence[SpecT], material: Material[SpecT], *, stop_early: bool = False
    ) -> list[Outcome[SpecT]]:
        """Run trials to their end; outcomes in the order of `specs`.

        Args:
            name: of this set of trials, by which an interrupted run finds it again.
            specs: all different.
            material: what they share.
            stop_early: trials that fall behind the others may be stopped.
        """
        ...

    def map(self, function: Callable[[Item, *Shared], Result], items: Sequence[Item], *shared: *Shared) -> list[Result]:
        """Call a function of the module level on each item, on one thread, side by side where it can.

        Args:
            function: called with an item and what is shared.
            items: light enough to be sent.
            shared: what every call is given; it crosses to the workers once.

        Returns:
            Results in the order of `items`.
        """
        ...


class LocalRunner:
    """Runs trials in this process, one after the other."""

    def run(
        self, name: str, specs: Sequence[SpecT], material: Material[SpecT], *, stop_early: bool = False
    ) -> list[Outcome[SpecT]]:
        """See `TrialRunner`; nothing is kept, and nothing is stopped."""
        outcomes = []
        for spec in specs:
            with one_thread():
                run = material.begin(spec)
                while not run.done:
                    run.step()
            outcomes.append(Outcome(spec=spec, state=run.state(), stopped=None))
        return outcomes

    def map(self, function: Callable[[Item, *Shared], Result], items: Sequence[Item], *shared: *Shared) -> list[Result]:
        """See `TrialRunner`."""
        with one_thread():
            return [function(item, *shared) for item in items]
