import numpy as np
import pytest
import torch
from torch import nn

from eagleray.fusion.cells import FusionCell, MixedCell, mix
from eagleray.fusion.genotype import OPERATIONS, Cell, Node
from eagleray.fusion.operations import make_operation
from eagleray.fusion.space import Space
from tests.unit.fusion.conftest import wake

CHANNELS = 3


def maps(seed, size=16, channels=CHANNELS):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(2, channels, size, size)).astype(np.float32))


def told(name, first, second):
    """An operation with weights as if learned, and what it makes of two maps; all in numpy, in double precision."""
    operation = wake(make_operation(name, CHANNELS))
    with torch.no_grad():
        found = operation(first, second).numpy()
    weights = {key: tensor.double().numpy() for key, tensor in operation.state_dict().items()}
    return weights, found, first.double().numpy(), second.double().numpy()


def normed(values, weights):
    """Batch norm with its statistics, then ReLU."""
    mean, var, gain, shift = (
        weights[f"norm.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return np.maximum((values - mean) / np.sqrt(var + 1e-5) * gain + shift, 0)


def linear(values, weight):
    """The same matrix at each place."""
    found = np.zeros((len(values), len(weight), *values.shape[2:]))
    for n, y, x in np.ndindex(len(values), *values.shape[2:]):
        found[n, :, y, x] = weight[:, :, 0, 0] @ values[n, :, y, x]
    return found


def test_add_is_a_sum_by_two_learned_weights():
    weights, found, first, second = told("add", maps(0, 4), maps(1, 4))
    np.testing.assert_allclose(
        found, normed(weights["weights"][0] * first + weights["weights"][1] * second, weights), atol=1e-5
    )


def test_addition_starts_with_halves():
    assert make_operation("add", CHANNELS).weights.tolist() == [0.5, 0.5]


def test_concat_is_a_matrix_on_both_maps_at_each_place():
    weights, found, first, second = told("concat", maps(0, 4), maps(1, 4))
    both = np.concatenate([first, second], axis=1)
    np.testing.assert_allclose(found, normed(linear(both, weights["mix.weight"]), weights), atol=1e-5)


def test_glu_lets_the_first_map_through_as_far_as_the_second_says():
    weights, found, first, second = told("glu", maps(0, 4), maps(1, 4))
    gate = linear(second, weights["gate.weight"]) + weights["gate.bias"][:, None, None]
    expected = linear(first, weights["value.weight"]) / (1 + np.exp(-gate))
    np.testing.assert_allclose(found, normed(expected, weights), atol=1e-5)


@pytest.mark.parametrize("size", [16, 8, 4])
def test_attention_of_each_patch_looks_at_the_second_map_pooled_to_squares(size):
    weights, found, first, second = told("attention", maps(0, size), maps(1, size))
    side, square = size // 4, 4
    pooled = second.reshape(2, CHANNELS, side, square, side, square).mean(axis=(3, 5))
    query, key, value = (
        linear(one, weights[f"{name}.weight"]).reshape(2, CHANNELS, -1)
        for one, name in ((first, "query"), (pooled, "key"), (pooled, "value"))
    )
    answer = np.zeros((2, CHANNELS, size * size))
    for picture in range(2):
        for patch in range(size * size):
            likeness = np.exp(query[picture, :, patch] @ key[picture] / np.sqrt(CHANNELS))
            answer[picture, :, patch] = value[picture] @ (likeness / likeness.sum())
    np.testing.assert_allclose(found, normed(first + answer.reshape(first.shape), weights), atol=1e-4)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_keeps_the_shape_and_passes_gradients_to_both_maps(name):
    first, second = maps(0, 8).requires_grad_(), maps(1, 8).requires_grad_()
    found = make_operation(name, CHANNELS)(first, second)
    assert found.shape == first.shape
    (found * maps(2, 8)).sum().backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0


class Less(nn.Module):
    """Tells its two inputs apart."""

    def forward(self, first, second):
        return first - 2 * second


def test_nodes_take_the_inputs_of_their_numbers_and_all_of_them_go_out():
    cell = FusionCell(Cell(("a", "b"), (Node("add", (1, 0)), Node("add", (2, 1)), Node("add", (0, 3)))), CHANNELS)
    cell.operations = nn.ModuleList([Less(), Less(), Less()])
    cell.output = nn.Identity()
    a, b = maps(0, 4), maps(1, 4)
    n1 = b - 2 * a
    n2 = n1 - 2 * b
    n3 = a - 2 * n2
    torch.testing.assert_close(cell(a, b), torch.cat([n1, n2, n3], dim=1))


def test_choices_are_mixed_by_the_softmax_of_their_weights():
    choices, weights = [maps(seed, 4) for seed in range(3)], torch.tensor([0.3, -1.0, 2.0])
    shares = np.exp([0.3, -1.0, 2.0]) / np.exp([0.3, -1.0, 2.0]).sum()
    expected = sum(share * choice.double() for share, choice in zip(shares, choices, strict=True))
    torch.testing.assert_close(mix(choices, weights).double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_a_mixed_cell_whose_weights_leave_no_doubt_is_the_fixed_cell(seed):
    space = Space(stages=("early",), nodes=1 + seed % 3)
    cell, pool = space.sample(np.random.default_rng(seed)).cells.early, space.pool("early")
    mixed = wake(MixedCell(len(pool), space.nodes, CHANNELS))
    fixed = FusionCell(cell, CHANNELS)
    fixed.output.load_state_dict(mixed.output.state_dict())
    for number, node in enumerate(cell.nodes):
        chosen = mixed.operations[number][OPERATIONS.index(node.op)]
        fixed.operations[number].load_state_dict(chosen.state_dict())

    def certain(length, *chosen):
        return 1e4 * torch.eye(length)[list(chosen)]

    weights = {"features": certain(len(pool), *(pool.index(name) for name in cell.features))}
    weights |= {f"inputs.{number}": certain(2 + number, *node.inputs) for number, node in enumerate(cell.nodes)}
    weights["ops"] = certain(len(OPERATIONS), *(OPERATIONS.index(node.op) for node in cell.nodes))
    features = {name: maps(10 + number, 8) for number, name in enumerate(pool)}
    with torch.no_grad():
        found = mixed([features[name] for name in pool], weights)
        expected = fixed.eval()(*(features[name] for name in cell.features))
    assert found.std() > 0.1
    torch.testing.assert_close(found, expected)


def test_architecture_weights_of_a_mixed_cell_all_have_gradients():
    space = Space(stages=("early",))
    pool = space.pool("early")
    shapes = {"features": (2, len(pool)), "ops": (space.nodes, len(OPERATIONS)), "inputs.0": (2, 2), "inputs.1": (2, 3)}
    random = torch.Generator().manual_seed(0)  # of equal weights, the two features are equal, and so are their choices
    weights = {name: torch.randn(shape, generator=random).requires_grad_() for name, shape in shapes.items()}
    cell = wake(MixedCell(len(pool), space.nodes, CHANNELS))
    cell([maps(seed, 8) for seed in range(len(pool))], weights).square().sum().backward()
    for name, tensor in weights.items():
        assert (tensor.grad.abs().sum(dim=1) > 0).all(), name
