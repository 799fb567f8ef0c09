"""What a search came to: the architectures it hands on, and what the search itself took."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eagleray.adnas.finalists import Finalist, finalists
from eagleray.adnas.trials import SearchSpec, TrainSpec
from eagleray.fusion.genotype import STAGES, Genotype
from eagleray.fusion.search import SearchConfig
from eagleray.trials import Outcome

GIVEN = "given"
"""Method of an architecture that was not searched for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search came to; or an architecture that was given, instead of a search."""

    name: str
    method: str
    """As tables call it: the modules or the modality where only some are searched over, else the method."""
    seed: int
    finalists: Sequence[Finalist]
    """Best first: by merit until they are compared on held-out pictures, by those thereafter."""
    gflop: float
    seconds: float
    stopped: str | None
    history: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, outcome: Outcome[SearchSpec], config: SearchConfig, count: int) -> "Found":
        """From a trial, with `count` finalists at most."""
        history = outcome.state["history"]
        last = history[-1]
        darts = outcome.spec.method == "darts"
        settled = darts and outcome.stopped is None and last["step"] < config.epochs
        return cls(
            name=outcome.spec.name,
            method=_method(outcome.spec),
            seed=outcome.spec.seed,
            finalists=finalists(history, count),
            gflop=float(last["gflop"]),
            seconds=float(outcome.state["seconds"]),
            stopped="settled" if settled else outcome.stopped,
            history=history if darts else (),
        )

    @classmethod
    def given(cls, genotype: Genotype, seed: int) -> "Found":
        """Of an architecture that was not searched for."""
        alone = Finalist(genotype=genotype.pruned(), step=None, merit=None)
        return cls(
            name=GIVEN, method=GIVEN, seed=seed, finalists=[alone], gflop=0.0, seconds=0.0, stopped=None, history=()
        )

    @property
    def ended(self) -> bool:
        """Whether it went on to its end; of one that was stopped behind the others no network is trained."""
        return self.stopped != "asha"

    @property
    def best(self) -> Finalist:
        """The architecture it found."""
        return self.finalists[0]

    @property
    def trainings(self) -> list[TrainSpec]:
        """Of its finalists' networks."""
        return [
            TrainSpec(name=f"{self.name}-{place}", genotype=one.genotype, seed=self.seed)
            for place, one in enumerate(self.finalists)
        ]

    def compared(self, reached: Sequence[float]) -> "Found":
        """With its finalists in the order of their networks' AUROC on held-out pictures."""
        known = [
            dataclasses.replace(one, validation_auroc=auroc) for one, auroc in zip(self.finalists, reached, strict=True)
        ]
        return dataclasses.replace(self, finalists=sorted(known, key=lambda one: -(one.validation_auroc or 0.0)))


def _method(spec: SearchSpec) -> str:
    if spec.stages != STAGES:
        return "+".join(spec.stages)
    return spec.method if len(spec.modalities) > 1 else spec.modalities[0]
