import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from eagleray.errors import ConfigError, StoreCorrupt, TrainingDiverged
from eagleray.routing import RoutingConfig
from eagleray.routing.network_training import SHARDS_PER_BATCH, Alone, train_routing

DIM = 6
CONFIG = RoutingConfig(channels=8, epochs=4, batch_size=6, learning_rate=1e-2)


def subclasses(count=3, each=7, *, seed=0):
    """Pictures (N, H, W, D) that vary about a direction of their subclass, in two shards, and their labels."""
    random = np.random.default_rng(seed)
    labels_N = np.tile(np.arange(count), each)
    directions_ED = np.random.default_rng(99).normal(size=(count, DIM))
    patches = directions_ED[labels_N][:, None, None] + random.normal(0, 1.0, (len(labels_N), 5, 4, DIM))
    patches_NHWD = patches.astype(np.float16)
    return [patches_NHWD[:4], patches_NHWD[4:]], labels_N


def train(config=CONFIG, *, data=None, **options):
    patches, labels_N = data or subclasses()
    return train_routing(patches, labels_N, config, **{"seed": 0, **options})


@dataclass
class Workers:
    """The exchange of threads that wait for each other."""

    rank: int
    size: int
    rows: list
    barrier: threading.Barrier

    def gather(self, mine):
        self.rows[self.rank] = mine
        self.barrier.wait(60)
        gathered = list(self.rows)
        self.barrier.wait(60)
        return gathered


def train_on(size, config):
    rows, barrier, found = [None] * size, threading.Barrier(size), [None] * size

    def work(rank):
        try:
            found[rank] = train(config, exchange=Workers(rank, size, rows, barrier)).to_bytes()
        finally:
            if found[rank] is None:
                barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("loss", ["center", "softmax"])
def test_pictures_it_has_never_seen_go_to_their_subclass(loss):
    net = train(replace(CONFIG, loss=loss, epochs=15))
    shards, labels_N = subclasses(seed=5)
    routed = [net.route(picture, 1)[0][0] for shard in shards for picture in shard]
    assert routed == labels_N.tolist()
    by_classifier = [int(np.argmax(net.classifier_EC @ net.embed(p))) for shard in shards for p in shard]
    assert by_classifier == labels_N.tolist()


@pytest.mark.parametrize("loss", ["center", "softmax"])
@pytest.mark.parametrize("size", [2, 3, SHARDS_PER_BATCH + 1])
def test_any_number_of_workers_gives_the_same_bytes(size, loss):
    config = replace(CONFIG, loss=loss)
    assert train_on(size, config) == [train(config).to_bytes()] * size


def test_the_first_step_is_that_of_the_plain_loss_over_the_whole_batch():
    """A reference without shards: eq. 2 by autograd, the mean over one batch of all pictures, one step of Adam."""
    config = replace(CONFIG, epochs=1, batch_size=100, stride=1)
    shards, labels_N = subclasses()
    random = torch.Generator().manual_seed(0)
    kernel = torch.randn(8, DIM, 3, 3, generator=random) * (2 / (9 * DIM)) ** 0.5
    weights = [kernel, torch.zeros(8), torch.randn(3, 8, generator=random) * 8**-0.5]
    weights = [weight.requires_grad_() for weight in weights]
    images = torch.from_numpy(np.concatenate(shards).astype(np.float32)).permute(0, 3, 1, 2)
    x = torch.nn.functional.normalize(torch.relu(torch.conv2d(images, *weights[:2], padding=1)).mean((2, 3)))
    logits = x @ weights[2].T
    cross_entropy = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels_N))
    centre_term = x.square().sum(1).mean()  # centres are zero before the first step
    adam = torch.optim.Adam(weights, lr=config.learning_rate)
    (config.alpha * centre_term + (1 - config.alpha) * cross_entropy).backward()
    adam.step()

    net = train(config)
    np.testing.assert_allclose(net.kernel, weights[0].detach().permute(2, 3, 1, 0), atol=2e-4)
    np.testing.assert_allclose(net.classifier_EC, weights[2].detach(), atol=2e-4)
    means_EC = np.stack([x.detach().numpy()[labels_N == subclass].mean(axis=0) for subclass in range(3)])
    np.testing.assert_allclose(net.centres_EC, means_EC / np.linalg.norm(means_EC, axis=1, keepdims=True), atol=1e-5)


