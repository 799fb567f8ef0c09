"""The serving tier: one real service on two CPUs, with a small model of generated products and the real extractor."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from eagleray.config import to_json
from eagleray.continual import (
    Finding,
    Learner,
    LearnerConfig,
    LocalPool,
    MecadConfig,
    ScoringSession,
    StreamConfig,
    open_stream,
)
from eagleray.data import open_dataset, write_products
from eagleray.features import FeaturesConfig, build_extractor, load_image
from eagleray.storage import ModelStore
from serve.app import RAY
from serve.local import replicas, running
from tests.ray_head import own_environment, ray_head

ROOT = Path(__file__).resolve().parents[2]
TAUGHT = ("capsule", "hex_nut", "wood", "pin_header")
"""In this order, a version and an expert each; the service starts with the third."""
UNTAUGHT = "circuit_board"
SERVED = 3


@dataclass(frozen=True)
class Products:
    """Generated pictures, and the model that learned them."""

    data: Path
    store: ModelStore

    def pictures(self, *products: str) -> list[Path]:
        """Test pictures of some products, good and defective ones in turn."""
        found = [path for name in products for path in self.data.glob(f"{name}/test/*/*.png")]
        return sorted(found, key=lambda path: (path.name, path))

    def session(self, version: int) -> ScoringSession:
        return ScoringSession.open(self.store, version=version)

    def find(self, wanted: Callable[[Finding, Path], bool], *products: str) -> Path:
        """The first picture of some products of which the served version says what is wanted."""
        session = self.session(SERVED)
        return next(path for path in self.pictures(*products) if wanted(session.score(load_image(path)), path))


@pytest.fixture(scope="session")
def products(tmp_path_factory) -> Products:
    folder = tmp_path_factory.mktemp("products")
    counts = {"num_train": 24, "num_test_good": 6, "num_test_defective": 6}
    write_products(folder / "data", image_size=192, classes=(*TAUGHT, UNTAUGHT), **counts)
    extractor = build_extractor(FeaturesConfig(image_size=128))
    store = ModelStore.create(folder / "model")
    with LocalPool(extractor, store) as pool:
        learner = Learner(
            LearnerConfig(mecad=MecadConfig(num_experts=4)),
            StreamConfig(),
            pool,
            store,
            features={**to_json(extractor.config), "weights_sha256": extractor.weights_sha256},
            extractor_blob=store.put_blob(extractor.onnx),
            seed=0,
        )
        for event in open_stream(open_dataset(folder / "data", TAUGHT)):
            learner.take(event)
    store.publish(SERVED)
    return Products(folder / "data", store)


@pytest.fixture(scope="session")
def service_url(products):
    """Address of the service; its settings are the defaults, but for limits that a test can reach."""
    with running({"model": products.store.uri, "upload_timeout_s": 2, "max_request_mb": 4}, num_cpus=2) as address:
        yield address


@pytest.fixture(scope="session")
def pictures(products, tmp_path_factory) -> dict[str, Path]:
    """One picture of each verdict, in a file of that name."""

    def is_called(verdict: str, folder: str) -> Callable[[Finding, Path], bool]:
        return lambda finding, path: finding.verdict == verdict and (path.parent.name == "good") == (folder == "good")

    taught = TAUGHT[:SERVED]
    found = {
        "good": products.find(is_called("good", "good"), *taught),
        "defective": products.find(is_called("anomalous", "defective"), *taught),
        "unknown": products.find(lambda finding, path: finding.verdict == "unknown", UNTAUGHT),
    }
    folder = tmp_path_factory.mktemp("pictures")
    return {name: Path(shutil.copy(path, folder / f"{name}.png")) for name, path in found.items()}


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A cluster that runs already, started as operations.md says."""
    environment = own_environment(tmp_path_factory.mktemp("auth") / "token")
    with ray_head({**environment, **RAY, "PYTHONPATH": str(ROOT)}) as head:
        yield head


@pytest.fixture
def kill(eventually) -> Callable[[str], psutil.Process]:
    """SIGKILL the replica of a deployment, as the kernel does where memory runs out."""

    def kill(deployment: str) -> psutil.Process:
        process = replicas()[deployment]
        process.kill()
        eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, within_s=10)
        return process

    return kill
