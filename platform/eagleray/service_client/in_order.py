"""Work on many threads whose results come out in the order of the items, however many items there are."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_HEARS_S = 0.5
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
                yield _result(window.popleft())
        while window:
            yield _result(window.popleft())
    finally:
        for future in window:
            future.cancel()
        for _ in range(threads):
            tasks.put(None)


def _result(future: Future[R]) -> R:
    """What came of it, in a wait that hears Ctrl-C.

    A signal that arrives just before a thread begins to wait is not acted on until the wait is over: Python only notes
    it, and the system call that follows knows nothing of it.
    """
    while not future.done():
        wait([future], timeout=_HEARS_S)
    return future.result()


def _run(work: Callable[[T], R], tasks: "SimpleQueue[tuple[Future[R], T] | None]") -> None:
    while (task := tasks.get()) is not None:
        future, item = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work(item))
        except BaseException as error:  # whatever it is, it belongs to the reader of the results
            future.set_exception(error)
