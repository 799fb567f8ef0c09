"""Small pictures of a bowl, networks of a few channels, and states that went through a file as checkpoints do."""

import io

import numpy as np
import pytest
import torch

from eagleray.fusion.anomalies import AnomalyConfig, AnomalyGenerator
from eagleray.fusion.genotype import OPERATIONS, Cell, Cells, Genotype, Node
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import NetworkConfig
from eagleray.fusion.textures import generate_textures

SIDE = 32
CROP = 16
TINY = NetworkConfig(width=2, channels=4)
BOTH = Genotype(
    Cells(
        early=Cell(("color.early.0", "depth.early.1"), (Node("add", (0, 1)), Node("glu", (2, 0)))),
        late=Cell(("cell.early", "color.late.1"), (Node("concat", (1, 0)), Node("attention", (0, 2)))),
    )
)
"""Takes early and late taps of colour, early ones alone of depth."""


@pytest.fixture(autouse=True)
def one_thread():
    """Sums of several threads differ from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bowls(count, *, side=SIDE, seed=0):
    """Good pictures of a noisy bowl in the middle; a corner has no points."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    product_YX = y**2 + x**2 < 0.5
    valid_YX = y + x < 1.5
    shade_YX = np.where(product_YX, 160 + 60 * x, 40)
    color_NYX3 = shade_YX[None, ..., None] * (1, 0.8, 0.6) + random.normal(0, 5, (count, side, side, 3))
    height_YX = np.where(product_YX, 2 - 3 * (y**2 + x**2), 0)
    height_NYX = (height_YX + random.normal(0, 0.02, (count, side, side))) * valid_YX
    return RgbdImages(
        np.clip(color_NYX3, 0, 255).astype(np.uint8),
        height_NYX.astype(np.float32),
        np.repeat(valid_YX[None], count, axis=0),
        np.repeat(product_YX[None], count, axis=0),
    )


def anomalies(size=CROP, **fields):
    """Large and plain ones."""
    config = AnomalyConfig(**{"areas": (0.1, 0.3), "heights": (1.0, 2.0), "faintest": 20.0, **fields})
    return AnomalyGenerator(config, size, generate_textures(4, size, 0))


class Watched:
    """A generator that keeps what it made."""

    def __init__(self, generator):
        self._generator, self.made = generator, []

    def corrupt(self, *arguments):
        self.made.append(self._generator.corrupt(*arguments))
        return self.made[-1]


def same_pictures(one, other):
    """Whether two pictures with anomalies are equal, pixel for pixel."""
    names = ("color_YX3", "height_YX", "valid_YX", "mask_YX")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def wake(module, seed=0):
    """Weights, and the statistics of batch norms, as if it had learned: nothing is 0 or 1 by chance."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                low = 0.5 if tensor.ndim == 1 else -0.5  # a batch norm's variance and gain are above 0
                tensor.copy_(low + torch.rand(tensor.shape, generator=random))
    return module.eval()


def choose(module, genotype, certainty=1e4):
    """Architecture weights of a search's module that leave no doubt of an architecture."""
    with torch.no_grad():
        for stage, cell in genotype.by_stage().items():
            weights, pool = module.weights()[stage], module.space.pool(stage)
            for tensor in weights.values():
                tensor.zero_()
            for place, name in enumerate(cell.features):
                weights["features"][place, pool.index(name)] = certainty
            for number, node in enumerate(cell.nodes):
                weights["ops"][number, OPERATIONS.index(node.op)] = certainty
                for place, one in enumerate(node.inputs):
                    weights[f"inputs.{number}"][place, one] = certainty


def through_a_file(state):
    """As a checkpoint is read."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same_bits(one, other):
    """Whether two states are equal, tensor for tensor."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_bits(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_bits, one, other))
    return one == other


def undisturbed_and_resumed(make, step, *, stop):
    """A run from end to end, and one that was killed after `stop` steps and gone on with from its file.

    Returns:
        Both, and what their steps came to.
    """
    whole, half, rest = make(), make(), make()
    told = []
    while not whole.done:
        told.append(step(whole))
    again = [step(half) for _ in range(stop)]
    rest.restore(through_a_file(half.state()))
    while not rest.done:
        again.append(step(rest))
    assert len(told) > stop
    return (whole, told), (rest, again)
