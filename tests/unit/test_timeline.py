import pytest

pytest.importorskip("ray")

from eagleray.continual import silent
from eagleray.distributed import timeline as module
from eagleray.distributed.timeline import Timeline
from eagleray.distributed.trace_events import job_events
from eagleray.errors import ResultsError
from tests.trace import nested, parents, read_trace

JOB, OTHER = "02000000", "01000000"


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 5.0

        def wait(self, seconds):
            self.now += seconds

    made = Clock()
    monkeypatch.setattr(module, "perf_counter", lambda: made.now)
    monkeypatch.setattr(module, "time", lambda: 1_000_000.0)
    return made


def test_stages_lie_in_each_other_and_their_times_add_up(clock, tmp_path):
    timeline = Timeline("job", wanted=True)
    progress = timeline.watch(silent)
    with timeline.stage("read"):
        clock.wait(1)
    with timeline.stage("stream"):
        for name, seconds in (("learn bolt", 2), ("learn nut", 3)):
            with progress(name, 7) as advance:
                advance(7)
                clock.wait(seconds)
    timeline.write(tmp_path)
    trace = read_trace(tmp_path / "timeline.json")
    assert list(trace.rows) == [("driver", "stages")]
    found = parents(trace.rows["driver", "stages"])
    told = [(event["name"], event["dur"] / 1e6, outer and outer["name"]) for event, outer in found]
    assert told == [
        ("job", 6, None),
        ("read", 1, "job"),
        ("stream", 5, "job"),
        ("learn bolt", 2, "stream"),
        ("learn nut", 3, "stream"),
    ]
    assert [event["ts"] / 1e6 - 1_000_000 for event, _ in found] == [0, 0, 1, 1, 3]
    assert found[-1][0]["args"] == {"pictures": 7}


def test_without_the_flag_there_is_no_file(tmp_path):
    timeline = Timeline("job", wanted=False)
    with timeline.stage("read"):
        pass
    timeline.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_told_in_one_line(tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ResultsError, match=r"timeline\.json: cannot be written"):
        Timeline("job", wanted=True).write(tmp_path / "out")


def ray_event(cat, row, start, lasts, task=None, node="10.0.0.1"):
    """As `ray.timeline` gives them."""
    about = {"name": cat, "task_id": task} if task else {}
    return {"cat": cat, "name": cat, "ph": "X", "cname": "good", "pid": node, "tid": row, "args": about} | {
        "ts": start,
        "dur": lasts,
    }


def test_a_job_gets_its_own_workers_each_in_a_row_under_its_name():
    events = [
        ray_event("submit_task", f"driver:{JOB}ffff", 1, 1),
        ray_event("submit_task", f"driver:{OTHER}ffff", 1, 1),
        ray_event("task::EmbedWorker.embed", "worker:a", 30, 9, f"aa{JOB}"),
        ray_event("task:execute", "worker:a", 31, 5),
        ray_event("task::embed-10:EmbedWorker.__init__", "worker:a", 10, 9, f"ab{JOB}"),
        ray_event("task::embed-2:EmbedWorker.__init__", "worker:b", 11, 9, f"ac{JOB}", node="10.0.0.2"),
        ray_event("task::embed-9:EmbedWorker.__init__", "worker:c", 12, 9, f"ad{JOB}"),
        ray_event("task::Trial.__init__", "worker:d", 13, 9, f"ae{JOB}"),
        ray_event("task::Trial.__init__", "worker:e", 14, 9, f"af{JOB}"),
        ray_event("task::score_images", "worker:f", 15, 9, f"ba{JOB}"),
        ray_event("task::embed-0:EmbedWorker.__init__", "worker:g", 16, 9, f"bb{OTHER}"),
        ray_event("task:execute", "worker:g", 17, 5),
    ]
    found = job_events(events, JOB)
    titles = {(e["pid"], e["tid"]): e["args"]["name"] for e in found if e["name"] in ("process_name", "thread_name")}
    rows = {titles[e["pid"], e["tid"]]: [] for e in found if e["ph"] == "X" and e["pid"] > 1}
    for event in found:
        if event["ph"] == "X" and event["pid"] > 1:
            rows[titles[event["pid"], event["tid"]]].append((event["cat"], event["name"], event["ts"], event["dur"]))
    assert titles[2, 0] == "node 10.0.0.1"
    assert titles[3, 0] == "node 10.0.0.2"
    assert [titles[2, row] for row in range(1, 6)] == ["embed-9", "embed-10", "tasks 0", "Trial 0", "Trial 1"]
    assert set(rows) == {"Trial 0", "Trial 1", "embed-2", "embed-9", "embed-10", "tasks 0"}
    assert rows["embed-10"] == [
        ("task", "embed-10:EmbedWorker.__init__", 10, 9),
        ("task", "EmbedWorker.embed", 30, 9),
        ("part", "execute", 31, 5),
    ]
    assert rows["tasks 0"] == [("task", "score_images", 15, 9)]
    assert [(e["name"], e["tid"]) for e in found if e["pid"] == 1] == [("submit_task", 2)]


def test_nesting_is_told_from_overlap():
    event = {"name": "a", "ts": 10.0, "dur": 5.0}
    assert nested([event, {**event, "ts": 11.0, "dur": 4.0}, {**event, "ts": 15.0}])
    assert not nested([event, {**event, "ts": 14.0}])
