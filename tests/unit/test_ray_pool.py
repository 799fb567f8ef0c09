"""What a pool makes of the GPUs of a cluster."""

import itertools

import pytest

pytest.importorskip("ray")

import ray

from eagleray.distributed import ray_pool
from eagleray.errors import EagleRayWarning


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(ray_pool, "_FREED_S", 0.5)

    def of(*, there, free, soon=None):
        answers = itertools.chain([free], itertools.repeat(free if soon is None else soon))
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, **there})
        monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 8.0, **next(answers)})

    return of


@pytest.mark.parametrize(("free", "expected"), [(4.0, 4), (3.5, 3)])
def test_gpus_that_nothing_holds_are_for_embedding(cluster, free, expected):
    cluster(there={"GPU": 4.0}, free={"GPU": free})
    assert ray_pool._free_gpus() == expected


def test_a_cluster_without_gpus_has_none_to_tell_of(cluster):
    cluster(there={}, free={})
    assert ray_pool._free_gpus() == 0


def test_gpus_that_were_given_back_a_moment_ago_are_waited_for(cluster):
    cluster(there={"GPU": 2.0}, free={"GPU": 1.0}, soon={"GPU": 2.0})
    assert ray_pool._free_gpus() == 2


def test_where_others_hold_all_gpus_that_is_told_and_cpus_embed(cluster):
    cluster(there={"GPU": 2.0}, free={})
    with pytest.warns(EagleRayWarning, match=r"all GPUs of the cluster \(2\) are held by others"):
        assert ray_pool._free_gpus() == 0
