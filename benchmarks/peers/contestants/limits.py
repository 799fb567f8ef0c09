"""What bounds us: the machine's arithmetic and memory, the backbone alone, one matrix product for the neighbours.

A prediction and its parts are timed in turn in this process, so that all meet the same machine.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.contestants.contest import Job, clock, load, read_job, write_figures
from benchmarks.peers.contestants.eagleray_patchcore import EagleRay
from eagleray.banks import BankConfig, covering_radius, fit_whitening, sharded_farthest_first
from eagleray.features import FeaturesConfig
from eagleray.features.backbone import build_backbone

_SIDE = 2048
_BYTES = 2**29
_REPEATS = 5


def fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, the first of which only warms up."""
    seconds = []
    for _ in range(_REPEATS + 1):
        began = perf_counter()
        run()
        seconds.append(perf_counter() - began)
    return min(seconds[1:])


def matrix_rate(dtype: type, threads: int) -> float:
    """Operations a second of a large matrix product."""
    factor: Any = np.random.default_rng(0).random((_SIDE, _SIDE)).astype(dtype)
    with threadpool_limits(threads):
        return 2 * _SIDE**3 / fastest(lambda: factor @ factor)


def read_rate(threads: int) -> float:
    """Bytes a second that all threads together read from memory."""
    parts = np.array_split(np.ones(_BYTES // 4, np.float32), threads)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        return _BYTES / fastest(lambda: list(pool.map(lambda part: part @ part, parts)))


def backbone_flops(network: torch.nn.Module, image_size: int) -> int:
    """Multiplications and additions of the taps of one picture."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size))
    return int(counter.get_total_flops())


def backbone_alone(network: torch.nn.Module, image_size: int) -> Callable[[Any], Any]:
    """The network's taps by onnxruntime on one thread: no pixel statistics, pooling, grid or concatenation."""
    with TemporaryDirectory() as folder:
        path = f"{folder}/backbone.onnx"
        example = torch.zeros(1, 3, image_size, image_size)
        program = torch.onnx.export(network, (example,), dynamo=True, verbose=False, input_names=["pixels"])
        assert program is not None
        program.save(path, external_data=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})


def fit_parts(ours: EagleRay, job: Job) -> dict[str, float]:
    """Seconds of what fitting a bank consists of, on one thread as there."""
    config = BankConfig()
    seconds: dict[str, float] = {}
    directions, shrinkage = config.whitening_directions, config.whitening_shrinkage
    with threadpool_limits(1, user_api="blas"):
        with clock(seconds, "all"):
            ours.select(job.rows)
        with clock(seconds, "whitening"):
            whitening = fit_whitening(ours.points, num_directions=directions, shrinkage=shrinkage)
            points_ND = np.concatenate([whitening.apply(part) for part in ours.points])
        with clock(seconds, "rows"):
            kept = sharded_farthest_first(
                [points_ND], job.rows - directions, seed=job.seed, projection_dim=config.projection_dim
            )
        with clock(seconds, "coverage"):
            covering_radius([points_ND], kept.rows_MD)
    rest = seconds.pop("all") - sum(seconds.values())
    return {**seconds, "calibration and the rest": rest}


def main() -> None:
    job = read_job()
    machine = {
        "float32_flops": matrix_rate(np.float32, job.threads),
        "float64_flops": matrix_rate(np.float64, job.threads),
        "read_bytes_per_s": read_rate(job.threads),
        "blas": [f"{lib['internal_api']} {lib.get('architecture', '')}".strip() for lib in threadpool_info()],
    }
    ours = EagleRay(job)
    ours.embed(load(job.only_train))
    ours.select(job.rows)  # the first one is slow
    parts_s = fit_parts(ours, job)
    pictures = load(job.only_test)
    network, digest = build_backbone(FeaturesConfig(image_size=job.image_size, strides=tuple(job.strides)))
    assert digest == job.weights_sha256
    run_backbone = backbone_alone(network, job.image_size)
    pixels = np.random.default_rng(0).standard_normal((1, 3, job.image_size, job.image_size), np.float32)
    height, width, dim = ours.patches(pictures[0]).shape
    rng = np.random.default_rng(0)
    queries_PD, rows_DM = (rng.standard_normal(shape, np.float32) for shape in ((height * width, dim), (dim, job.rows)))
    parts: dict[str, Callable[[], object]] = {
        "predict": partial(ours.each, ours.score, pictures),
        "backbone": partial(ours.each, lambda _: run_backbone(pixels), pictures),
        "product": partial(ours.each, lambda _: queries_PD @ rows_DM, pictures),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(_REPEATS + 1):
        for name, run in parts.items():
            began = perf_counter()
            run()
            if turn:  # the first one is slow
                seconds[name].append(perf_counter() - began)
    figures = {
        **machine,
        "backbone_flops": backbone_flops(network, job.image_size),
        "num_points": sum(map(len, ours.points)),
        "fit_parts_s": parts_s,
        "ms": {name: 1e3 * median(found) / len(pictures) for name, found in seconds.items()},
    }
    write_figures(job, figures)


if __name__ == "__main__":
    main()
