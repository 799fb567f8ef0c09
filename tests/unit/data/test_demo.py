import os

import pytest

from eagleray.data.demo import data_or_demo


def write(folder):
    folder.mkdir(parents=True)  # fails where something is left, as the generators do
    (folder / "a.png").write_bytes(b"whole")


def test_a_folder_of_the_users_is_taken_as_it_is(tmp_path):
    assert data_or_demo(tmp_path / "mine", tmp_path / "out", write) == tmp_path / "mine"
    assert not (tmp_path / "out").exists()


def test_data_are_written_once_and_nothing_else_is_left(tmp_path):
    calls = []
    for _ in range(2):
        root = data_or_demo(None, tmp_path / "out", lambda folder: calls.append(folder) or write(folder))
    assert root == tmp_path / "out/data"
    assert [path.name for path in root.parent.iterdir()] == ["data"]
    assert len(calls) == 1


def test_what_a_killed_run_of_the_same_process_number_left_stops_nobody(tmp_path):
    (tmp_path / f".data.{os.getpid()}").mkdir()
    root = data_or_demo(None, tmp_path, write)
    assert (root / "a.png").read_bytes() == b"whole"


def test_other_users_may_read_the_data(tmp_path):
    expected = tmp_path / "usual"
    expected.mkdir()
    assert data_or_demo(None, tmp_path / "out", write).stat().st_mode == expected.stat().st_mode


def test_a_run_that_fails_in_the_midst_leaves_no_half(tmp_path):
    def fail(folder):
        write(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        data_or_demo(None, tmp_path / "out", fail)
    assert not any((tmp_path / "out").iterdir())
