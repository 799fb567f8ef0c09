import numpy as np
import pytest
import torch
from torch import nn

from eagleray.errors import ConfigError
from eagleray.fusion.genotype import OPERATIONS, Cell, Cells, Genotype, Node
from eagleray.fusion.network import (
    FusionModule,
    FusionNetwork,
    NetworkConfig,
    SearchModule,
    modalities_of,
    network_inputs,
)
from eagleray.fusion.reconstruction import depth_channels, tap_channels
from eagleray.fusion.space import Space
from tests.unit.fusion.conftest import BOTH, TINY, bowls, choose, wake

NODES = (Node("add", (0, 1)), Node("glu", (2, 0)))
EARLY = Cell(("color.early.0", "depth.early.1"), NODES)
UNUSED_EARLY = Genotype(Cells(EARLY, Cell(("color.middle.0", "color.middle.1"), NODES), None))


def taps(count=2, side=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    sizes = tap_channels("color", TINY.width) | tap_channels("depth", TINY.width)
    return {name: torch.randn(count, channels, side, side, generator=random) for name, channels in sizes.items()}


def inputs(count=3):
    return bowls(count).inputs()


class Sum(nn.Module):
    """Stands for a cell, and keeps what it was given."""

    def forward(self, *given):
        self.given = given
        first, second = given
        return first + 10 * second


class Plain(nn.Module):
    """Stands for an adapter: the first channel, TINY.channels times."""

    def forward(self, maps):
        return maps[:, :1].expand(-1, TINY.channels, -1, -1)


def test_the_output_of_early_cells_feeds_middle_and_late_ones_and_the_last_one_feeds_the_head():
    genotype = Genotype(
        Cells(
            early=EARLY,
            middle=Cell(("depth.middle.1", "cell.early"), NODES),
            late=Cell(("cell.middle", "cell.early"), NODES),
        )
    )
    module = FusionModule(genotype, TINY)
    assert list(module.cells) == ["early", "middle", "late"]
    module.adapters = nn.ModuleDict({name: Plain() for name in module.adapters})
    module.cells = nn.ModuleDict({stage: Sum() for stage in module.cells})
    module.head = nn.Identity()
    given = taps()
    seen = {name: maps[:, 0] for name, maps in given.items()}
    early = seen["color.early.0"] + 10 * seen["depth.early.1"]
    middle = seen["depth.middle.1"] + 10 * early
    torch.testing.assert_close(module(given), middle + 10 * early)


def test_cells_and_features_that_do_not_reach_the_head_are_not_built():
    network = FusionNetwork(UNUSED_EARLY, TINY)
    assert list(network.fusion.cells) == ["middle"]
    assert sorted(network.fusion.adapters) == ["color_middle_0", "color_middle_1"]
    assert list(network.reconstruction) == ["color"]
    assert network.modalities == modalities_of(UNUSED_EARLY) == ("color",)
    assert network(inputs()).pictures.keys() == {"color"}


def test_every_weight_that_is_built_has_a_gradient():
    for genotype in (BOTH, UNUSED_EARLY):
        network = FusionNetwork(genotype, TINY)
        found = network(inputs())
        (
            found.logits_NHW.square().sum() + sum(picture.square().sum() for picture in found.pictures.values())
        ).backward()
        assert [name for name, one in network.named_parameters() if one.grad is None] == []


def test_logits_are_one_for_each_patch_and_pictures_as_large_as_those_given():
    found = FusionNetwork(BOTH, TINY)(inputs())
    assert found.logits_NHW.shape == (3, 8, 8)
    assert {modality: tuple(picture.shape) for modality, picture in found.pictures.items()} == {
        "color": (3, 3, 32, 32),
        "depth": (3, 3, 32, 32),
    }


def test_logits_alone_are_those_of_the_whole_network():
    network = wake(FusionNetwork(BOTH, TINY))
    with torch.no_grad():
        whole, alone = network(inputs()).logits_NHW, network.logits(inputs())
    assert whole.std() > 0
    assert torch.equal(whole, alone)


def test_logits_alone_leave_out_decoders_that_no_cell_takes():
    network = wake(FusionNetwork(BOTH, TINY))
    ran = []
    for modality, reconstruction in network.reconstruction.items():
        for place, part in enumerate([*reconstruction.blocks, reconstruction.picture]):
            part.register_forward_hook(lambda *_, name=(modality, place): ran.append(name))
    network.logits(inputs())
    assert ran == [*(("color", place) for place in range(6)), ("depth", 0), ("depth", 1)]
    ran.clear()
    network(inputs())
    assert ran == [(modality, place) for modality in ("color", "depth") for place in range(7)]


def test_the_summary_is_the_mean_of_each_tap_in_the_order_of_names():
    genotype = Genotype(
        Cells(EARLY, Cell(("color.middle.0", "cell.early"), NODES), Cell(("color.late.1", "cell.middle"), NODES))
    )
    network = wake(FusionNetwork(genotype, TINY))
    with torch.no_grad():
        scores_NHW, summary_ND = network.scores_and_summary(inputs())
        found = {
            name: maps
            for modality in ("color", "depth")
            for name, maps in network.reconstruction[modality](inputs()[modality]).taps.items()
        }
        assert torch.equal(scores_NHW, torch.nn.functional.softplus(network.logits(inputs())))
        assert torch.equal(scores_NHW, network.scores(inputs()))
    names = ["color.early.0", "color.late.1", "color.middle.0", "depth.early.1"]
    torch.testing.assert_close(summary_ND, torch.cat([found[name].mean(dim=(2, 3)) for name in names], dim=1))
    assert summary_ND.shape == (3, 2 + 2 + 8 + 4)


def test_networks_see_colours_from_minus_one_to_one_and_depth_in_its_channels():
    height, valid = torch.full((1, 1, 8, 8), 0.3), torch.ones(1, 1, 8, 8)
    color = torch.tensor([0.0, 127.5, 255.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    found = network_inputs(color, height, valid)
    assert found["color"][0, :, 0, 0].tolist() == [-1, 0, 1]
    assert torch.equal(found["depth"], depth_channels(height, valid))


@pytest.mark.parametrize("space", [Space(), Space(stages=("early", "late"), nodes=3), Space(modalities=("depth",))])
def test_a_search_whose_weights_leave_no_doubt_is_the_network_of_that_architecture(space):
    module = wake(SearchModule(space, TINY))
    for seed in range(4):
        genotype = space.sample(np.random.default_rng(seed))
        choose(module, genotype)
        fixed = FusionModule(genotype, TINY)
        fixed.head.load_state_dict(module.head.state_dict())
        for name, adapter in fixed.adapters.items():
            adapter.load_state_dict(module.adapters[name].state_dict())
        for stage, cell in fixed.cells.items():
            mixed = module.cells[stage]
            cell.output.load_state_dict(mixed.output.state_dict())
            for number, node in enumerate(genotype.by_stage()[stage].nodes):
                chosen = mixed.operations[number][OPERATIONS.index(node.op)]
                cell.operations[number].load_state_dict(chosen.state_dict())
        with torch.no_grad():
            found, expected = module(taps()), fixed.eval()(taps())
        assert expected.std() > 0
        torch.testing.assert_close(found, expected)


def test_a_search_of_one_modality_asks_for_no_tap_of_the_other():
    module = SearchModule(Space(modalities=("depth",)), TINY)
    depth = {name: maps for name, maps in taps().items() if name.startswith("depth")}
    assert module(depth).shape == (2, 4, 4)
    assert all(name.startswith("depth") for name in module.adapters)


def test_architecture_weights_are_apart_from_the_networks_and_start_almost_even():
    module = SearchModule(Space(), TINY)
    ours = {id(one) for one in module.alphas.parameters()}
    others = {id(one) for one in module.network_parameters()}
    assert not ours & others
    assert ours | others == {id(one) for one in module.parameters()}
    for groups in module.weights().values():
        for tensor in groups.values():
            assert tensor.abs().max() < 0.01
    assert {name: tuple(one.shape) for name, one in module.weights()["late"].items()} == {
        "features": (2, 6),
        "inputs.0": (2, 2),
        "inputs.1": (2, 3),
        "ops": (2, 4),
    }


@pytest.mark.parametrize("field", ["width", "channels"])
def test_a_network_of_no_size_is_refused_by_the_name_of_its_flag(field):
    with pytest.raises(ConfigError, match=f"--network.{field} must be at least 1"):
        NetworkConfig(**{field: 0})
