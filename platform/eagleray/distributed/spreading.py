"""Spreads pieces of work over actors, of which any may die with its node."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray

from eagleray.errors import EagleRayError

IN_FLIGHT = 2
"""Pieces queued at one worker: enough to never wait for the driver, few enough to bound memory."""
RETRIES = 5
"""How often one piece of work is done again. Not for ever: what kills every worker that touches it has to surface."""

Part = TypeVar("Part")


def spread(
    workers: Sequence[Any],
    parts: Sequence[Part],
    submit: Callable[[Any, Part, int], Any],
    call: Callable[[Any], Any],
) -> Iterator[tuple[int, Any]]:
    """Give each part to the least busy of the workers that answer, a few at a time; yields as they finish.

    A worker whose node died may find no room on the others, ever: what it had in hand goes to those that answer. One
    that cannot be made, say because its node lacks a file, is done without while there are others.

    Args:
        workers: actors that are restarted, but whose tasks are not retried.
        parts: pieces of work, each a function of its arguments alone.
        submit: has a worker do a part, of which it is told the number; returns the reference to wait for.
        call: asks a worker for anything; the reference it returns resolves once the worker is there, restarted or not.

    Yields:
        The number of a part and what came of it.

    Raises:
        EagleRayError: raised by a piece of work.
        RayActorError: no worker could be made, or a piece of work killed all that touched it.
    """
    called = {call(worker): at for at, worker in enumerate(workers)}
    load: dict[int, int] = {}
    pending: dict[Any, tuple[int, int]] = {}
    todo, failures = deque(range(len(parts))), Counter[int]()
    while todo or pending:
        while todo and load and min(load.values()) < IN_FLIGHT:
            at, number = min(load, key=load.__getitem__), todo.popleft()
            pending[submit(workers[at], parts[number], number)] = (number, at)
            load[at] += 1
        (done, *_), _ = ray.wait([*pending, *called], num_returns=1)
        if done in called:
            at = called.pop(done)
            try:
                ray.get(done)
            except ray.exceptions.RayActorError:
                if not called and not load:
                    raise
            else:
                load[at] = 0
            continue
        number, at = pending.pop(done)
        if at in load:
            load[at] -= 1
        try:
            result = result_of(done)
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            failures[number] += 1
            if failures[number] > RETRIES:
                raise
            todo.appendleft(number)
            if isinstance(error, ray.exceptions.RayActorError) and load.pop(at, None) is not None:
                called[call(workers[at])] = at
            continue
        yield number, result


def result_of(ref: Any) -> Any:
    """What a piece of work returned; its own error, not Ray's wrapping of it with the worker's traceback."""
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EagleRayError):
            raise error.cause from error
        raise
