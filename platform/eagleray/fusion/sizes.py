"""What a network costs at inference: frames a second, weights, and the peak of what is held in memory."""

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Of one network on pictures of one size, one at a time."""

    frames_per_s: float
    """By the median of some runs, on the threads that the caller has set."""
    parameters: int
    weights_mb: float
    """Parameters and buffers as they lie in memory."""
    peak_mb: float
    """The most that intermediate maps hold at one time, weights not counted."""


def measure(network: nn.Module, run: Callable[[], Any], *, repeats: int = 20) -> Sizes:
    """Measure a network that `run` puts one picture through."""
    network.eval()
    with torch.inference_mode():
        run()
        peak = peak_bytes(run)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    held = [*network.parameters(), *network.buffers()]
    return Sizes(
        frames_per_s=1 / sorted(seconds)[repeats // 2],
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weights_mb=sum(tensor.nbytes for tensor in held) / 2**20,
        peak_mb=peak / 2**20,
    )


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes that tensors made by `run` hold at one time: the same on every machine of a kind.

    Every tensor is followed from its making to its end. What an operation
    needs inside itself is not seen.
    """
    with _Counter() as counter:
        run()
    peak: int = counter.peak
    return peak


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._follow(tensor, made=False)
        found = function(*args, **(kwargs or {}))
        for tensor in _tensors(found):
            self._follow(tensor, made=True)
        return found

    def _follow(self, tensor: Tensor, *, made: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes() if made else 0  # what was there before is known by its address, until that is free
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
