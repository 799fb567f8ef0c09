"""Work on many threads whose results come out in the order of the items, however many items there are."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2
"""Items taken and not given out yet, for each worker: enough that one slow item leaves the others busy for a while."""


def in_order(work: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """Give out `work(item)` of every item in the order of the items, from at most `workers` threads.

    Items are taken only as results are given out, so memory does not grow with their number. An error of `work` comes
    out in its place and ends it all. Where the results are not read to the end, items not begun are dropped, and what
    is under way ends by itself: the threads are daemons, because those of the standard executor keep a program that
    was interrupted waiting for their last answer.
    """
    tasks: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    window: deque[Future[R]] = deque()
    threads = 0
    try:
        for item in items:
            window.append(Future())
            tasks.put((window[-1], item))
            if threads < workers:
                Thread(target=_run, args=(work, tasks), daemon=True).start()
                threads += 1
            if len(window) == _AHEAD * workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        for future in window:
            future.cancel()
        for _ in range(threads):
            tasks.put(None)


def _run(work: Callable[[T], R], tasks: "SimpleQueue[tuple[Future[R], T] | None]") -> None:
    while (task := tasks.get()) is not None:
        future, item = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work(item))
        except BaseException as error:  # whatever it is, it belongs to the reader of the results
            future.set_exception(error)
