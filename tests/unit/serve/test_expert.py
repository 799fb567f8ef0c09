import numpy as np
import threadpoolctl

from eagleray.continual import ExpertCache
from eagleray.storage import ModelStore
from serve import expert as module
from serve.expert import ExpertHost


def test_a_host_scores_any_blob_of_its_store_as_the_cache_does(tiny_model, monkeypatch):
    limited = []
    monkeypatch.setattr(module, "threadpool_limits", lambda *args, **kwargs: limited.append((args, kwargs)))
    host = ExpertHost(str(tiny_model.store), cache_mb=64)
    assert limited == [((1,), {"user_api": "blas"})]  # the whole process: a replica does nothing else
    store = ModelStore.open(tiny_model.store)
    digests = tuple(entry.blob for entry in store.current().classes.values())
    patches_HWD = np.random.default_rng(0).random((8, 8, 6), dtype=np.float32)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        np.testing.assert_array_equal(
            host.patch_scores(digests, patches_HWD), ExpertCache(store).patch_scores(digests, patches_HWD)
        )
    assert host.ping() is None


def test_a_host_takes_another_kind_of_expert(tiny_model):
    class Constant:
        def patch_scores(self, patches_HWD):
            return np.full(patches_HWD.shape[:2], 7, np.float32)

    store = ModelStore.open(tiny_model.store)
    digest = next(iter(store.current().classes.values())).blob
    host = ExpertHost(str(tiny_model.store), 64, load=lambda data, place: Constant())
    assert host.patch_scores((digest,), np.zeros((2, 3, 6), np.float32)).tolist() == [[7] * 3] * 2
