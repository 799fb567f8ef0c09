"""The deployment that holds experts: bank rows stay here, patches come in, patch scores go out."""

from threadpoolctl import threadpool_limits

from eagleray.arrays import Floats
from eagleray.continual import ExpertCache, ExpertLoader, load_expert
from eagleray.storage import ModelStore


class ExpertHost:
    """Answers for the experts that its deployment was given, whatever they learned with.

    It is asked by blob, not by version: an expert that a new version left alone is not even told of it, and a changed
    one is loaded when it is first asked for.

    Args:
        model: the model store.
        cache_mb: blobs kept in memory.
        load: makes an expert of a blob.
    """

    def __init__(self, model: str, cache_mb: float, load: ExpertLoader = load_expert) -> None:
        threadpool_limits(1, user_api="blas")  # sums depend on threads, and scores must not
        self._experts = ExpertCache(ModelStore.open(model), capacity_mb=cache_mb, load=load)

    def patch_scores(self, digests: tuple[str, ...], patches_HWD: Floats) -> Floats:
        """Smallest score of every patch among the blobs asked for, (H, W); higher is more anomalous."""
        return self._experts.patch_scores(digests, patches_HWD)

    def ping(self) -> None:
        """Return: that is what is asked."""
