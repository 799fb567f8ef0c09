"""Embeds and scores pictures: a class that is made an actor where it is placed."""

from collections.abc import Sequence

from eagleray.arrays import AnyArray
from eagleray.banks import ClassBank
from eagleray.continual import ScoredImage, ScoreItem, ShardInfo, embed_shard, score_shard
from eagleray.distributed.memory import peak_rss_mb
from eagleray.distributed.metrics import EmbedMetrics
from eagleray.distributed.naming import NamedActor
from eagleray.features import Extractor, FeaturesConfig
from eagleray.storage import ModelStore, Skipped


class EmbedWorker(NamedActor):
    """Holds one opened extractor, read from the model store.

    Not handed over as an object: Ray cannot restart an actor whose arguments lie in an object store that lost them
    (https://github.com/ray-project/ray/issues/53727).
    """

    def __init__(
        self, store: ModelStore, blob: str, config: FeaturesConfig, weights_sha256: str, device: str, num_threads: int
    ) -> None:
        extractor = Extractor(config=config, weights_sha256=weights_sha256, onnx=bytes(store.get_blob(blob)))
        self._embedder = extractor.open(device=device, num_threads=num_threads)
        self._image_size = config.image_size
        self._metrics = EmbedMetrics()

    def embed(self, paths: Sequence[str], *, half: bool) -> tuple[ShardInfo, AnyArray]:
        """One shard's small part and its patches, as two objects, so that the driver fetches the first alone."""
        with self._metrics.seconds.of(work="embed"):
            info, patches = embed_shard(self._embedder, paths, self._image_size, half=half)
        self._metrics.images("embed", embedded=len(info.paths), unreadable=len(info.skipped))
        return info, patches

    def score(
        self, items: Sequence[ScoreItem], digests: Sequence[str], *banks: ClassBank
    ) -> list[ScoredImage | Skipped]:
        """Score pictures; the banks are views of shared memory, nothing is copied."""
        with self._metrics.seconds.of(work="score"):
            scored = score_shard(self._embedder, items, dict(zip(digests, banks, strict=True)), self._image_size)
        unreadable = sum(isinstance(one, Skipped) for one in scored)
        self._metrics.images("score", embedded=len(scored) - unreadable, unreadable=unreadable)
        return scored

    def peak_rss_mb(self) -> float:
        """Largest resident memory of this process so far."""
        return peak_rss_mb()
