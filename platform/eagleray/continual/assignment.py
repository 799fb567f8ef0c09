"""Which expert learns an arriving class (MECAD, section 3.3)."""

from collections.abc import Mapping

from eagleray.continual.config import MecadConfig
from eagleray.errors import ExpertsFull

_KEPT = 8


def assign_expert(
    class_name: str, similarities: Mapping[int, float], classes_held: Mapping[int, int], config: MecadConfig
) -> int:
    """Choose the expert of a new class: MECAD eq. 2, with the class capacity of section 3.1.

    The most similar expert with room takes the class if its similarity exceeds the threshold; otherwise an expert
    that has no class yet. The paper is silent about what follows when there is none left: the most similar expert
    with room takes it, so that a class is refused only when every expert is full.

    Args:
        class_name: for the error message only.
        similarities: eq. 1 for every expert that holds a class; higher is more similar.
        classes_held: number of classes each of those experts holds.
        config: expert count, capacity and threshold.

    Raises:
        ExpertsFull: no expert has room.
    """
    with_room = [e for e in similarities if classes_held[e] < config.expert_capacity]
    best = max(with_room, key=lambda e: (similarities[e], -e), default=None)
    if best is not None and similarities[best] > config.similarity_threshold:
        return best
    unassigned = next((e for e in range(config.num_experts) if e not in similarities), None)
    if unassigned is not None:
        return unassigned
    if best is not None:
        return best
    raise ExpertsFull(class_name, config.num_experts, config.expert_capacity)


def kept_similarities(similarities: Mapping[int, float], expert: int) -> dict[str, float]:
    """What a model's history keeps of the similarities to the experts: the largest eight, the chosen expert's for one.

    Every version repeats the whole history, so all of them would grow with the classes times the experts.
    """
    closest = sorted(similarities, key=lambda e: (e != expert, -similarities[e], e))[:_KEPT]
    return dict(sorted((str(e), similarities[e]) for e in closest))
