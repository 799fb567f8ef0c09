import pytest

from eagleray.mixture import Design
from serve.app import build
from tests.unit.adapted_moe.conftest import Mill

MIXTURE = Design(expert="discriminator", moe=True, adaptions=("std",), norm=True)


@pytest.fixture(scope="module")
def mill(tmp_path_factory):
    """A model of one category, of three subclasses."""
    mill = Mill(tmp_path_factory.mktemp("mill"))
    mill.keep(mill.built(mill.embed(), MIXTURE))
    return mill


def hosts(model, **settings):
    """Expert deployments of the service that answers with a model."""
    _, _, experts = build({"model": str(model), **settings})._bound_deployment.init_args
    return len(experts)


def test_classes_of_one_expert_share_its_deployment(tiny_model):
    assert hosts(tiny_model.store) == 1


def test_each_expert_of_a_mixture_has_a_deployment(mill):
    assert hosts(mill.root / "model") == 3
    assert hosts(mill.root / "model", experts_per_deployment=2) == 2
