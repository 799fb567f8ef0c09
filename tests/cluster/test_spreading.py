"""Work is spread over the workers that are there."""

import pytest
import ray

from eagleray.distributed.spreading import spread
from eagleray.errors import WeightsMissing

pytestmark = pytest.mark.usefixtures("ray_here")


@pytest.fixture
def workers():
    """What starts workers that double a number, of which some cannot be made."""

    class Worker:
        def __init__(self, *, made):
            if not made:
                raise WeightsMissing("w.pt", "copy it to every node")

        def double(self, number):
            return 2 * number

        def answer(self):
            return None

    started = []

    def start(*made):
        started.extend(ray.remote(Worker).options(num_cpus=0).remote(made=one) for one in made)
        return started

    yield start
    for worker in started:
        ray.kill(worker)


def doubled(workers, numbers):
    found = spread(workers, numbers, lambda worker, part, _: worker.double.remote(part), lambda w: w.answer.remote())
    return dict(found)


def test_a_worker_that_cannot_be_made_is_done_without(workers):
    assert doubled(workers(False, True, False), range(9)) == {number: 2 * number for number in range(9)}


def test_where_no_worker_can_be_made_the_error_says_why(workers):
    with pytest.raises(ray.exceptions.RayActorError, match=r"WeightsMissing: .*w\.pt.*copy it to every node"):
        doubled(workers(False, False), range(3))
