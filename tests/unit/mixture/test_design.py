import dataclasses
import json

import pytest

from eagleray.config import from_json, to_json
from eagleray.errors import ConfigError
from eagleray.mixture import CANDIDATES, PLAIN_BANK, SIMPLENET, WHITENED_BANK, Design

NAMED = (SIMPLENET, WHITENED_BANK, PLAIN_BANK, *CANDIDATES)


@pytest.mark.parametrize(
    ("design", "name"),
    [
        (SIMPLENET, "one discriminator"),
        (WHITENED_BANK, "one bank"),
        (PLAIN_BANK, "one bank, not whitened"),
        (
            Design(expert="bank", moe=True, adaptions=("mean", "subspace")),
            "bank per subclass, adaption mean + subspace",
        ),
        (
            Design(expert="discriminator", moe=True, adaptions=("std",), norm=True, adapt_training=False),
            "discriminator per subclass, adaption std at test only, unit length",
        ),
        (Design(expert="discriminator", moe=False, whitening=False), "one discriminator"),
    ],
)
def test_a_name_says_what_is_built(design, name):
    assert design.name == name


def test_different_candidates_have_different_names():
    assert len({design.name for design in CANDIDATES}) == len(set(CANDIDATES)) == len(CANDIDATES)


@pytest.mark.parametrize(
    "change",
    [{"moe": True}, {"adaptions": ("mean",)}, {"norm": True}, {"whitening": False}, {"expert": "discriminator"}],
)
def test_what_makes_another_mixture_makes_another_name(change):
    assert dataclasses.replace(WHITENED_BANK, **change).name != WHITENED_BANK.name


@pytest.mark.parametrize("design", NAMED, ids=lambda design: design.name)
def test_a_design_comes_back_from_json(design):
    assert from_json(Design, json.loads(json.dumps(to_json(design)))) == design


@pytest.mark.parametrize("change", [{"expert": "oracle"}, {"adaptions": ["median"]}, {"moe": 1}, {"more": True}])
def test_a_design_that_there_is_not_is_refused(change):
    with pytest.raises(ConfigError):
        from_json(Design, to_json(WHITENED_BANK) | change)
