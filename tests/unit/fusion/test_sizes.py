import numpy as np
import pytest
import torch
from torch import nn

from eagleray.fusion.network import FusionNetwork
from eagleray.fusion.sizes import measure, peak_bytes
from tests.unit.fusion.conftest import BOTH, TINY, bowls

KILO = 4 * 1000
"""Bytes of a thousand numbers."""
GIVEN = torch.ones(1000)


def chain():
    more = GIVEN + 1
    twice = more * 2
    del more
    return twice * 2


def hoard():
    more = GIVEN + 1
    twice = more * 2
    return more, twice, twice * 2


def views():
    more = GIVEN + 1
    return more.view(10, 100).t()[3], more[5:], more.reshape(20, 50)


def in_place():
    more = GIVEN + 1
    more.mul_(2).add_(1)
    torch.add(GIVEN, 1, out=more)


def rise_and_fall():
    large = torch.zeros(5000)
    del large
    return [torch.zeros(1000) for _ in range(3)]


def scratch():
    """Arrays of others come and go, and tensors take their addresses."""
    others = [torch.from_numpy(np.zeros(10, np.float32)) for _ in range(20)]
    for other in others:
        other.sum()
    del other, others
    return [torch.zeros(1000) for _ in range(20)]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (chain, 2 * KILO),
        (hoard, 3 * KILO),
        (views, KILO),
        (in_place, KILO),
        (rise_and_fall, 5 * KILO),
        (scratch, 20 * KILO),
        (lambda: torch.split(GIVEN + 1, 100), KILO),
        (lambda: GIVEN[:10], 0),
    ],
)
def test_the_peak_is_what_is_held_at_one_time(run, expected):
    assert peak_bytes(run) == expected
    with torch.inference_mode():
        assert peak_bytes(run) == expected


def test_the_peak_of_a_layer_counts_its_maps_but_not_its_weights():
    layer = nn.Sequential(nn.Linear(1000, 500), nn.ReLU())
    with torch.inference_mode():
        assert peak_bytes(lambda: layer(GIVEN[None])) == 2 * 4 * 500


def test_the_peak_of_a_network_is_the_same_each_time_and_grows_with_the_picture():
    network = FusionNetwork(BOTH, TINY).eval()
    peaks = []
    for side in (16, 32, 32):
        inputs = bowls(1, side=side).inputs()
        with torch.inference_mode():
            peaks.append(peak_bytes(lambda given=inputs: network.logits(given)))
    assert peaks[1] == peaks[2] > 3 * peaks[0]


def test_a_measurement_counts_weights_and_buffers_and_times_the_run():
    network = nn.Sequential(nn.Linear(1000, 500), nn.BatchNorm1d(500))
    modes = []

    def run():
        modes.append((network.training, torch.is_inference_mode_enabled()))
        return network(torch.ones(1, 1000))

    found = measure(network.train(), run)
    assert found.parameters == 1000 * 500 + 500 + 2 * 500
    assert found.weights_mb == pytest.approx((4 * (found.parameters + 2 * 500) + 8) / 2**20)
    assert found.peak_mb == pytest.approx(4 * (1000 + 2 * 500) / 2**20)
    assert 0 < found.frames_per_s < 1e6
    assert set(modes) == {(False, True)}


def test_the_frame_rate_is_that_of_the_median_run(monkeypatch):
    spans = [0.5] * 9 + [0.25] + [0.125] * 9 + [8.0]  # sorted: the eleventh of twenty is half a second
    ticks = iter(tick for span in spans for tick in (0.0, span))
    monkeypatch.setattr("eagleray.fusion.sizes.time.perf_counter", lambda: next(ticks))
    assert measure(nn.Identity(), lambda: None).frames_per_s == 2.0
