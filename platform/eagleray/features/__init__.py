"""Pictures to patch embeddings: decoding, frozen backbones, the extractor that travels."""

from eagleray.features.backbone import PACKAGED_BACKBONE, FeaturesConfig
from eagleray.features.embedder import Embedder, Extractor, OnnxEmbedder, TorchEmbedder, build_extractor
from eagleray.features.images import decode_image, image_size, load_image, load_mask, resize

__all__ = [
    "PACKAGED_BACKBONE",
    "Embedder",
    "Extractor",
    "FeaturesConfig",
    "OnnxEmbedder",
    "TorchEmbedder",
    "build_extractor",
    "decode_image",
    "image_size",
    "load_image",
    "load_mask",
    "resize",
]
