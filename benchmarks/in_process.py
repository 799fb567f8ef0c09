"""The pipeline of the service in one process, without HTTP and Ray: what its throughput is held against."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

from eagleray.arrays import Floats, Pixels
from eagleray.continual import Ask, ExpertCache, Judge, stored_extractor
from eagleray.features import decode_image, resize
from eagleray.storage import ModelStore
from serve.api import answer
from serve.service import Service
from serve.settings import Settings
from serve.upload import Upload


class ThreadedExperts:
    """Each expert on a thread of its own, as each has a replica of its own in the service."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._hosts: dict[int, tuple[ExpertCache, ThreadPoolExecutor]] = {}

    async def ask(self, ask: Ask, patches_HWD: Floats) -> Floats:
        if ask.expert not in self._hosts:
            self._hosts[ask.expert] = ExpertCache(self._store), ThreadPoolExecutor(1)
        cache, thread = self._hosts[ask.expert]
        return await asyncio.get_running_loop().run_in_executor(thread, cache.patch_scores, ask.digests, patches_HWD)

    async def check(self) -> None:
        """They always answer."""

    def deployment_of(self, expert: int) -> str:
        return f"thread-{expert}"


class Pipeline:
    """A `Service` that embeds what comes together, two batches at a time, as the router does with Serve's batching."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service = Service(settings, ThreadedExperts(ModelStore.open(settings.model)))
        self._waiting: asyncio.Queue[tuple[Pixels, asyncio.Future[Floats]]] = asyncio.Queue()
        self._workers = [asyncio.create_task(self._embed_batches()) for _ in range(2)]

    async def score(self, body: bytes) -> None:
        uploads = [Upload(body)]
        judge, scored = await self._service.score(uploads, category=None, heatmap=False, embed=self._embed)
        answer(judge, uploads, scored).model_dump_json()

    async def _embed(self, picture: Pixels) -> Floats:
        done: asyncio.Future[Floats] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((picture, done))
        return await done

    async def _embed_batches(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            if self._waiting.empty():
                await asyncio.sleep(self._settings.batch_wait_s)
            while len(batch) < self._settings.batch_size and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            found = await self._service.embed_batch([picture for picture, _ in batch])
            for (_, done), patches_HWD in zip(batch, found, strict=True):
                done.set_result(patches_HWD)


def pipeline_rate(settings: Settings, bodies: Sequence[bytes], seconds: float, *, clients: int) -> float:
    """Pictures a second of the service's own code with so many requests under way."""

    async def run() -> float:
        pipeline = Pipeline(settings)
        await asyncio.gather(*(pipeline.score(body) for body in bodies[:clients]))  # the first ones are slow
        began = time.perf_counter()
        counts = await asyncio.gather(*(client(pipeline, number, began + seconds) for number in range(clients)))
        return sum(counts) / (time.perf_counter() - began)

    async def client(pipeline: Pipeline, number: int, end: float) -> int:
        done = 0
        while time.perf_counter() < end:
            await pipeline.score(bodies[(number + done * clients) % len(bodies)])
            done += 1
        return done

    with threadpool_limits(1):
        return asyncio.run(run())


def loop_rate(settings: Settings, bodies: Sequence[bytes], seconds: float) -> float:
    """Pictures a second of the same work in plain loops on as many threads: no requests, no event loop, no batching."""
    store = ModelStore.open(settings.model)
    manifest = store.current()
    assert manifest is not None
    judge = Judge.open(store, manifest, false_alarm_rate=settings.false_alarm_rate)
    extractor = stored_extractor(store, manifest)
    barrier, counts = threading.Barrier(settings.threads + 1), [0] * settings.threads
    end = float("inf")

    def work(thread: int) -> None:
        embedder, experts = extractor.open(), ExpertCache(store)
        for number in itertools.count(thread, settings.threads):
            picture = decode_image(bodies[number % len(bodies)], name="", max_pixels=10**8)
            patches_HWD = embedder.embed(resize(picture, judge.image_size))
            plan = judge.plan(patches_HWD.mean(axis=(0, 1)))
            finding = judge.finding(plan, [experts.patch_scores(ask.digests, patches_HWD) for ask in plan.asks])
            json.dumps([finding.score, finding.p_value, finding.verdict, finding.category])
            if number == thread:  # the first one is slow
                barrier.wait()
                continue
            if time.perf_counter() > end:
                return
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(settings.threads)]
    with threadpool_limits(1):
        for thread in threads:
            thread.start()
        barrier.wait()
        began = time.perf_counter()
        end = began + seconds
        for thread in threads:
            thread.join()
    return sum(counts) / (time.perf_counter() - began)
