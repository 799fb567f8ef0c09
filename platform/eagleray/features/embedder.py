"""Pictures to patch embeddings: taps, 3x3 average pooling, one grid, concatenation (Roth et al. 2022, section 3.1).

The whole chain, pixel statistics included, is one torch module. On CUDA it runs as it is; on CPU it is exported once
to ONNX and run by onnxruntime, several times faster, so workers there need neither torch nor the weights' package.
"""

import contextlib
import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from eagleray.arrays import Floats, Pixels
from eagleray.config import fingerprint
from eagleray.errors import EagleRayWarning, WeightsMissing
from eagleray.features.backbone import FeaturesConfig, build_backbone, pixel_statistics

if TYPE_CHECKING:
    import torch

_EXPORT_REVISION = 3  # raise whenever the exported graph changes, so that old cache entries are left behind


class Embedder(Protocol):
    """Turns one picture into its patch embeddings."""

    def embed(self, image_YX3: Pixels) -> Floats:
        """Patch embeddings (H, W, D) of one picture of the configured size."""
        ...

    def embed_batch(self, images: Sequence[Pixels]) -> list[Floats]:
        """Patch embeddings of some pictures, in order, as fast as the device can."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Extractor:
    """A frozen feature extractor that travels: to workers, and into the model store.

    On CPU one picture is embedded at a time, in a batch too. Batches gain nothing there, and a picture's embedding then
    depends on nothing but the picture: neither on its neighbours in a batch nor on how work was cut.
    """

    config: FeaturesConfig
    weights_sha256: str
    onnx: bytes

    def open(self, *, device: str = "cpu", num_threads: int = 1, parallel: int = 1) -> Embedder:
        """Load it on `device`: 'cpu' or a CUDA device such as 'cuda:0'.

        Args:
            device: where it runs.
            num_threads: CPU threads that work on one picture.
            parallel: pictures of a batch that are embedded at once on CPU.
        """
        if device == "cpu":
            return OnnxEmbedder(self.onnx, num_threads=num_threads, parallel=parallel)
        return TorchEmbedder(self.config, device=device, weights_sha256=self.weights_sha256)


class OnnxEmbedder:
    """Runs the exported graph on CPU."""

    def __init__(self, model: bytes, *, num_threads: int = 1, parallel: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._threads = ThreadPoolExecutor(parallel)

    def embed(self, image_YX3: Pixels) -> Floats:
        """Patch embeddings (H, W, D) of one picture of the configured size."""
        (patches_1HWD,) = self._session.run(None, {"images": image_YX3[None]})
        return cast(Floats, patches_1HWD[0])

    def embed_batch(self, images: Sequence[Pixels]) -> list[Floats]:
        """Patch embeddings of some pictures, in order, several at once but each by itself."""
        return list(self._threads.map(self.embed, images))


class TorchEmbedder:
    """Runs the torch module, channels last, with autocast on CUDA."""

    def __init__(self, config: FeaturesConfig, *, device: str, weights_sha256: str | None = None) -> None:
        import torch

        network, digest = build_network(config)
        if weights_sha256 not in (None, digest):
            raise WeightsMissing(config.weights, f"the model was learned with other weights ({weights_sha256[:12]})")
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def embed(self, image_YX3: Pixels) -> Floats:
        """Patch embeddings (H, W, D) of one picture of the configured size."""
        return self.embed_batch([image_YX3])[0]

    def embed_batch(self, images: Sequence[Pixels]) -> list[Floats]:
        """Patch embeddings of some pictures, in order, in one pass; its size may change their last bits."""
        import torch

        cuda = self._device.type == "cuda"
        with torch.inference_mode(), torch.autocast(self._device.type, dtype=torch.float16, enabled=cuda):
            pixels = torch.from_numpy(np.stack(images)).to(self._device)
            patches_NHWD: Floats = self._network(pixels).float().cpu().numpy()
        return list(patches_NHWD)


def build_network(config: FeaturesConfig) -> "tuple[torch.nn.Module, str]":
    """The chain from uint8 pictures (N, Y, X, 3) to patches (N, H, W, D), and the SHA-256 of its weights."""
    import torch
    from torch.nn import functional

    backbone, digest = build_backbone(config)
    mean, std = pixel_statistics(config)

    class PatchNetwork(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone
            self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
            taps = [
                self.on_grid(tap, stride) for tap, stride in zip(self.backbone(pixels), config.strides, strict=True)
            ]
            return torch.cat(taps, dim=1).permute(0, 2, 3, 1)

        def on_grid(self, tap: torch.Tensor, stride: int) -> torch.Tensor:
            tap = functional.avg_pool2d(tap, 3, stride=1, padding=1, count_include_pad=False)
            if stride < config.grid_stride:
                tap = functional.avg_pool2d(tap, config.grid_stride // stride)
            elif stride > config.grid_stride:
                scale = stride // config.grid_stride
                tap = functional.interpolate(tap, scale_factor=scale, mode="bilinear", align_corners=False)
            return functional.normalize(tap, dim=1) if config.unit_taps else tap

    return PatchNetwork().eval(), digest


def build_extractor(config: FeaturesConfig, *, cache: Path | None = None) -> Extractor:
    """Build the extractor, or read it from the cache of earlier exports.

    Args:
        config: which backbone, weights, taps and size.
        cache: folder of exports; `$EAGLERAY_CACHE` or ~/.cache/eagleray by default. Only packaged weights are cached,
            because only their content is fixed by the configuration.
    """
    asked, config = config.backbone, config.resolved()
    if asked != config.backbone:
        text = f"--features.backbone {asked} is not used: packaged weights are those of {config.backbone}"
        warnings.warn(text, EagleRayWarning, stacklevel=2)
    folder = cache or Path(os.environ.get("EAGLERAY_CACHE", Path.home() / ".cache" / "eagleray"))
    entry = folder / f"extractor-{fingerprint([config, _EXPORT_REVISION])}.onnx"
    if config.weights == "packaged" and (found := _read_cache(entry)):
        return Extractor(config=config, weights_sha256=found[0], onnx=found[1])
    network, digest = build_network(config)
    model = _export(network, config.image_size)
    if config.weights == "packaged":
        _write_cache(entry, digest, model)
    return Extractor(config=config, weights_sha256=digest, onnx=model)


def _export(network: "torch.nn.Module", image_size: int) -> bytes:
    import torch

    example = torch.zeros(1, image_size, image_size, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network, (example,), dynamo=True, verbose=False, input_names=["images"], output_names=["patches"]
        )
        assert program is not None  # dynamo=True and no file name given
        for node in program.model.graph:  # where each operation comes from, with the paths of this installation
            node.metadata_props.clear()
        path = Path(folder) / "extractor.onnx"
        program.save(str(path), external_data=False)
        return path.read_bytes()


def _read_cache(entry: Path) -> tuple[str, bytes] | None:
    """A cached export as (weights digest, model), or nothing where it is absent or damaged."""
    try:
        head, _, model = entry.read_bytes().partition(b"\n")
    except OSError:
        return None
    digest, _, model_digest = head.decode("ascii", "replace").partition(" ")
    return (digest, model) if hashlib.sha256(model).hexdigest() == model_digest else None


def _write_cache(entry: Path, digest: str, model: bytes) -> None:
    head = f"{digest} {hashlib.sha256(model).hexdigest()}\n".encode()
    partial = entry.with_name(f".{entry.name}.{os.getpid()}.tmp")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(head + model)
        partial.replace(entry)
    except OSError as error:  # a cache that cannot be written costs time, not results
        logging.getLogger(__name__).warning("extractor not cached in %s: %s", entry.parent, error)
        with contextlib.suppress(OSError):
            partial.unlink()
