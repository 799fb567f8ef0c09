import base64

import numpy as np
import pytest

from eagleray.continual import ScoringSession
from eagleray.features import decode_image
from eagleray.mixture import WHITENED_BANK, Design
from tests.unit.adapted_moe.conftest import Mill
from tests.unit.serve.conftest import Site, decoded, problem

MIXTURE = Design(expert="discriminator", moe=True, adaptions=("std",), norm=True)


@pytest.fixture(scope="module")
def mill(tmp_path_factory):
    """A model of two categories: cloth has three experts, paper has one."""
    mill = Mill(tmp_path_factory.mktemp("mill"))
    manifest, _ = mill.keep(mill.built(mill.embed(), MIXTURE, top_k=2))
    paper = mill.embed(mill.category("paper", seen=("dark", "light"), unseen=()))
    mill.keep(mill.built(paper, WHITENED_BANK), manifest=manifest)
    return mill


@pytest.fixture(scope="module")
def mixtures(mill):
    return Site(mill.root / "model")


@pytest.fixture(scope="module")
def session(mill):
    return ScoringSession.open(mill.store)


@pytest.fixture(scope="module")
def shown(mill):
    """Test pictures of both categories, an unseen subclass among them: path below the data, and bytes."""
    paths = sorted(mill.data.glob("*/*/test/*/*.png"))
    return {str(path.relative_to(mill.data)): path.read_bytes() for path in paths}


def picture(data):
    return decode_image(data, name="a", max_pixels=10**6)


def test_every_picture_gets_the_verdict_that_a_scoring_session_gives_to_the_bit(mixtures, session, shown):
    items = mixtures.send(*shown.items()).json()["items"]
    assert len(items) == len(shown) == 36
    assert any("denim" in item["name"] for item in items)
    for item in items:
        finding = session.score(picture(shown[item["name"]]))
        assert (item["score"], item["p_value"]) == (finding.score, finding.p_value)
        assert (item["verdict"], item["category"], item["expert"]) == (
            finding.verdict,
            finding.category,
            finding.expert,
        )
        assert item["verdict"] != "unknown"
        assert item["routing"] == [
            {"category": route.category, "expert": route.expert, "distance": route.distance}
            for route in finding.routing
        ]


def test_the_model_answer_lists_categories_and_all_experts(mixtures):
    answer = mixtures.get("/v1/model").json()
    assert (answer["kind"], answer["model_version"], answer["image_size"]) == ("adapted_moe", 2, 64)
    assert [(entry["name"], entry["expert"], entry["num_images"]) for entry in answer["categories"]] == [
        ("cloth", 0, 24),
        ("paper", 3, 16),
    ]
    assert [(entry["expert"], entry["categories"]) for entry in answer["experts"]] == [
        (0, ["cloth"]),
        (1, ["cloth"]),
        (2, ["cloth"]),
        (3, ["paper"]),
    ]


def test_a_heat_map_is_the_picture_in_its_size_and_redder_where_the_defect_is(mixtures, session, shown):
    data = shown["cloth/denim/test/spot/200.png"]
    (item,) = mixtures.post(data, "/v1/score?heatmap=png").json()["items"]
    drawn = decoded(base64.b64decode(item["heatmap"], validate=True))
    np.testing.assert_array_equal(drawn, session.heat_map(picture(data), session.score(picture(data))))
    assert (drawn != picture(data))[16:40, 24:48].any()


def test_a_named_category_is_what_the_picture_is_compared_with(mixtures, session, shown):
    data = shown["cloth/denim/test/good/100.png"]
    for category in ("cloth", "paper"):
        (item,) = mixtures.post(data, f"/v1/score?category={category}").json()["items"]
        finding = session.score(picture(data), category=category)
        assert (item["category"], item["routing"], item["score"]) == (category, [], finding.score)


def test_an_unknown_category_is_404_and_the_known_ones_are_named(mixtures, shown):
    found = problem(mixtures.post(next(iter(shown.values())), "/v1/score?category=glass"), 404)
    assert "cloth, paper" in found["detail"]


def test_only_experts_that_are_asked_are_loaded(mill, shown):
    site = Site(mill.root / "model")
    site.post(shown["paper/dark/test/good/100.png"], "/v1/score?category=paper")
    assert list(site.experts.loads.values()) == [1]
    site.post(shown["cloth/felt/test/good/100.png"], "/v1/score?category=cloth")
    assert list(site.experts.loads.values()) == [1, 1, 1]  # two of cloth's three
