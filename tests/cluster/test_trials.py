"""Sets of trials on Ray Tune that are begun a second time, as after a driver that was killed."""

import pytest

from eagleray.distributed.losses import PatchesLost
from eagleray.sweeps.stream_trials import StreamSpec
from eagleray.sweeps.tune_runner import TuneConfig, TuneRunner

pytestmark = pytest.mark.usefixtures("ray_here")

SPECS = [StreamSpec(name=f"{n}", point=0, changes={}, order=0, classes=(), seed=n) for n in range(4)]
STEPS = 6


@pytest.fixture
def material(tmp_path):
    """Makes trials that are the worse, the higher their seed, and note their steps; can lose a node at one of them.

    In here, the classes are pickled by value: workers need not find this file.
    """
    noted, ended = tmp_path / "steps", tmp_path / "ended"

    class Material:
        most_steps = STEPS
        lost_at = None

        def begin(self, spec):
            return Run(spec.seed, self.lost_at)

        def steps(self):
            return noted.read_text().split()

    class Run:
        def __init__(self, seed, lost_at):
            self.seed, self.lost_at, self.taken = seed, lost_at, 0

        @property
        def done(self):
            return self.taken == STEPS

        def step(self):
            import ray

            if (self.seed, self.taken + 1) == self.lost_at and not ended.exists():
                ended.touch()
                raise ray.exceptions.ObjectLostError("00" * 28, None, "")
            self.taken += 1
            with noted.open("a") as file:
                file.write(f"{self.seed}:{self.taken}\n")
            return {"merit": -float(self.seed)}

        def state(self):
            return {"taken": self.taken}

        def restore(self, state):
            self.taken = state["taken"]

    return Material()


@pytest.fixture
def run(tmp_path, material):
    """One trial after the other, so that it is known what each is compared with."""

    def run():
        runner = TuneRunner(str(tmp_path / "trials"), TuneConfig(concurrent=1, grace=2))
        return {
            outcome.spec.seed: (outcome.state["taken"], outcome.stopped)
            for outcome in runner.run("set", SPECS, material, stop_early=True)
        }

    return run


def test_trials_that_were_stopped_stay_stopped_when_their_set_is_begun_again(run, material):
    first = run()
    assert first == {0: (STEPS, None), 1: (2, "asha"), 2: (2, "asha"), 3: (2, "asha")}
    steps = material.steps()
    assert run() == first
    assert material.steps() == steps


def test_trials_that_a_lost_node_ended_go_on_from_their_last_states(run, material):
    material.lost_at = (0, 4)
    with pytest.raises(PatchesLost):
        run()
    assert run() == {0: (STEPS, None), 1: (2, "asha"), 2: (2, "asha"), 3: (2, "asha")}
    assert sorted(material.steps()) == sorted(set(material.steps()))
