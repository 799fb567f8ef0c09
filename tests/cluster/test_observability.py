"""What an operator sees of jobs: actors by their names, metrics of every worker, a timeline of driver and workers."""

import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import ray

from eagleray.distributed import PoolConfig, RayPool
from eagleray.distributed.expert_training import train_experts
from eagleray.experts.discriminator_training import DiscriminatorConfig
from eagleray.experts.expert_task import ExpertTask
from eagleray.storage import ModelStore
from eagleray.sweeps.stream_trials import StreamSpec
from eagleray.sweeps.tune_runner import TuneConfig, TuneRunner
from tests.cluster.conftest import CLASSES, FLAGS, ROOT
from tests.ray_head import ray_head
from tests.trace import read_trace

_LINE = re.compile(r"^ray_(?P<name>eagleray_\w+)\{(?P<tags>.*)\} (?P<value>\S+)$", re.MULTILINE)
_OURS = re.compile(r'\b(work|network|trials)="(\w+)"')


def scrape():
    """Our metrics of all workers together, as Prometheus reads them from each node; by name and tag."""
    found: Counter[str] = Counter()
    for node in ray.nodes():
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        for line in _LINE.finditer(text):
            tags = "".join(f"{{{name}={value}}}" for name, value in _OURS.findall(line["tags"]))
            found[line["name"] + tags] += float(line["value"])
    return found


@pytest.fixture
def counted(eventually):
    """Wait until these metrics have risen by so much; workers tell every ten seconds and when they are stopped."""

    def wait(before, expected):
        def risen():
            now = scrape()
            return {name: now[name] - before[name] for name in expected}

        try:
            eventually(lambda: risen() == expected, within_s=40, every_s=1)
        except AssertionError:
            assert risen() == expected

    return wait


