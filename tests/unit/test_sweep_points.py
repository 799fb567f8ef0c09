import math

import pytest

from eagleray.continual import MecadConfig
from eagleray.errors import ConfigError, EagleRayError
from eagleray.sweeps.points import (
    StreamSettings,
    budget_points,
    class_orders,
    expert_points,
    point_name,
    read_space,
    threshold_points,
)


def space(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return path


def test_settings_change_where_a_point_says_so_and_nowhere_else():
    base = StreamSettings()
    changed = base.changed({"mecad.num_experts": 3, "features.strides": [8, 16]})
    assert changed.mecad.num_experts == 3
    assert changed.features.strides == (8, 16)
    assert changed.bank == base.bank
    assert base.mecad.num_experts == 8


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mecad.experts": 3}, "mecad.num_experts"),
        ({"mecad": 3}, "mecad.num_experts"),
        ({"num_experts": 3}, "mecad.num_experts"),
        ({"mecad.num_experts.more": 3}, "mecad.num_experts"),
        ({"mecad.num_experts": "three"}, "int"),
        ({"mecad.num_experts": 0}, "at least 1"),
    ],
)
def test_a_change_that_no_setting_takes_is_refused(changes, told):
    with pytest.raises(EagleRayError, match=told):
        StreamSettings().changed(changes)


def test_few_experts_may_hold_as_many_classes_as_it_takes():
    points = expert_points((1, 2, 5), MecadConfig(expert_capacity=6), 15)
    assert points == [
        {"mecad.num_experts": 1, "mecad.expert_capacity": 15},
        {"mecad.num_experts": 2, "mecad.expert_capacity": 8},
        {"mecad.num_experts": 5, "mecad.expert_capacity": 6},
    ]
    assert expert_points((3, 4), MecadConfig(expert_capacity=6), 15) == [
        {"mecad.num_experts": 3},
        {"mecad.num_experts": 4},
    ]


def test_an_experts_rows_grow_with_those_of_a_class():
    assert budget_points((100, 800), MecadConfig(rows_per_class=400, rows_per_expert=2400)) == [
        {"mecad.rows_per_class": 100, "mecad.rows_per_expert": 600},
        {"mecad.rows_per_class": 800, "mecad.rows_per_expert": 4800},
    ]
    assert threshold_points((0, 1)) == [{"mecad.similarity_threshold": 0.0}, {"mecad.similarity_threshold": 1.0}]


def test_a_space_of_lists_is_all_their_combinations(tmp_path):
    path = space(tmp_path, "mecad.num_experts: [2, 4]\nscoring.top_share: [0.0, 0.01]\n")
    points = read_space(path, samples=0, seed=0)
    assert len(points) == 4
    assert {"mecad.num_experts": 4, "scoring.top_share": 0.0} in points


def test_samples_lie_in_their_ranges_and_follow_the_seed(tmp_path):
    text = """
    bank.whitening_shrinkage: {from: 0.001, to: 1, log: true}
    mecad.num_experts: {from: 2, to: 4, integer: true}
    mecad.memory: [nested, replay]
    """
    path = space(tmp_path, text)
    points = read_space(path, samples=200, seed=1)
    shrinkage = [point["bank.whitening_shrinkage"] for point in points]
    assert 0.001 <= min(shrinkage) < 0.01
    assert 0.1 < max(shrinkage) <= 1
    assert 0.35 < sum(value < math.sqrt(0.001) for value in shrinkage) / len(points) < 0.65
    assert {point["mecad.num_experts"] for point in points} == {2, 3, 4}
    assert {point["mecad.memory"] for point in points} == {"nested", "replay"}
    assert points == read_space(path, samples=200, seed=1) != read_space(path, samples=200, seed=2)


def test_equal_samples_are_one_point(tmp_path):
    path = space(tmp_path, "mecad.num_experts: [2, 3]\n")
    assert sorted(point["mecad.num_experts"] for point in read_space(path, samples=50, seed=0)) == [2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mapping"),
        ("- 3", "mapping"),
        ("mecad.num_experts: 3", "a list of values"),
        ("mecad.num_experts: []", "a list of values"),
        ("mecad.num_experts: {from: 3}", "{from: low, to: high}"),
        ("mecad.num_experts: {from: 3, to: 2}", "{from: low, to: high}"),
        ("mecad.num_experts: {from: 0, to: 2, log: true}", "{from: low, to: high}"),
        ("mecad.num_experts: {from: 1, to: 2, step: 1}", "{from: low, to: high}"),
        ("mecad.num_experts: {from: .nan, to: 2}", "{from: low, to: high}"),
        ("mecad.num_experts: {from: 1, to: 2}", "--samples"),
        ("mecad: [unclosed", "YAML"),
    ],
)
def test_a_space_that_is_none_is_refused_by_its_file_or_field(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        read_space(space(tmp_path, text), samples=0, seed=0)


def test_a_space_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        read_space(tmp_path / "nowhere.yaml", samples=0, seed=0)


def test_orders_begin_with_the_one_given_and_are_all_different():
    orders = class_orders(("a", "b", "c", "d"), 10, 0)
    assert orders[0] == ("a", "b", "c", "d")
    assert len(set(orders)) == 10
    assert {frozenset(order) for order in orders} == {frozenset("abcd")}
    assert orders == class_orders(("a", "b", "c", "d"), 10, 0) != class_orders(("a", "b", "c", "d"), 10, 1)
    assert len(class_orders(("a", "b"), 10, 0)) == 2


def test_a_points_name_is_that_of_a_folder():
    assert point_name({"mecad.num_experts": 3}) == "num_experts=3"
    assert point_name({"features.weights": "/models/a b.pth"}) == "weights=_models_a_b.pth"
    assert len(point_name({f"x.field_{n}": 0.123456789 for n in range(30)})) == 80
