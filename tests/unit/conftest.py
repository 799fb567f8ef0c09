"""The unit tier starts no cluster: any ray.init here is a mistake in the code under test."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    try:
        import ray
    except ImportError:  # an algorithm-only environment
        return

    def refuse(*args, **kwargs):
        raise AssertionError("a unit test tried to start or join a Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)


@pytest.fixture
def run_cli(capsys, monkeypatch):
    """Run `eagleray` in this process; returns the exit code, the lines of stdout and those of stderr."""
    from eagleray import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["eagleray", *map(str, arguments)])
        try:
            code = cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out.splitlines(), printed.err.splitlines()

    return run


@dataclass(frozen=True)
class TinyModel:
    """Two products, dots and stripes, learned in a second with an extractor that only averages pixels."""

    data: Path
    """In MVTec AD layout: dots and stripes, each with train/good, test/good and test/spot."""
    store: Path
    """Version 1 knows dots, version 2 stripes as well."""
    memory: str


@pytest.fixture(scope="session", params=["nested"])
def tiny_model(request, tmp_path_factory):
    from eagleray.banks import BankConfig
    from eagleray.config import to_json
    from eagleray.continual import Learner, LearnerConfig, LocalPool, MecadConfig, StreamConfig, open_stream
    from eagleray.data import read_mvtec_ad
    from eagleray.features import Extractor, FeaturesConfig
    from eagleray.storage import ModelStore

    root = tmp_path_factory.mktemp("tiny")
    write_tiny_products(root / "data")
    extractor = Extractor(config=FeaturesConfig(image_size=64), weights_sha256="0" * 64, onnx=averaging_network(64))
    store = ModelStore.create(root / "model")
    config = LearnerConfig(
        mecad=MecadConfig(num_experts=1, rows_per_class=30, rows_per_expert=50, memory=request.param),
        bank=BankConfig(whitening_directions=2),
    )
    features = {**to_json(extractor.config), "weights_sha256": extractor.weights_sha256}
    blob = store.put_blob(extractor.onnx)
    with LocalPool(extractor, store) as pool:
        learner = Learner(config, StreamConfig(), pool, store, features=features, extractor_blob=blob, seed=0)
        for event in open_stream(read_mvtec_ad(root / "data")):
            learner.take(event)
    return TinyModel(root / "data", root / "model", request.param)


def averaging_network(size):
    """ONNX of an extractor: mean and maximum of each colour in squares of 8 pixels, (1, Y, X, 3) -> (1, H, W, 6)."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("MaxPool", ["planes"], ["peaks"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Concat", ["means", "peaks"], ["joined"], axis=1),
        helper.make_node("Transpose", ["joined"], ["patches"], perm=[0, 2, 3, 1]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, size, size, 3])
    patches = helper.make_tensor_value_info("patches", TensorProto.FLOAT, [1, size // 8, size // 8, 6])
    graph = helper.make_graph(nodes, "averages", [images], [patches])
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def write_tiny_products(root):
    """Noisy pictures of 80 x 48 pixels; the defect is a white spot."""
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(80), np.arange(48))
    patterns = {"dots": (across % 16 < 8) & (down % 16 < 8), "stripes": across % 16 < 8}
    colours = {"dots": (90, 40, 40), "stripes": (40, 50, 120)}
    for name, pattern in patterns.items():
        for part, count in (("train/good", 12), ("test/good", 3), ("test/spot", 3)):
            folder = root / name / part
            folder.mkdir(parents=True)
            for number in range(count):
                picture = 30 + pattern[..., None] * np.array(colours[name]) + random.normal(0, 6, (48, 80, 3))
                if part == "test/spot":
                    picture[16:32, 24:40] = 250
                Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
