import dataclasses

import numpy as np
import pytest
import torch

from eagleray.errors import StoreCorrupt, TrainingDiverged
from eagleray.experts.discriminator_training import DiscriminatorConfig, DiscriminatorTraining
from eagleray.experts.expert_task import ExpertTask, finished_expert, one_thread, train_expert

CONFIG = DiscriminatorConfig(epochs=4, hidden=16, batch_size=40, patches_per_image=9)


@pytest.fixture
def task():
    random = np.random.default_rng(0)
    shards = [random.normal(size=(count, 3, 4, 6)).astype(np.float16) for count in (5, 3)]
    return ExpertTask(key="k", name="cloth/twill", shards=shards, images=(0, 4, 5, 7), config=CONFIG, seed=0)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "experts")


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


class Stopped(Exception):
    """A process that ended here."""


def stop_after(monkeypatch, epochs):
    run_epoch = DiscriminatorTraining.run_epoch

    def stopping(training, patches_NPD, **options):
        if training.epoch == epochs:
            raise Stopped
        return run_epoch(training, patches_NPD, **options)

    monkeypatch.setattr(DiscriminatorTraining, "run_epoch", stopping)


def test_pictures_are_counted_through_the_shards_and_adapted_one_by_one(task, folder):
    class Shift:
        def apply(self, patches_HWD):
            assert patches_HWD.shape == (3, 4, 6)
            assert patches_HWD.dtype == np.float32
            return 2 * patches_HWD - patches_HWD.mean()

    pictures = np.concatenate(task.shards)[list(task.images)].astype(np.float32)
    patches_NPD = np.stack([Shift().apply(picture).reshape(12, 6) for picture in pictures])
    by_hand = DiscriminatorTraining(6, CONFIG, seed=0)
    with one_thread():
        for _ in range(CONFIG.epochs):
            by_hand.run_epoch(patches_NPD)
    assert same(train_expert(dataclasses.replace(task, adapt=Shift()), folder), by_hand.expert().to_tensors())


def test_what_is_finished_is_read_and_no_checkpoint_stays(task, folder, tmp_path, monkeypatch):
    assert finished_expert("k", folder) is None
    weights = train_expert(task, folder)
    assert [path.name for path in (tmp_path / "experts").iterdir()] == ["k.safetensors"]
    stop_after(monkeypatch, epochs=0)
    assert same(train_expert(task, folder), weights)


@pytest.mark.parametrize(("checkpoint_epochs", "stopped_after", "resumed_from"), [(1, 3, 3), (2, 3, 2), (3, 2, 0)])
def test_a_stopped_training_goes_on_from_its_last_checkpoint(
    task, folder, tmp_path, monkeypatch, checkpoint_epochs, stopped_after, resumed_from
):
    undisturbed = train_expert(task, str(tmp_path / "other"))
    with monkeypatch.context() as patch:
        stop_after(patch, stopped_after)
        with pytest.raises(Stopped):
            train_expert(task, folder, checkpoint_epochs=checkpoint_epochs)
    epochs, run_epoch = [], DiscriminatorTraining.run_epoch

    def noting(training, patches_NPD, **options):
        epochs.append(training.epoch)
        return run_epoch(training, patches_NPD, **options)

    monkeypatch.setattr(DiscriminatorTraining, "run_epoch", noting)
    assert same(train_expert(task, folder, checkpoint_epochs=checkpoint_epochs), undisturbed)
    assert epochs == list(range(resumed_from, CONFIG.epochs))


def test_the_number_of_threads_before_changes_nothing_and_stays(task, folder, tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = train_expert(task, folder)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert same(train_expert(task, str(tmp_path / "other")), two)
    finally:
        torch.set_num_threads(before)


def test_a_training_that_diverges_names_the_expert_and_what_is_kept(task, folder, monkeypatch):
    class Spoil:
        def apply(self, patches_HWD):
            return patches_HWD * np.float32(np.nan)

    with pytest.raises(TrainingDiverged, match=r"the expert of cloth/twill .*kept: nothing"):
        train_expert(dataclasses.replace(task, adapt=Spoil()), folder)
    with monkeypatch.context() as patch:
        stop_after(patch, epochs=2)
        with pytest.raises(Stopped):
            train_expert(task, folder)
    with pytest.raises(TrainingDiverged, match=r"kept: .*experts/k\.ckpt"):
        train_expert(dataclasses.replace(task, adapt=Spoil()), folder)


@pytest.mark.parametrize("name", ["k.ckpt", "k.safetensors"])
def test_foreign_bytes_in_the_folder_are_refused(task, folder, tmp_path, name):
    (tmp_path / "experts").mkdir()
    (tmp_path / "experts" / name).write_bytes(b"foreign")
    with pytest.raises(StoreCorrupt, match=rf"experts/{name}: .*delete it"):
        train_expert(task, folder)
