"""A job that loses patches with a node runs again, resumed, and gives up after a few times in one line."""

from dataclasses import dataclass

import pytest
import ray

from eagleray.distributed.losses import PatchesLost, resumed
from eagleray.errors import ClusterError


@dataclass(frozen=True)
class Job:
    address: str | None = "head:6379"
    resume: bool = False


def lossy(*errors):
    """A job that meets these errors, one each time it is run, and what it was given each time."""
    left, given = list(errors), []

    @resumed
    def run(job, *, progress):
        given.append((job.resume, progress))
        if left:
            raise left.pop(0)
        return "done"

    return run, given


LOST = ray.exceptions.ObjectLostError("ab" * 28, None, "")


def test_what_was_learned_is_gone_on_with_each_time_patches_are_lost():
    run, given = lossy(LOST, PatchesLost())
    assert run(Job(), progress="bars") == "done"
    assert given == [(False, "bars"), (True, "bars"), (True, "bars")]


def test_patches_lost_again_and_again_are_an_error_that_names_the_cluster_and_the_cure():
    run, given = lossy(*[PatchesLost()] * 9)
    with pytest.raises(ClusterError, match=r"head:6379.*died 4 times.*--resume") as caught:
        run(Job(), progress=None)
    assert len(given) == 4
    assert isinstance(caught.value.__cause__, PatchesLost)


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.RayActorError(error_msg="died in its creation task\n  File\nWeightsMissing: w.pt"),
        ray.exceptions.WorkerCrashedError(),
        ray.exceptions.OutOfMemoryError("w.pt"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_worker_that_always_dies_is_an_error_that_names_the_cluster_the_reason_and_the_cure(error):
    run, given = lossy(error)
    with pytest.raises(ClusterError, match=r"head:6379.*again and again \(.+\); .*--resume") as caught:
        run(Job(), progress=None)
    assert len(given) == 1
    assert len(str(caught.value).splitlines()) == 1


def test_other_errors_are_not_tried_again():
    run, given = lossy(ValueError("own"))
    with pytest.raises(ValueError, match="own"):
        run(Job(), progress=None)
    assert len(given) == 1
