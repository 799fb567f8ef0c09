import asyncio

import numpy as np
import pytest
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError

from eagleray.continual import Ask
from eagleray.errors import StoreCorrupt
from serve import handles
from serve.handles import ExpertHandles
from serve.problems import Problem

PATCHES = np.zeros((2, 3, 4), np.float32)
SCORES = np.ones((2, 3), np.float32)


class Method:
    """A remote method that gives what it is told to, one after the other, and the last for ever."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), []

    async def remote(self, *arguments):
        self.calls.append(arguments)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is None:
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Handle:
    def __init__(self, number, *outcomes):
        self.deployment_name = f"expert-{number}"
        self.patch_scores, self.ping = Method(*outcomes), Method(*outcomes)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(handles, "_PAUSE_S", 0.001)
    monkeypatch.setattr(handles, "_PING_S", 0.05)


def ask(experts, expert):
    return asyncio.run(experts.ask(Ask(expert, ("a", "b"), 1.0), PATCHES))


def test_an_expert_is_asked_in_its_deployment_and_in_no_other():
    several = [Handle(number, SCORES) for number in range(4)]
    experts = ExpertHandles(several, timeout_s=1)
    for expert in (2, 6):
        assert ask(experts, expert) is SCORES
        assert experts.deployment_of(expert) == "expert-2"
    assert [len(handle.patch_scores.calls) for handle in several] == [0, 0, 2, 0]
    assert several[2].patch_scores.calls[0] == (("a", "b"), PATCHES)


@pytest.mark.parametrize(
    "death",
    [RayActorError(), ActorUnavailableError("over gRPC", b"0" * 16), DeploymentUnavailableError("expert-0")],
    ids=lambda death: type(death).__name__,
)
def test_what_a_dying_replica_did_not_answer_is_asked_again(death):
    handle = Handle(0, death, death, SCORES)
    assert ask(ExpertHandles([handle], timeout_s=1), 0) is SCORES
    assert len(handle.patch_scores.calls) == 3


@pytest.mark.parametrize("outcome", [RayActorError(), None], ids=["always dead", "silent"])
def test_an_expert_that_does_not_come_back_in_time_is_a_503_with_retry_after(outcome):
    with pytest.raises(Problem) as caught:
        ask(ExpertHandles([Handle(0, outcome)], timeout_s=0.05), 0)
    assert caught.value.status == 503
    assert "Retry-After" in caught.value.headers
    assert "expert 0 did not answer within 0.05 s" in caught.value.detail


def test_an_expert_that_cannot_be_read_is_logged_and_a_503_that_shows_no_path(caplog):
    wrapped = RayTaskError("patch_scores", "trace", StoreCorrupt("/store/blobs/a", "altered"))
    with pytest.raises(Problem) as caught:
        ask(ExpertHandles([Handle(0, wrapped)], timeout_s=1), 0)
    assert caught.value.status == 503
    assert "/store" not in caught.value.detail
    assert "/store/blobs/a: altered" in caplog.text


def test_a_mistake_of_ours_is_not_called_a_busy_expert():
    with pytest.raises(RayTaskError):
        ask(ExpertHandles([Handle(0, RayTaskError("patch_scores", "trace", ValueError("nan")))], timeout_s=1), 0)


def test_ready_means_that_every_deployment_answers():
    asyncio.run(ExpertHandles([Handle(0, SCORES), Handle(1, SCORES)], timeout_s=1).check())
    for outcome in (RayActorError(), None):
        with pytest.raises(Problem) as caught:
            asyncio.run(ExpertHandles([Handle(0, SCORES), Handle(1, outcome)], timeout_s=1).check())
        assert caught.value.status == 503
