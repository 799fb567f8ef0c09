"""The unit tier starts no cluster: any ray.init here is a mistake in the code under test."""

import pytest


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    try:
        import ray
    except ImportError:  # an algorithm-only environment
        return

    def refuse(*args, **kwargs):
        raise AssertionError("a unit test tried to start or join a Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)
