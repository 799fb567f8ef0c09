"""The cluster tier: one Ray of our own on two CPUs, small pictures, and the job as a process of its own."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from eagleray.banks import BankConfig
from eagleray.continual import (
    EvaluationConfig,
    Evaluator,
    Learner,
    LearnerConfig,
    MecadConfig,
    StreamConfig,
    StreamRun,
    open_stream,
    silent,
)
from eagleray.data import open_dataset, write_products
from eagleray.experts import ScoringConfig
from eagleray.features import FeaturesConfig, build_extractor
from serve.app import RAY
from tests.cluster.nodes import running_nodes
from tests.ray_head import own_environment
from tests.s3 import S3

ROOT = Path(__file__).resolve().parents[2]
IMAGE_SIZE = 64
CLASSES = ("wood", "hex_nut", "capsule")
MECAD = MecadConfig(num_experts=2, expert_capacity=2, rows_per_class=250, rows_per_expert=400)
FLAGS = (
    *("--features.image-size", str(IMAGE_SIZE), "--pool.embed-workers", "2"),
    *("--mecad.num-experts", "2", "--mecad.expert-capacity", "2"),
    *("--mecad.rows-per-class", "250", "--mecad.rows-per-expert", "400"),
)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "products"
    write_products(root, num_train=20, num_test_good=4, num_test_defective=4, image_size=96, classes=CLASSES)
    return root


@pytest.fixture(scope="session")
def extractor():
    return build_extractor(FeaturesConfig(image_size=IMAGE_SIZE))


@pytest.fixture(scope="session")
def ray_here():
    """A Ray of our own in this process; `address="local"` never joins one that runs already."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def learn(data, extractor):
    """Learn and judge the whole stream on a pool; returns everything a result could differ in."""

    def run(pool, store, out, *, progress=silent, data=data, mecad=MECAD) -> dict[str, Any]:
        out.mkdir(parents=True, exist_ok=True)
        learner = Learner(
            LearnerConfig(mecad=mecad, bank=BankConfig()),
            StreamConfig(max_bad_share=0.2),
            pool,
            store,
            features={"weights_sha256": extractor.weights_sha256},
            extractor_blob=store.put_blob(extractor.onnx),
            seed=0,
        )
        evaluator = Evaluator(pool, ScoringConfig(), EvaluationConfig())
        stream = StreamRun(learner, evaluator, store, out, progress=progress)
        stream.take(open_stream(open_dataset(data)))
        verdicts = stream.verdicts(oracle=False)
        return {
            "manifests": [store.read(version) for version in store.versions()],
            "steps": stream.steps(),
            "scores": [(v.sample.path, v.score, v.p_value, v.routed_class) for vs in verdicts.values() for v in vs],
            "controls": stream.controls(seed=0),
        }

    return run


class JobFolder:
    """One output folder of jobs/mecad_stream.py, run as a process."""

    def __init__(self, out: Path, data: Path, environment: dict[str, str]) -> None:
        self.out, self.data, self.environment = out, data, environment

    @property
    def flags(self) -> list[str]:
        return ["--data", str(self.data), "--out", str(self.out), *FLAGS]

    def start(self, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "jobs/mecad_stream.py", *self.flags, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, **pipes)

    def run(self, *flags: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*flags)
        try:
            stdout, stderr = process.communicate(timeout=500)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def finish(self, *flags: str) -> dict[str, Any]:
        done = self.run(*flags)
        assert done.returncode == 0, done.stderr
        return self.results()

    def results(self) -> dict[str, Any]:
        """What was found, without what it took."""
        results = json.loads((self.out / "results.json").read_text())
        taken = ("command", "seconds", "peak_rss_mb", "processes")
        return {key: value for key, value in results.items() if key not in taken}

    def model(self) -> dict[str, bytes | None]:
        """Every file of the model store; blobs by name only, which is their content. Leftovers of a kill are not it."""
        root = self.out / "model"
        files = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".tmp")]
        return {
            str(path.relative_to(root)): None if path.parent.name == "blobs" else path.read_bytes() for path in files
        }

    @property
    def num_versions(self) -> int:
        try:
            return int(json.loads((self.out / "model" / "CURRENT").read_text())["latest"])
        except FileNotFoundError:
            return 0

    def judged(self, step: int) -> bool:
        return (self.out / "progress" / f"{step:04d}.json").exists()


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    """Of a job: as `own_environment`, and without a commit, which may change between two runs."""
    return {**own_environment(tmp_path_factory.mktemp("auth") / "token"), "GIT_DIR": os.devnull}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, data, environment) -> JobFolder:
    folder = JobFolder(tmp_path_factory.mktemp("undisturbed"), data, environment)
    folder.finish()
    return folder


@pytest.fixture
def folder(tmp_path, data, environment) -> JobFolder:
    return JobFolder(tmp_path / "out", data, environment)


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """A real S3 server on this machine."""
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3) -> str:
    """An empty bucket that no other test has."""
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    s3.client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def _running_nodes(environment):
    # Ray's limit for objects that go past shared memory is not raised: patches have to lie on the nodes.
    serve = {name: value for name, value in RAY.items() if name.startswith("RAY_SERVE_")}
    with running_nodes({**environment, **serve}, cpus=(0, 1, 1, 1)) as nodes:
        yield nodes


@pytest.fixture
def nodes(_running_nodes):
    """A head without CPUs and three further nodes with one each; a test may kill one."""
    yield _running_nodes
    _running_nodes.mend()
