"""Chrome's trace events: complete ones, the titles of their rows, and those that Ray gives made over to one job's."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Event = dict[str, Any]

DRIVER = 1
"""Number of the driver among the processes; the nodes come after it."""
_CALLS = 2
"""The driver's second row: its calls of Ray. The first one is for its stages."""
_MADE = re.compile(r"task::(?:(?P<name>[^:]+):)?(?P<kind>[^:]+)\.__init__$")
"""How Ray calls the making of an actor, with the actor's name where it has one."""


def complete(
    name: str, kind: str, process: int, row: int, start_us: float, duration_us: float, about: Mapping[str, Any]
) -> Event:
    """Something that took its time; `about` is shown beside it. Times are in microseconds, starts since 1970."""
    times = {"ts": start_us, "dur": duration_us}
    return {"name": name, "cat": kind, "ph": "X", "pid": process, "tid": row, **times, "args": dict(about)}


def titles(process: int, title: str, rows: Sequence[str]) -> list[Event]:
    """What a process and its rows are called; rows are numbered from 1, and shown in this order."""
    found = [
        _about("process_name", process, 0, name=title),
        _about("process_sort_index", process, 0, sort_index=process),
    ]
    for row, name in enumerate(rows, 1):
        found.append(_about("thread_name", process, row, name=name))
        found.append(_about("thread_sort_index", process, row, sort_index=row))
    return found


def job_events(events: Iterable[Mapping[str, Any]], job: str) -> list[Event]:
    """What one job did of all that Ray knows of: the driver's calls, and a row for each worker under its name.

    Args:
        events: as `ray.timeline` gives them, of all jobs. It tells rows apart by texts, which Perfetto does not take.
        job: Ray's number of the job; numbers of tasks end in it.
    """
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        rows.setdefault((event["pid"], event["tid"]), []).append(event)
    found: list[Event] = []
    nodes: dict[str, list[list[Mapping[str, Any]]]] = {}
    for (node, row), theirs in rows.items():
        if row.startswith(f"driver:{job}"):
            found += [_plain(event, DRIVER, _CALLS) for event in theirs]
        elif any(event["args"].get("task_id", "").endswith(job) for event in theirs):
            nodes.setdefault(node, []).append(sorted(theirs, key=lambda event: event["ts"]))
    for process, node in enumerate(sorted(nodes), DRIVER + 1):
        workers = sorted(zip(_names(nodes[node]), nodes[node], strict=True), key=lambda worker: _order(worker[0]))
        found += titles(process, f"node {node}", [name for name, _ in workers])
        for number, (_, theirs) in enumerate(workers, 1):
            found += [_plain(event, process, number) for event in theirs]
    return found


def _names(workers: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Each worker's name; those that have none are called by their class and counted."""
    seen: Counter[str] = Counter()
    for events in workers:
        made = next(filter(None, (_MADE.match(event["cat"]) for event in events)), None)
        kind = made["kind"] if made else "tasks"
        yield (made and made["name"]) or f"{kind} {seen[kind]}"
        seen[kind] += 1


def _order(name: str) -> tuple[bool, list[Any]]:
    """Sorts names of ours, which are lower case, before classes, and embed-2 before embed-10."""
    return name[0].isupper(), [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _plain(event: Mapping[str, Any], process: int, row: int) -> Event:
    """The same event in a numbered row. Ray writes task::NAME of a task, and task:PART of what it consists of."""
    kind, name = ("task", event["cat"][6:]) if event["cat"].startswith("task::") else ("part", event["cat"])
    about = {key: value for key, value in event["args"].items() if key != "name"}
    return complete(name.removeprefix("task:"), kind, process, row, event["ts"], event["dur"], about)


def _about(what: str, process: int, row: int, **args: Any) -> Event:
    return {"name": what, "ph": "M", "pid": process, "tid": row, "args": args}
