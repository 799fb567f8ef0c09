"""The service's pipeline in this process, without HTTP and Ray: what its throughput is held against."""

import itertools
import threading
import time
from collections.abc import Sequence

from threadpoolctl import threadpool_limits

from eagleray.continual import ExpertCache, open_judge, stored_extractor
from eagleray.features import decode_image, resize
from eagleray.storage import ModelStore
from serve.api import answer
from serve.service import Scored, first_manifest
from serve.settings import Settings
from serve.upload import Upload


def batch_rate(settings: Settings, bodies: Sequence[bytes], seconds: float) -> float:
    """Pictures a second of one batch after the other: decoded, embedded on the router's threads, then scored."""
    score = _Scoring(settings)
    endless = itertools.cycle(bodies)

    def batch() -> list[bytes]:
        return list(itertools.islice(endless, settings.batch_size))

    with threadpool_limits(1):
        score(batch())  # the first one is slow
        began, done = time.perf_counter(), 0
        while time.perf_counter() < began + seconds:
            score(batch())
            done += settings.batch_size
        return done / (time.perf_counter() - began)


def all_cores_rate(settings: Settings, bodies: Sequence[bytes], seconds: float) -> float:
    """Pictures a second of as many such loops at once as the router has threads: the most that the cores can do."""
    barrier, counts = threading.Barrier(settings.threads + 1), [0] * settings.threads
    stop = threading.Event()

    def work(thread: int) -> None:
        score = _Scoring(settings.model_copy(update={"threads": 1}))
        numbers = itertools.count(thread, settings.threads)
        score([bodies[next(numbers) % len(bodies)]])  # the first one is slow
        barrier.wait()
        while not stop.is_set():
            score([bodies[next(numbers) % len(bodies)]])
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(settings.threads)]
    with threadpool_limits(1):
        for thread in threads:
            thread.start()
        barrier.wait()
        began = time.perf_counter()
        time.sleep(seconds)
        done, took = sum(counts), time.perf_counter() - began
        stop.set()
        for thread in threads:
            thread.join()
        return done / took


class _Scoring:
    """Decode, resize, embed, route, score, judge, JSON."""

    def __init__(self, settings: Settings) -> None:
        store = ModelStore.open(settings.model)
        manifest = first_manifest(store, settings)
        self._judge = open_judge(store, manifest, false_alarm_rate=settings.false_alarm_rate)
        self._embedder = stored_extractor(store, manifest).open(parallel=settings.threads)
        self._experts = ExpertCache(store)

    def __call__(self, bodies: Sequence[bytes]) -> None:
        judge = self._judge
        pictures = [resize(decode_image(body, name="", max_pixels=10**8), judge.image_size) for body in bodies]
        uploads, scored = [Upload(body) for body in bodies], []
        for patches_HWD in self._embedder.embed_batch(pictures):
            plan = judge.plan(patches_HWD)
            grids = [self._experts.patch_scores(ask.digests, patches_HWD) for ask in plan.asks]
            scored.append(Scored(judge.finding(plan, grids), None))
        answer(judge, uploads, scored).model_dump_json()
