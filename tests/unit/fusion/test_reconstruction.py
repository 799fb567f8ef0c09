import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from eagleray.fusion.reconstruction import ReconstructionNetwork, depth_channels, tap_channels, tap_names
from tests.unit.fusion.conftest import wake


def network(modality="depth", width=2):
    return wake(ReconstructionNetwork(modality, width))


def pictures(rows=16, columns=24):
    return torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(0))


def calls(net):
    """How often each part runs, by its place; the last one makes the picture."""
    counts = [0] * (len(net.blocks) + 1)

    def count(place):
        def hook(*_):
            counts[place] += 1

        return hook

    for place, part in enumerate([*net.blocks, net.picture]):
        part.register_forward_hook(count(place))
    return counts


def test_taps_are_at_a_quarter_of_the_resolution_with_the_channels_that_are_told():
    found = network(width=3)(pictures())
    assert list(found.taps) == tap_names("depth")
    for name, channels in tap_channels("depth", 3).items():
        assert found.taps[name].shape == (2, channels, 4, 6), name
    assert found.picture.shape == (2, 3, 16, 24)


def test_taps_are_the_blocks_outputs_pooled_or_stretched():
    net, given = network(), pictures()
    taps, maps = net(given).taps, given
    outputs = []
    for block in net.blocks:
        maps = block(maps)
        outputs.append(maps)
    assert [tuple(output.shape[2:]) for output in outputs] == [(8, 12), (4, 6), (2, 3), (2, 3), (4, 6), (8, 12)]
    names = tap_names("depth")
    for place in (0, 5):
        torch.testing.assert_close(taps[names[place]], avg_pool2d(outputs[place], 2))
    for place in (1, 4):
        torch.testing.assert_close(taps[names[place]], outputs[place])
    for place in (2, 3):
        torch.testing.assert_close(taps[names[place]], interpolate(outputs[place], size=(4, 6), mode="bilinear"))


@pytest.mark.parametrize(
    ("wanted", "ran"),
    [
        (["depth.early.0"], 1),
        (["depth.early.1", "depth.early.0"], 2),
        (["depth.middle.1"], 4),
        (["depth.early.0", "depth.late.0"], 5),
        (["depth.late.1"], 6),
    ],
)
def test_what_lies_behind_the_last_wanted_tap_is_not_run(wanted, ran):
    net = network()
    counts = calls(net)
    found = net(pictures(), wanted)
    assert counts == [1] * ran + [0] * (7 - ran)
    assert sorted(found.taps) == sorted(wanted)
    assert found.picture is None
    whole = net(pictures())
    assert all(torch.equal(found.taps[name], whole.taps[name]) for name in wanted)


def plane(rows=24, columns=40, down=0.02, across=-0.03):
    y, x = np.mgrid[:rows, :columns]
    return torch.from_numpy((down * y + across * x + 0.1).astype(np.float32))[None, None]


def test_slopes_of_a_plane_are_right_and_a_rise_of_one_over_8_pixels_is_two():
    height = plane()
    found = depth_channels(height, torch.ones_like(height))[0]
    torch.testing.assert_close(found[0], torch.tanh(height[0, 0]))
    inside = (slice(1, -1), slice(1, -1))
    torch.testing.assert_close(found[1][inside], torch.full((22, 38), np.tanh(16 * -0.03)), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2][inside], torch.full((22, 38), np.tanh(16 * 0.02)), atol=1e-5, rtol=0)
    flat = depth_channels(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
    assert flat[:, 1:].abs().max() == 0


def test_a_window_has_the_slopes_of_the_whole_picture():
    random = np.random.default_rng(0)
    height = torch.from_numpy(random.normal(size=(1, 1, 32, 32)).astype(np.float32))
    valid = torch.from_numpy(random.random((1, 1, 32, 32)) < 0.8).float()
    window = (..., slice(8, 24), slice(4, 20))
    whole, part = depth_channels(height, valid)[window], depth_channels(height[window], valid[window])
    torch.testing.assert_close(part[..., 1:-1, 1:-1], whole[..., 1:-1, 1:-1])


def test_channels_are_zero_where_points_are_missing_and_slopes_beside_them_too():
    height = plane(12, 12) + 5
    valid = torch.ones_like(height)
    valid[..., 4:7, 5] = 0
    found = depth_channels(height, valid)[0]
    missing = valid[0, 0] == 0
    assert found[:, missing].abs().max() == 0
    across, down = missing.clone(), missing.clone()
    across[4:7, [4, 6]] = True
    down[[3, 7], 5] = True
    assert found[1][across].abs().max() == 0
    assert found[2][down].abs().max() == 0
    assert found[1][~across].abs().min() > 0
    assert found[2][~down].abs().min() > 0


def test_channels_are_bounded_whatever_the_depth():
    wild = 1e6 * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found = depth_channels(wild, torch.ones_like(wild))
    assert found.abs().max() == 1
    assert found.isfinite().all()
