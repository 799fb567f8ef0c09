"""Searches over the fusion network: DARTS as in the paper, and random and evolutionary search at the same budget.

Each is run step by step, and what a step does depends on the seed, its number and the state before it only. The budget
is counted in floating-point operations, which are the same on every machine. Source: 3D-ADNAS, supplement, Algorithm 2.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eagleray.arrays import Floats
from eagleray.config import check_at_least
from eagleray.errors import ConfigError
from eagleray.fusion.genotype import OPERATIONS, STAGES, Cell, Cells, Genotype, Node, Stage
from eagleray.fusion.losses import focal_loss
from eagleray.fusion.network import FusionModule, NetworkConfig, SearchModule
from eagleray.fusion.space import Space
from eagleray.fusion.taps import TapSet, merit
from eagleray.fusion.training import Optimizer, draw, seeded

Method: TypeAlias = Literal["darts", "random", "evolution"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """How architectures are searched for."""

    epochs: int = 10
    """Of DARTS: each is one pass for the weights over the training set and, after the warm-up, one for the
    architecture over as many pictures of the validation set."""
    batch_size: int = 8
    """Pictures in a step."""
    weight_rate: float = 3e-3
    """Learning rate of the weights."""
    alpha_decay: float = 1e-3
    """Weight decay of the architecture."""
    warmup: int = 3
    """Epochs of DARTS in which only the weights learn: features that are learned slowly would be given up at once."""
    patience: int = 5
    """Epochs without a change of the derived architecture after which it has settled."""
    candidate_epochs: int = 4
    """Epochs that candidates are trained for to be compared: those of random and evolutionary search, and every
    architecture that DARTS derives on its way."""
    population: int = 6
    """Of evolutionary search; a third of them, drawn at random, compete to be the next parent."""

    def __post_init__(self) -> None:
        lows = (("epochs", 1), ("batch_size", 2), ("warmup", 0), ("patience", 1), ("candidate_epochs", 1))
        for name, low in lows:
            check_at_least(f"--search.{name.replace('_', '-')}", getattr(self, name), low)
        check_at_least("--search.population", self.population, 2)
        if not 0 < self.weight_rate < math.inf:
            raise ConfigError("--search.weight-rate", "above 0", self.weight_rate)
        check_at_least("--search.alpha-decay", self.alpha_decay, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What one step of a search came to."""

    step: int
    """From 1."""
    genotype: Genotype
    """The architecture of this step."""
    merit: float
    """Of this step's architecture, its fusion network trained for a few epochs (`train_candidate`)."""
    best: Genotype
    """The best so far, by merit."""
    best_merit: float
    gflop: float
    """Operations spent so far, in 1e9."""
    changed: bool
    """Whether the architecture differs from that of the step before."""
    alphas: dict[str, list[list[float]]] = field(default_factory=dict)
    """Of DARTS: the softmaxed architecture weights, by names such as ``early.features``."""


