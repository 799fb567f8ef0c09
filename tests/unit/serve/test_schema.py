import pydantic
import pytest

from serve import schema

ITEM = {
    "name": None,
    "score": 1.0,
    "p_value": 0.5,
    "verdict": "good",
    "anomalous": False,
    "threshold": 2.0,
    "category": "dots",
    "expert": 0,
    "routing": [],
    "heatmap": None,
}


def test_numbers_cross_as_they_are_to_the_last_bit():
    score = 0.1 + 0.2
    text = schema.ScoreItem(**{**ITEM, "score": score}).model_dump_json()
    assert schema.ScoreItem.model_validate_json(text).score == score


@pytest.mark.parametrize(
    "change", [{"verdict": "fine"}, {"score": None}, {"extra": 1}, {"routing": [{"category": "a"}]}]
)
def test_an_answer_of_another_form_is_our_mistake_not_the_clients_surprise(change):
    with pytest.raises(pydantic.ValidationError):
        schema.ScoreItem(**{**ITEM, **change})


def test_problems_are_described_without_a_reference_that_leads_nowhere():
    described = schema.problems(400, 503)
    assert list(described) == [400, 503]
    content = described[400]["content"]["application/problem+json"]["schema"]
    assert {"type", "title", "status", "detail"} <= set(content["required"])
    assert "$ref" not in str(content)
