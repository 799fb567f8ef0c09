"""The learner keeps what it compares classes with from one event to the next."""

from eagleray.continual import Removal

EVENTS = ("nut", "disc", "bolt", "-disc", "cap", "nut+", "-nut", "-bolt", "-cap", "disc+")


def taken(workshop, out, *, anew):
    """What each event was compared with; by a learner that is opened anew before each, or by a single one."""
    learner, found = workshop.learner(out, similarity_threshold=1.0), []
    for event in EVENTS:
        learner = workshop.learner(out, similarity_threshold=1.0) if anew else learner
        name = event.strip("+-")
        pictures = range(12, 24) if event.endswith("+") else range(12)
        arrival = Removal(name) if event.startswith("-") else workshop.arrival(name, train=pictures)
        found.append(learner.take(arrival).similarities)
    return found


def test_a_class_is_compared_with_the_same_whether_or_not_the_learner_was_opened_anew(workshop):
    kept = taken(workshop, "kept", anew=False)
    assert kept == taken(workshop, "anew", anew=True)
    assert [len(similarities) for similarities in kept[:3]] == [0, 1, 2]
    assert kept[-1] == {}, "experts whose classes were all removed are nobody's likeness"