def test_the_centre_loss_pulls_pictures_closer_to_their_centre():
    def spread(loss):
        net = train(replace(CONFIG, loss=loss, epochs=15, alpha=0.9))
        shards, labels_N = subclasses()
        embeddings_NC = np.stack([net.embed(picture) for shard in shards for picture in shard])
        return float((1 - (embeddings_NC * net.centres_EC[labels_N]).sum(axis=1)).mean())

    assert spread("center") < 0.7 * spread("softmax")


def test_softmax_centres_are_the_subclasses_mean_embeddings():
    net = train(replace(CONFIG, loss="softmax"))
    shards, labels_N = subclasses()
    embeddings_NC = np.stack([net.embed(picture) for shard in shards for picture in shard])
    means_EC = np.stack([embeddings_NC[labels_N == subclass].mean(axis=0) for subclass in range(3)])
    np.testing.assert_allclose(net.centres_EC, means_EC / np.linalg.norm(means_EC, axis=1, keepdims=True), atol=1e-5)


def test_one_subclass_takes_everything():
    net = train(data=subclasses(count=1))
    assert net.route(subclasses(seed=5)[0][0][0], 1) == ((0, 1.0),)
    assert np.linalg.norm(net.centres_EC, axis=1) == pytest.approx([1])


def test_no_channels_are_as_many_as_the_features_have():
    assert train(replace(CONFIG, channels=0, epochs=1)).kernel.shape == (3, 3, DIM, DIM)


def test_the_seed_decides():
    assert train().to_bytes() == train().to_bytes()
    assert train().to_bytes() != train(seed=1).to_bytes()


def test_a_resumed_training_ends_with_the_same_bytes():
    states = []
    whole = train(keep=states.append).to_bytes()
    assert len(states) == CONFIG.epochs
    for state in (states[0], states[2], states[-1]):
        assert train(resume=state).to_bytes() == whole


def test_a_resumed_training_does_not_begin_again():
    states, later = [], []
    train(keep=states.append)
    train(resume=states[1], keep=later.append)
    assert later == states[2:]


def others():
    shards, labels_N = subclasses()
    yield "another seed", CONFIG, (shards, labels_N), 1
    yield "another rate", replace(CONFIG, learning_rate=2e-2), (shards, labels_N), 0
    yield "other labels", CONFIG, (shards, labels_N[::-1].copy()), 0
    yield "other pictures", CONFIG, ([shards[0] + np.float16(1), shards[1]], labels_N), 0


@pytest.mark.parametrize(("config", "data", "seed"), [pytest.param(*rest, id=name) for name, *rest in others()])
def test_the_state_of_another_training_is_refused(config, data, seed):
    states = []
    train(replace(CONFIG, epochs=1), keep=states.append)
    train(keep=states.append)
    with pytest.raises(StoreCorrupt, match="the state of the cloth router: belongs to another training"):
        train(config, data=data, seed=seed, resume=states[1], name="the cloth router")


@pytest.mark.parametrize("state", [b"", b"no state at all", train(replace(CONFIG, epochs=1)).to_bytes()])
def test_bytes_that_are_no_state_are_refused(state):
    with pytest.raises(StoreCorrupt, match="delete it and train from the start"):
        train(resume=state)


def test_a_loss_that_is_no_number_ends_the_training():
    shards, labels_N = subclasses()
    shards[1][0, 0, 0, 0] = np.inf
    with pytest.raises(TrainingDiverged) as caught:
        train(data=(shards, labels_N), name="the cloth router")
    name, step, rate, kept = caught.value.args
    assert (name, rate, kept) == ("the cloth router", CONFIG.learning_rate, "nothing")
    assert 1 <= step <= 4


def test_what_was_kept_is_said_when_the_loss_is_no_number_later():
    class Spoiled(Alone):
        calls = 0

        def gather(self, mine):
            Spoiled.calls += 1
            return [mine * (np.float32("nan") if Spoiled.calls == 6 else 1)]

    with pytest.raises(TrainingDiverged) as caught:
        train(exchange=Spoiled(), keep=lambda state: None)  # four steps an epoch
    assert caught.value.args[1:] == (6, CONFIG.learning_rate, "the state after epoch 1")


def test_threads_are_what_they_were():
    before = torch.get_num_threads()
    train(replace(CONFIG, epochs=1))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", "triplet"),
        ("alpha", 1.5),
        ("channels", -1),
        ("stride", 0),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("centre_rate", 0.0),
    ],
)
def test_a_wrong_setting_is_named_by_its_flag(field, value):
    with pytest.raises(ConfigError, match="--routing." + field.replace("_", "-")):
        RoutingConfig(**{field: value})
