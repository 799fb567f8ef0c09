import pytest

from eagleray.continual import MecadConfig, assign_expert
from eagleray.continual.assignment import kept_similarities
from eagleray.errors import ExpertsFull

CASES = {
    # name: similarities, classes held, experts, capacity, expected expert
    "the first class goes to the first expert": ({}, {}, 3, 2, 0),
    "a similar expert with room takes it": ({0: 0.95}, {0: 1}, 3, 2, 0),
    "the most similar of several takes it": ({0: 0.92, 1: 0.97, 2: 0.95}, {0: 1, 1: 1, 2: 1}, 4, 2, 1),
    "below the threshold a new expert begins": ({0: 0.89}, {0: 1}, 3, 2, 1),
    "exactly at the threshold is not above it": ({0: 0.9}, {0: 1}, 3, 2, 1),
    "a full expert is passed over for the next best": ({0: 0.99, 1: 0.95}, {0: 2, 1: 1}, 3, 2, 1),
    "a full expert's similarity opens no door to the rest": ({0: 0.99, 1: 0.5}, {0: 2, 1: 1}, 3, 2, 2),
    "a gap left by removals is filled first": ({0: 0.1, 2: 0.1}, {0: 1, 2: 1}, 3, 2, 1),
    "no expert left: the most similar with room": ({0: 0.3, 1: 0.5}, {0: 1, 1: 1}, 2, 2, 1),
    "no expert left and the best is full": ({0: 0.3, 1: 0.5}, {0: 1, 1: 2}, 2, 2, 0),
    "similarities below zero are still ranked": ({0: -0.9, 1: -0.2}, {0: 1, 1: 1}, 2, 2, 1),
    "of equally similar experts the first": ({1: 0.95, 0: 0.95}, {0: 1, 1: 1}, 3, 2, 0),
    "one expert takes everything that fits": ({0: 0.0}, {0: 5}, 1, 6, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_equation_two(case):
    similarities, held, experts, capacity, expected = CASES[case]
    config = MecadConfig(num_experts=experts, expert_capacity=capacity, similarity_threshold=0.9)
    assert assign_expert("new", similarities, held, config) == expected


def test_a_class_is_refused_only_when_every_expert_is_full():
    config = MecadConfig(num_experts=2, expert_capacity=1)
    with pytest.raises(ExpertsFull, match=r"'new' finds no room: 2 experts hold 1 classes each; raise --mecad"):
        assign_expert("new", {0: 0.99, 1: 0.99}, {0: 1, 1: 1}, config)


def test_every_place_is_used_before_a_class_is_refused():
    config = MecadConfig(num_experts=3, expert_capacity=2)
    held = {}
    for _ in range(6):
        expert = assign_expert("new", dict.fromkeys(held, 0.5), held, config)
        held[expert] = held.get(expert, 0) + 1
    assert held == {0: 2, 1: 2, 2: 2}
    with pytest.raises(ExpertsFull):
        assign_expert("new", dict.fromkeys(held, 0.5), held, config)


def test_history_keeps_every_similarity_of_a_few_experts():
    assert kept_similarities({1: 0.5, 0: 0.25, 7: -1.0}, 7) == {"0": 0.25, "1": 0.5, "7": -1.0}
    assert kept_similarities({}, 0) == {}


def test_of_many_experts_history_keeps_the_closest_and_the_chosen_one():
    similarities = {e: -float(e) for e in range(100)}
    assert set(kept_similarities(similarities, 3)) == {str(e) for e in range(8)}
    assert set(kept_similarities(similarities, 50)) == {str(e) for e in (*range(7), 50)}
    assert set(kept_similarities(similarities, 100)) == {str(e) for e in range(8)}, "a new expert has none"