class Search(Protocol):
    """A search that goes on step by step."""

    @property
    def done(self) -> bool:
        """Whether it is over."""
        ...

    def run_step(self) -> Progress:
        """One epoch of DARTS, or one candidate."""
        ...

    def state(self) -> dict[str, Any]:
        """What the next step depends on, beside the settings and the seed."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchData:
    """What searches learn from and are judged on."""

    train: TapSet
    validation: TapSet
    """Of held-out good pictures, with synthetic anomalies of their own."""


class DartsSearch:
    """First-order DARTS (Liu et al. 2018): weights on the training set, architecture on the validation set, in turn."""

    def __init__(
        self,
        space: Space,
        data: SearchData,
        network: NetworkConfig,
        config: SearchConfig,
        *,
        alpha_rate: float,
        seed: int,
    ) -> None:
        self._data, self._network, self._config, self._seed = data, network, config, seed
        with seeded(seed):
            self._module = SearchModule(space, network)
        weights = self._module.network_parameters()
        self._weights = Optimizer(weights, config.weight_rate, network="the search")
        self._alphas = torch.optim.Adam(
            self._module.alphas.parameters(),
            lr=alpha_rate,
            betas=(0.5, 0.999),
            weight_decay=config.alpha_decay,
        )
        self._gflop_step = _gflop_of_step(self._module, data.train, config.batch_size)
        self._step, self._settled = 0, 0
        self._gflop = 0.0
        self._last: Genotype | None = None
        self._merits: dict[Genotype, float] = {}

    @property
    def done(self) -> bool:
        """All epochs are behind, or the architecture has settled."""
        return self._step >= self._config.epochs or self.settled

    @property
    def settled(self) -> bool:
        """Whether the derived architecture has not changed for a while."""
        return self._settled >= self._config.patience

    def run_step(self) -> Progress:
        """One epoch."""
        random = np.random.default_rng((self._seed, self._step))
        self._learn_weights(random)
        warm = self._step >= self._config.warmup
        if warm:
            self._learn_architecture(random)
        genotype = derive(self._module)
        if genotype not in self._merits:
            self._merits[genotype] = train_candidate(genotype, self._data, self._network, self._config, seed=self._seed)
            self._gflop += candidate_gflop(genotype, self._data, self._network, self._config)
        changed = genotype != self._last
        self._settled = self._settled + 1 if warm and not changed else 0
        self._last = genotype
        self._step += 1
        best, best_merit = max(self._merits.items(), key=lambda one: one[1])
        return Progress(
            step=self._step,
            genotype=genotype,
            merit=self._merits[genotype],
            best=best,
            best_merit=best_merit,
            gflop=self._gflop,
            changed=changed,
            alphas=softmaxed(self._module),
        )

    def _learn_weights(self, random: np.random.Generator) -> None:
        self._module.train()
        self._module.alphas.requires_grad_(False)
        batches = draw(len(self._data.train), len(self._data.train), self._config.batch_size, random)
        for step, numbers in enumerate(batches):
            taps, target_NHW = self._data.train.batch(numbers)
            loss = focal_loss(self._module(taps), target_NHW)
            self._weights.step(loss, (self._step + step / len(batches)) / self._config.epochs)
        self._module.alphas.requires_grad_(True)
        self._gflop += len(batches) * self._gflop_step

    def _learn_architecture(self, random: np.random.Generator) -> None:
        self._module.train()  # as in BM-NAS
        count = min(len(self._data.train), len(self._data.validation))
        batches = draw(len(self._data.validation), count, self._config.batch_size, random)
        for numbers in batches:
            taps, target_NHW = self._data.validation.batch(numbers)
            loss = focal_loss(self._module(taps), target_NHW)
            self._weights.check(loss)  # these steps show first that the weights' last one went too far
            gradients = torch.autograd.grad(loss, list(self._module.alphas.values()))
            for parameter, gradient in zip(self._module.alphas.values(), gradients, strict=True):
                parameter.grad = gradient
            self._alphas.step()
        self._gflop += len(batches) * self._gflop_step

    def state(self) -> dict[str, Any]:
        """See `Search`."""
        return {
            "step": self._step,
            "gflop": self._gflop,
            "settled": self._settled,
            "last": self._last and self._last.to_json(),
            "merits": [(one.to_json(), reached) for one, reached in self._merits.items()],
            "module": self._module.state_dict(),
            "weights": self._weights.state(),
            "alphas": self._alphas.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Search`."""
        self._step, self._settled, self._gflop = int(state["step"]), int(state["settled"]), float(state["gflop"])
        self._last = state["last"] and Genotype.from_json(state["last"], "checkpoint")
        self._merits = {Genotype.from_json(one, "checkpoint"): float(reached) for one, reached in state["merits"]}
        self._module.load_state_dict(state["module"])
        self._weights.restore(state["weights"])
        self._alphas.load_state_dict(state["alphas"])


