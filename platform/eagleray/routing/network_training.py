"""Training of a routing network, on any number of workers with the same result (Lei et al. 2024, eq. 1 and 2).

Every batch is cut into a fixed number of shards. A worker computes sums of gradients for its own shards, all workers
exchange these sums, and everybody adds them up in the order of the shards. So the weights do not depend on who computed
what, not by a bit, as long as the workers' processors do the same arithmetic.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor
from torch.nn import functional

from eagleray.arrays import AnyArray, Floats, Halves, Ints
from eagleray.config import fingerprint
from eagleray.errors import StoreCorrupt, TrainingDiverged
from eagleray.routing.network import RoutingNetwork
from eagleray.routing.routing_config import RoutingConfig
from eagleray.storage.tensors import metadata

SHARDS_PER_BATCH = 4
"""Of these a worker gets every `size`-th one: more workers than this have nothing to do. A change changes results."""
_STATE_SCHEMA = "eagleray.routing-training/1"
_KEY = "eagleray"


class Exchange(Protocol):
    """How the workers of one training talk to each other; all of them make the same calls in the same order."""

    @property
    def rank(self) -> int:
        """Number of this worker, from 0."""
        ...

    @property
    def size(self) -> int:
        """Number of workers."""
        ...

    def gather(self, mine: Floats) -> Sequence[Floats]:
        """The arrays that all workers passed, in order of rank; all of one shape."""
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """The exchange of a single worker."""

    rank: int = 0
    size: int = 1

    def gather(self, mine: Floats) -> Sequence[Floats]:
        """What was passed."""
        return [mine]


def train_routing(
    patches: Sequence[Halves],
    labels_N: Ints,
    config: RoutingConfig,
    *,
    seed: int,
    device: str = "cpu",
    exchange: Exchange | None = None,
    resume: bytes | None = None,
    keep: Callable[[bytes], None] | None = None,
    name: str = "the routing network",
) -> RoutingNetwork:
    """Train the routing network of one category; on one CPU thread.

    The loss of a picture is alpha |x - c_y|^2 + (1 - alpha) CE(w x), y being its subclass: eq. 2, but the mean over a
    batch, not the sum, so that the rate does not depend on the batch's size. x is of unit length and w is free to grow:
    a fixed scale of the logits does not route better, pushes subclasses less apart once it is large, and leaves nothing
    to the second of several experts. Centres start at zero, where they pull in no direction, and move after every step
    by rate * (sum of x - c over the subclass's pictures in the batch) / (1 + their number), Wen et al. 2016, eq. 4.

    Args:
        patches: shards (N, H, W, D) of patch embeddings, in order.
        labels_N: subclass of each picture, from 0, none left out.
        config: see there.
        seed: of the first weights and, with the number of the epoch, of the batches.
        device: where gradients are computed; 'cpu' or a CUDA device, whose results differ in their last bits.
        exchange: with the other workers, which are given the same arguments; without it there are none.
        resume: a state that `keep` was given; the end is the same, bit for bit. The same on all workers.
        keep: called after each epoch with the state by then, some megabytes.
        name: what errors call the network.

    Raises:
        TrainingDiverged: the loss or a gradient is no longer a number.
        StoreCorrupt: `resume` is no state of this very training.
    """
    with _one_thread(), _exact_cuda():
        training = _Training(patches, labels_N, config, seed, torch.device(device), exchange or Alone(), name)
        if resume is not None:
            training.restore(resume)
        while training.epoch < config.epochs:
            training.run_epoch(kept=keep is not None)
            if keep is not None:
                keep(training.state())
        return training.network()


class _Training:
    """Weights, optimiser and centres. One writes E for subclasses, C for channels, D for features."""

    def __init__(
        self,
        patches: Sequence[Halves],
        labels_N: Ints,
        config: RoutingConfig,
        seed: int,
        device: torch.device,
        exchange: Exchange,
        name: str,
    ) -> None:
        self._pictures = [picture_HWD for shard in patches for picture_HWD in shard]
        self._labels_N = np.asarray(labels_N, np.int64)
        assert len(self._pictures) == len(self._labels_N), "a label for each picture"
        assert np.bincount(self._labels_N).all(), "a picture for each subclass"
        self._config, self._seed, self._device, self._exchange, self._name = config, seed, device, exchange, name
        self._alpha = config.alpha if config.loss == "center" else 0.0
        self.epoch, self._step = 0, 0
        dim, experts = self._pictures[0].shape[2], int(self._labels_N.max()) + 1
        channels = config.channels or dim
        random = torch.Generator().manual_seed(seed)
        kernel = torch.randn(channels, dim, 3, 3, generator=random) * (2 / (9 * dim)) ** 0.5
        classifier = torch.randn(experts, channels, generator=random) * channels**-0.5
        first = (kernel, torch.zeros(channels), classifier)
        self._weights = [weight.to(device).requires_grad_() for weight in first]
        self._adam = torch.optim.Adam(self._weights, lr=config.learning_rate, foreach=False)
        self._centres_EC = np.zeros((experts, channels), np.float32)

    def run_epoch(self, *, kept: bool) -> None:
        """One pass over the pictures, in an order that seed and epoch give."""
        order_N = np.random.default_rng([self._seed, self.epoch]).permutation(len(self._pictures))
        for start in range(0, len(order_N), self._config.batch_size):
            self._take_step(order_N[start : start + self._config.batch_size], kept)
        self.epoch += 1

    def _take_step(self, batch_N: Ints, kept: bool) -> None:
        sums = self._sum_over_workers(np.array_split(batch_N, SHARDS_PER_BATCH))
        self._step += 1
        if not np.isfinite(sums).all():
            last = f"the state after epoch {self.epoch}" if kept and self.epoch else "nothing"
            raise TrainingDiverged(self._name, self._step, self._config.learning_rate, last)
        sizes = [weight.numel() for weight in self._weights]
        *gradients, embeddings = np.split(sums[1:], np.cumsum(sizes))
        for weight, gradient in zip(self._weights, gradients, strict=True):
            mean = torch.from_numpy(gradient / np.float32(len(batch_N)))
            weight.grad = mean.reshape(weight.shape).to(self._device)
        self._adam.step()
        self._move_centres(embeddings.reshape(self._centres_EC.shape), batch_N)

    def _sum_over_workers(self, shards: Sequence[Ints]) -> Floats:
        """Loss, gradients and embeddings by subclass, summed over the batch, as one row."""
        rank, size = self._exchange.rank, self._exchange.size
        length = 1 + sum(weight.numel() for weight in self._weights) + self._centres_EC.size
        mine = np.zeros((-(-len(shards) // size), length), np.float32)
        for row, shard_N in enumerate(shards[rank::size]):
            if len(shard_N):
                mine[row] = self._sum_over_shard(shard_N)
        gathered = self._exchange.gather(mine)
        total = np.zeros(length, np.float32)
        for number in range(len(shards)):
            total += gathered[number % size][number // size]
        return total

    def _sum_over_shard(self, shard_N: Ints) -> Floats:
        labels_N = torch.from_numpy(self._labels_N[shard_N]).to(self._device)
        embeddings_NC = self._embed(shard_N)
        classifier_EC = self._weights[2]
        logits_NE = embeddings_NC @ classifier_EC.T
        loss = (1 - self._alpha) * functional.cross_entropy(logits_NE, labels_N, reduction="sum")
        if self._alpha:
            centres_EC = torch.from_numpy(self._centres_EC).to(self._device)
            loss = loss + self._alpha * (embeddings_NC - centres_EC[labels_N]).square().sum()
        gradients = torch.autograd.grad(loss, self._weights)
        of_class_EN = functional.one_hot(labels_N, len(classifier_EC)).T.to(embeddings_NC.dtype)
        parts = (loss, *gradients, of_class_EN @ embeddings_NC)
        row: Floats = torch.cat([part.detach().reshape(-1) for part in parts]).cpu().numpy()
        return row

    def _embed(self, pictures_N: Ints) -> Tensor:
        """Embeddings (N, C) of unit length: eq. 1, as `RoutingNetwork.embed`."""
        stacked = np.stack([self._pictures[number] for number in pictures_N])
        patches_NDHW = torch.from_numpy(stacked).to(self._device).float().permute(0, 3, 1, 2)
        kernel, bias_C, _ = self._weights
        projected = functional.conv2d(patches_NDHW, kernel, bias_C, self._config.stride, padding=1)
        return functional.normalize(functional.relu(projected).mean(dim=(2, 3)), dim=1)

    def _move_centres(self, embeddings_EC: Floats, batch_N: Ints) -> None:
        counts_E1 = np.bincount(self._labels_N[batch_N], minlength=len(self._centres_EC))[:, None].astype(np.float32)
        towards_EC = (embeddings_EC - counts_E1 * self._centres_EC) / (1 + counts_E1)
        self._centres_EC += np.float32(self._config.centre_rate) * towards_EC

    def network(self) -> RoutingNetwork:
        """What has been learned."""
        kernel, bias_C, classifier_EC = (weight.detach().cpu().numpy() for weight in self._weights)
        centres_EC = self._centres_EC if self._config.loss == "center" else self._class_means()
        return RoutingNetwork(
            kernel=np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)),
            bias_C=bias_C,
            centres_EC=centres_EC / np.linalg.norm(centres_EC, axis=1, keepdims=True).clip(np.finfo(np.float32).tiny),
            classifier_EC=classifier_EC,
            stride=self._config.stride,
        )

    def _class_means(self) -> Floats:
        """Mean embeddings (E, C); every worker computes all of them, which takes less than a step of training each."""
        with torch.no_grad():
            numbers = np.arange(len(self._pictures))
            embeddings_NC = np.concatenate([self._embed(numbers[n : n + 1]).cpu().numpy() for n in numbers])
        experts = range(len(self._centres_EC))
        means_EC: Floats = np.stack([embeddings_NC[self._labels_N == expert].mean(axis=0) for expert in experts])
        return means_EC

    def state(self) -> bytes:
        """All that goes on changing, as safetensors."""
        arrays: dict[str, AnyArray] = {"centres": self._centres_EC}
        for name, weight in zip(_WEIGHTS, self._weights, strict=True):
            moments = self._adam.state[weight]
            arrays[name] = weight.detach().cpu().numpy()
            arrays |= {f"{name}.{moment}": moments[moment].cpu().numpy() for moment in _MOMENTS}
        plain = {"schema": _STATE_SCHEMA, "training": self._fingerprint(), "epoch": self.epoch, "step": self._step}
        data: bytes = save(arrays, {_KEY: json.dumps(plain, sort_keys=True)})
        return data

    def restore(self, data: bytes) -> None:
        """Go on from a state."""
        place = f"the state of {self._name}"
        try:
            arrays: dict[str, Any] = load(data)
            plain = json.loads(metadata(data)[_KEY])
            ours = plain["schema"] == _STATE_SCHEMA and plain["training"] == self._fingerprint()
            if not ours:
                raise StoreCorrupt(place, "belongs to another training; delete it and train from the start")
            self.epoch, self._step = plain["epoch"], plain["step"]
            self._centres_EC = arrays["centres"].copy()
            for name, weight in zip(_WEIGHTS, self._weights, strict=True):
                weight.data.copy_(torch.from_numpy(arrays[name].copy()))
                self._adam.state[weight] = {
                    moment: torch.from_numpy(arrays[f"{name}.{moment}"].copy()).to(
                        "cpu" if moment == "step" else self._device
                    )
                    for moment in _MOMENTS
                }
        except (SafetensorError, LookupError, TypeError, ValueError) as error:
            raise StoreCorrupt(place, f"cannot be read ({error}); delete it and train from the start") from error

    def _fingerprint(self) -> str:
        """Of everything that the result depends on."""
        digest = hashlib.sha256(self._labels_N.tobytes())
        for picture_HWD in self._pictures:
            digest.update(repr(picture_HWD.shape).encode())
            digest.update(picture_HWD.tobytes())
        return fingerprint([self._config, self._seed, SHARDS_PER_BATCH, digest.hexdigest()])


_WEIGHTS = ("kernel", "bias", "classifier")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums by several threads differ in their last bits from sums by one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _exact_cuda() -> contextlib.AbstractContextManager[Any]:
    """On a GPU: the same kernels every time, in full precision."""
    flags: contextlib.AbstractContextManager[Any] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