@pytest.mark.usefixtures("ray_here")
def test_a_streams_work_is_counted(learn, extractor, data, tmp_path, counted):
    before, store = scrape(), ModelStore.create(tmp_path / "model")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with RayPool(extractor, store, PoolConfig(embed_workers=2)) as pool:
        learn(pool, store, tmp_path)
        pool.embed([str(tmp_path / "broken.png")])
    pictures = len(list(data.glob("*/train/good/*.png")))
    counted(
        before,
        {
            "eagleray_images_embedded_total{work=embed}": pictures,
            "eagleray_images_unreadable_total{work=embed}": 1,
            "eagleray_shard_seconds_count{work=embed}": sum(-(-20 // 8) for _ in CLASSES) + 1,
            "eagleray_learn_seconds_count": len(CLASSES),
        },
    )
    now = scrape()
    assert now["eagleray_images_embedded_total{work=score}"] - before["eagleray_images_embedded_total{work=score}"] > 0
    assert now["eagleray_learn_seconds_sum"] > before["eagleray_learn_seconds_sum"]


@pytest.mark.usefixtures("ray_here")
def test_trained_networks_are_counted(tmp_path, counted):
    before = scrape()
    shard = ray.put(np.random.default_rng(0).normal(size=(8, 4, 4, 6)).astype(np.float16))
    config = DiscriminatorConfig(epochs=1, hidden=16, batch_size=64, patches_per_image=9)
    tasks = [
        ExpertTask(key=f"k{seed}", name=f"cloth/{seed}", shards=[shard], images=(0, 1, 2), config=config, seed=seed)
        for seed in range(3)
    ]
    train_experts(tasks, folder=str(tmp_path), slots=2)
    counted(before, {"eagleray_training_seconds_count{network=expert}": 3})


@pytest.fixture
def climb():
    """What makes trials of five steps, whose merit is their step's number; in here, it is pickled by value."""

    class Climb:
        most_steps = 5

        def begin(self, spec):
            return Step()

    class Step:
        def __init__(self):
            self.taken = 0

        @property
        def done(self):
            return self.taken == 5

        def step(self):
            self.taken += 1
            return {"merit": float(self.taken)}

        def state(self):
            return {"taken": self.taken}

        def restore(self, state):
            self.taken = state["taken"]

    return Climb()


@pytest.mark.usefixtures("ray_here")
def test_steps_of_trials_are_counted(climb, tmp_path, counted):
    before = scrape()
    specs = [StreamSpec(name=f"{n}", point=0, changes={}, order=0, classes=(), seed=n) for n in range(3)]
    TuneRunner(str(tmp_path), TuneConfig()).run("climbs", specs, climb)
    counted(
        before,
        {
            "eagleray_trial_step_seconds_count{trials=climbs}": 15,
            "eagleray_trials_done_total{trials=climbs}": 3,
        },
    )


@pytest.fixture(scope="module")
def head(environment):
    with ray_head(environment) as head:
        yield head


def test_two_jobs_on_a_cluster_show_the_same_names_and_each_has_a_timeline_of_its_own(
    head, folder, undisturbed, sweep, tmp_path
):
    both = ("--address", head.cluster, "--pool.embed-workers", "1", "--profile")
    stream, other = folder.start(*both), sweep(tmp_path / "sweep", *both)
    for process in (stream, other):
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
    assert folder.results() == undisturbed.results()

    actors = listed(head, "actors")
    embedding = [actor for actor in actors if actor["class_name"] == "EmbedWorker"]
    assert [(actor["name"], actor["repr_name"]) for actor in embedding] == [("embed-0", "embed-0")] * 2
    assert len({actor["job_id"] for actor in embedding}) == 2
    assert {actor["name"] for actor in actors if actor["class_name"] == "ExpertWorker"} == {"expert-0", "expert-1"}
    assert {actor["repr_name"] for actor in actors if actor["class_name"] == "Trial"} >= {"trials-0"}
    stores = {actor["name"] for actor in actors if actor["class_name"] == "BankStore"}

    trace, others = read_trace(folder.out / "timeline.json"), read_trace(tmp_path / "sweep" / "timeline.json")
    assert {name for name in trace.workers() - stores if not name.startswith("tasks ")} == {
        "embed-0",
        "expert-0",
        "expert-1",
    }
    assert trace.workers() & stores
    assert trace.names("driver", "stages") >= {
        "connect",
        "stream",
        "learn wood",
        "test after wood",
        "collect",
        "report",
    }
    (learn,) = (event for event in trace.rows["driver", "stages"] if event["name"] == "learn wood")
    embedded = [event for event in trace.row("embed-0") if event["name"] == "EmbedWorker.embed"]
    assert sum(lies_in(event, learn) for event in embedded) == 3  # shards of 20 pictures
    assert [event["name"] for event in others.row("embed-0")].count("EmbedWorker.embed") == 11  # shards of 84 pictures
    assert others.names("driver", "stages") >= {"embed pictures", "learn 2 streams"}
    trials = [row for row in others.workers() if row.startswith("Trial ")]  # Tune may make one that is never needed
    assert "Trial.train" in {event["name"] for row in trials for event in others.row(row)}

    (begin, end), (later, _) = sorted(lifetime(one.row("embed-0")) for one in (trace, others))
    assert begin < later < end, "not at the same time: the names could not collide"


def lifetime(row):
    return min(event["ts"] for event in row), max(event["ts"] + event["dur"] for event in row)


def lies_in(inner, outer):
    return outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


@pytest.fixture
def sweep(data, environment):
    def start(out, *flags):
        points = ("experts", "--values", "1", "2", "--orders", "1")
        command = [sys.executable, "jobs/sweep.py", *points, "--data", str(data), "--out", str(out), *FLAGS, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    return start


def listed(head, what):
    """As the dashboard lists them, those that are gone too."""
    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    url = f"{head.dashboard}/api/v0/{what}?detail=1"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})) as answer:
        return json.load(answer)["data"]["result"]["result"]