class CandidateSearch:
    """Random or regularised evolutionary search (Real et al. 2019): candidates are trained for a few epochs each."""

    def __init__(
        self,
        method: Literal["random", "evolution"],
        space: Space,
        data: SearchData,
        network: NetworkConfig,
        config: SearchConfig,
        *,
        seed: int,
        gflop: float,
    ) -> None:
        """Args:
        method: where the next candidate comes from.
        space: what candidates are chosen from.
        data: what they learn from and are judged on.
        network: their size.
        config: how they are trained.
        seed: decides everything.
        gflop: budget; the first candidate is tried whatever it costs.
        """
        self._method, self._space, self._data, self._network = method, space, data, network
        self._config, self._seed, self._budget = config, seed, gflop
        self._tried: list[tuple[Genotype, float]] = []
        self._gflop = 0.0
        self._draw()

    @property
    def done(self) -> bool:
        """Whether the next candidate would exceed the budget."""
        return len(self._tried) > 0 and self._gflop + self._next_gflop > self._budget

    def _draw(self) -> None:
        self._next = self._candidate(np.random.default_rng((self._seed, len(self._tried))))
        self._next_gflop = candidate_gflop(self._next, self._data, self._network, self._config)

    def run_step(self) -> Progress:
        """One candidate."""
        genotype = self._next
        reached = train_candidate(genotype, self._data, self._network, self._config, seed=self._seed)
        self._gflop += self._next_gflop
        self._tried.append((genotype, reached))
        self._draw()
        best, best_merit = max(self._tried, key=lambda one: one[1])
        return Progress(
            step=len(self._tried),
            genotype=genotype,
            merit=reached,
            best=best,
            best_merit=best_merit,
            gflop=self._gflop,
            changed=True,
        )

    def _candidate(self, random: np.random.Generator) -> Genotype:
        if self._method == "random" or len(self._tried) < self._config.population:
            return self._space.sample(random)
        living = self._tried[-self._config.population :]  # the oldest dies
        rivals = random.choice(len(living), size=max(2, len(living) // 3), replace=False)
        parent, _ = max((living[rival] for rival in rivals), key=lambda one: one[1])
        return self._space.mutate(parent, random)

    def state(self) -> dict[str, Any]:
        """See `Search`."""
        return {"tried": [(one.to_json(), reached) for one, reached in self._tried], "gflop": self._gflop}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Search`."""
        self._tried = [(Genotype.from_json(one, "checkpoint"), float(reached)) for one, reached in state["tried"]]
        self._gflop = float(state["gflop"])
        self._draw()


def train_candidate(
    genotype: Genotype, data: SearchData, network: NetworkConfig, config: SearchConfig, *, seed: int
) -> float:
    """Train the fusion network of one architecture for a few epochs; returns its merit."""
    with seeded(seed):
        module = FusionModule(genotype, network)
    optimizer = Optimizer(module.parameters(), config.weight_rate, network="a candidate")
    for epoch in range(config.candidate_epochs):
        module.train()
        random = np.random.default_rng((seed, epoch))
        batches = draw(len(data.train), len(data.train), config.batch_size, random)
        for step, numbers in enumerate(batches):
            taps, target_NHW = data.train.batch(numbers)
            loss = focal_loss(module(taps), target_NHW)
            optimizer.step(loss, (epoch + step / len(batches)) / config.candidate_epochs)
    return merit(_logits(module, data.validation), data.validation.target_NHW)


def candidate_gflop(genotype: Genotype, data: SearchData, network: NetworkConfig, config: SearchConfig) -> float:
    """What `train_candidate` spends on an architecture, in 1e9 operations."""
    with seeded(0):
        module = FusionModule(genotype, network)
    num_steps = config.candidate_epochs * max(1, round(len(data.train) / config.batch_size))
    return num_steps * _gflop_of_step(module, data.train, config.batch_size)


def derive(module: SearchModule) -> Genotype:
    """The architecture that the weights prefer (3D-ADNAS eq. 5 and 7).

    Of two choices made together, features of a cell or inputs of a node, the pair of different ones counts whose
    weights have the largest product, as in BM-NAS: eq. 5 alone could take one feature twice.
    """
    cells: dict[Stage, Cell] = {}
    for stage, weights in module.weights().items():
        shares = {name: torch.softmax(values, dim=1).detach().numpy() for name, values in weights.items()}
        pool = module.space.pool(stage)  # type: ignore[arg-type]
        first, second = _best_pair(shares["features"])
        nodes = tuple(
            Node(OPERATIONS[int(shares["ops"][node].argmax())], _best_pair(shares[f"inputs.{node}"]))
            for node in range(module.space.nodes)
        )
        cells[stage] = Cell((pool[first], pool[second]), nodes)  # type: ignore[index]
    return Genotype(Cells(**{stage: cells[stage] for stage in STAGES if stage in cells}))


def softmaxed(module: SearchModule) -> dict[str, list[list[float]]]:
    """Every architecture weight as a share, by names such as ``early.features``."""
    return {
        f"{stage}.{name}": torch.softmax(values, dim=1).tolist()
        for stage, weights in module.weights().items()
        for name, values in weights.items()
    }


def _best_pair(shares_2F: Floats) -> tuple[int, int]:
    pairs = itertools.permutations(range(shares_2F.shape[1]), 2)
    return max(pairs, key=lambda pair: float(shares_2F[0, pair[0]] * shares_2F[1, pair[1]]))


def _logits(module: nn.Module, data: TapSet, *, batch_size: int = 32) -> Floats:
    module.eval()
    parts = np.array_split(np.arange(len(data)), max(1, len(data) // batch_size))
    with torch.inference_mode():
        found: Floats = np.concatenate([module(data.batch(numbers)[0]).numpy() for numbers in parts])
    return found


def _gflop_of_step(module: Callable[[Mapping[str, Tensor]], Tensor], data: TapSet, batch_size: int) -> float:
    """Operations of one step, forwards and backwards, in 1e9."""
    taps, target_NHW = data.batch(np.arange(min(batch_size, len(data))))
    with FlopCounterMode(display=False) as counter:
        focal_loss(module(taps), target_NHW).backward()  # type: ignore[no-untyped-call]
    assert isinstance(module, nn.Module)
    module.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()) / 1e9
