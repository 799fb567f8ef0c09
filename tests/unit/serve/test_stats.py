import pytest

from serve.stats import WINDOW_S, Window


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def window(clock):
    return Window(clock)


def test_a_window_without_requests_has_no_latency(window):
    assert window.summary() == (0, 0.0, None, None)


def test_the_rate_counts_pictures_over_the_window(window, clock):
    clock.now += WINDOW_S
    for _ in range(5):
        window.add(0.1, 4)
    images, rate, p50_ms, p99_ms = window.summary()
    assert (images, rate) == (20, pytest.approx(20 / WINDOW_S))
    assert (p50_ms, p99_ms) == (pytest.approx(100), pytest.approx(100))


def test_a_replica_younger_than_the_window_divides_by_its_age(window, clock):
    clock.now += 2
    window.add(0.1, 10)
    assert window.summary()[1] == pytest.approx(5)


def test_what_is_older_than_the_window_is_forgotten(window, clock):
    clock.now += 20
    window.add(9.0, 100)
    clock.now += WINDOW_S / 2
    window.add(0.5, 1)
    assert window.summary()[0] == 101
    clock.now += WINDOW_S / 2 + 0.1
    assert window.summary() == (1, pytest.approx(1 / WINDOW_S), pytest.approx(500), pytest.approx(500))
    clock.now += WINDOW_S
    assert window.summary() == (0, 0.0, None, None)


def test_percentiles_are_of_requests_not_pictures(window):
    for seconds in range(1, 101):
        window.add(seconds / 1000, 64)
    _, _, p50_ms, p99_ms = window.summary()
    assert (p50_ms, p99_ms) == (pytest.approx(50.5), pytest.approx(99.01))


def test_in_a_flood_the_rate_is_of_the_requests_remembered(window, clock):
    clock.now += 60
    for _ in range(20_000):
        clock.now += 0.0001
        window.add(0.001, 1)
    images, rate, _, _ = window.summary()
    assert images == 4096
    assert rate == pytest.approx(10_000, rel=0.01)
