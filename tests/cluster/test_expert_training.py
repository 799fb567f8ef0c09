"""Experts trained on Ray Train have the bits of experts trained here, whoever is killed meanwhile."""

import dataclasses
import os
import signal
from collections import Counter

import numpy as np
import pytest
import ray

from eagleray.distributed.expert_training import train_experts
from eagleray.errors import TrainingDiverged
from eagleray.experts.discriminator_training import DiscriminatorConfig
from eagleray.experts.expert_task import ExpertTask, train_expert

pytestmark = pytest.mark.usefixtures("ray_here")

EPOCHS = 8
CONFIG = DiscriminatorConfig(epochs=EPOCHS, hidden=16, batch_size=64, patches_per_image=9)


@pytest.fixture
def shards():
    random = np.random.default_rng(0)
    return [random.normal(size=(count, 4, 4, 6)).astype(np.float16) for count in (8, 8, 5)]


@pytest.fixture
def tasks(shards):
    return [
        ExpertTask(key=f"k{n}", name=f"cloth/{n}", shards=shards, images=tuple(range(n, 21, 3)), config=CONFIG, seed=n)
        for n in range(3)
    ]


@pytest.fixture
def undisturbed(tasks, tmp_path):
    return [train_expert(task, str(tmp_path / "undisturbed")) for task in tasks]


@pytest.fixture
def watched(tmp_path):
    """A hook that makes the worker it comes to write down its epochs, and end by SIGKILL after one of them, once."""
    log, killed = tmp_path / "epochs", tmp_path / "killed"

    def make(kill=None):
        class Hook:  # in here, it is pickled by value: workers need not find this file
            def apply(self, patches_HWD):
                from eagleray.experts.discriminator_training import DiscriminatorTraining

                run_epoch = DiscriminatorTraining.run_epoch

                def watching(training, patches_NPD, **options):
                    loss = run_epoch(training, patches_NPD, **options)
                    done = f"{training._network}:{training.epoch}"
                    with log.open("a") as file:
                        file.write(f"{done}\n")
                    if done == kill and not killed.exists():
                        killed.touch()
                        os.kill(os.getpid(), signal.SIGKILL)
                    return loss

                if run_epoch.__name__ != "watching":
                    DiscriminatorTraining.run_epoch = watching
                return patches_HWD

        return Hook()

    make.epochs = lambda: Counter(log.read_text().split("\n")[:-1]) if log.exists() else Counter()
    make.killed = killed.exists
    return make


def in_pool(tasks, shards, hook=None):
    references = [ray.put(shard) for shard in shards]
    return [dataclasses.replace(task, shards=references, adapt=hook) for task in tasks]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_experts_trained_in_turns_equal_those_trained_here_and_are_not_trained_again(
    tasks, shards, undisturbed, watched, tmp_path
):
    folder = str(tmp_path / "run")
    found = train_experts(in_pool(tasks, shards, watched()), folder=folder, slots=2)
    assert_same(found, undisturbed)
    once = {f"the expert of cloth/{n}:{epoch}": 1 for n in range(3) for epoch in range(1, EPOCHS + 1)}
    assert watched.epochs() == once

    assert_same(train_experts(in_pool(tasks, shards, watched()), folder=folder, slots=2), undisturbed)
    assert watched.epochs() == once


def test_a_killed_worker_costs_at_most_what_came_after_the_last_checkpoint(
    tasks, shards, undisturbed, watched, tmp_path
):
    interval = 3
    hook = watched(kill="the expert of cloth/1:6")  # after three epochs of its second interval, before the checkpoint
    found = train_experts(
        in_pool(tasks, shards, hook), folder=str(tmp_path / "run"), slots=2, checkpoint_epochs=interval
    )
    assert watched.killed()
    assert_same(found, undisturbed)
    repeated = {done: times - 1 for done, times in watched.epochs().items() if times > 1}
    print(f"checkpoints every {interval} epochs: {sum(repeated.values())} epochs repeated, {repeated}")
    assert max(repeated.values()) == 1
    # Its own, and those of whatever the group's other worker was at when the group was started again.
    victims = Counter(done.rpartition(":")[0] for done in repeated)
    assert victims["the expert of cloth/1"] == interval
    assert len(victims) <= 2
    assert max(victims.values()) <= interval


def test_an_expert_that_diverges_ends_the_run_as_that_error_and_the_others_stay(tasks, shards, watched, tmp_path):
    class Spoil:
        def apply(self, patches_HWD):
            return patches_HWD * np.float32("nan")

    hook = watched()
    one, _, three = in_pool(tasks, shards, hook)
    (bad,) = in_pool(tasks[1:2], shards, Spoil())
    with pytest.raises(TrainingDiverged, match="the expert of cloth/1 ") as caught:
        train_experts([one, three, bad], folder=str(tmp_path / "run"), slots=1)
    assert caught.value.args[1:] == (1, CONFIG.discriminator_lr, "nothing")
    assert sorted(path.name for path in (tmp_path / "run").glob("k*")) == ["k0.safetensors", "k2.safetensors"]
    assert set(watched.epochs().values()) == {1}
