"""Reads a timeline as its viewers do."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]


@dataclass(frozen=True)
class Trace:
    """Complete events by their process and row, both under the titles that a viewer shows."""

    rows: dict[tuple[str, str], list[Event]]

    def names(self, process: str, row: str) -> set[str]:
        return {event["name"] for event in self.rows[process, row]}

    def workers(self) -> set[str]:
        """Rows of all nodes."""
        return {row for process, row in self.rows if process.startswith("node ")}

    def row(self, name: str) -> list[Event]:
        """What one worker did; its name stands there once."""
        (events,) = (events for (_, row), events in self.rows.items() if row == name)
        return events


def read_trace(path: Path) -> Trace:
    """Check a file against what the format asks for, and give what is in it."""
    events = json.loads(path.read_text())["traceEvents"]
    titles: dict[str, dict[Any, str]] = {"process_name": {}, "thread_name": {}}
    rows: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        assert type(event["pid"]) is type(event["tid"]) is int, event
        assert event["ph"] in ("M", "X")
        if event["ph"] == "M" and event["name"] in titles:
            place = (event["pid"], event["tid"]) if event["name"] == "thread_name" else event["pid"]
            assert titles[event["name"]].setdefault(place, event["args"]["name"]) == event["args"]["name"]
    for event in events:
        if event["ph"] == "X":
            assert isinstance(event["name"], str)
            assert event["ts"] > 0
            assert event["dur"] >= 0
            place = titles["process_name"][event["pid"]], titles["thread_name"][event["pid"], event["tid"]]
            rows[place].append(event)
    assert all(nested(events) for events in rows.values())
    return Trace(rows)


def parents(events: list[Event]) -> list[tuple[Event, Event | None]]:
    """Each event, in order of time, with the one that it lies in."""
    found, around = [], []
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        while around and event["ts"] >= around[-1]["ts"] + around[-1]["dur"] - 0.5:  # times have a quarter of a µs
            around.pop()
        found.append((event, around[-1] if around else None))
        around.append(event)
    return found


def nested(events: list[Event]) -> bool:
    """Whether events of a row lie beside or inside each other, as viewers need it."""
    ends = ((event["ts"] + event["dur"], outer) for event, outer in parents(events))
    return all(outer is None or end <= outer["ts"] + outer["dur"] + 0.5 for end, outer in ends)
