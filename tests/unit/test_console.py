import errno
import io
import re
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import Literal

import pytest

from eagleray.console import USER_ERROR, parse_flags, progress_bar, run_main
from eagleray.errors import BadImage, ConfigError, EagleRayWarning, UsageError


@dataclass(frozen=True, kw_only=True)
class Part:
    size: int = 3
    """How big."""
    method: Literal["nested", "replay"] = "nested"
    """Which of two ways, in a sentence that is long enough for the help to be wrapped onto several lines."""
    strides: tuple[int, ...] = (8, 16)
    """Where."""

    def __post_init__(self):
        if self.size < 1:
            raise ConfigError("--part.size", "at least 1", self.size)


@dataclass(frozen=True, kw_only=True)
class Job:
    preset: Literal["best", "paper"] = "best"
    """Where the settings start from."""
    seed: int = 0
    """Decides every random choice."""
    resume: bool = False
    """Go on."""
    address: str | None = None
    """Where Ray is."""
    part: Part = field(default_factory=Part)


PRESETS = {"best": Job(), "paper": Job(preset="paper", seed=7, part=Part(size=9))}


def parse(*arguments):
    return parse_flags(PRESETS, arguments, description="A job.")


def test_without_flags_the_first_preset_is_used():
    assert parse() == PRESETS["best"]


@pytest.mark.parametrize("flags", [("--preset", "paper"), ("--preset=paper",)])
def test_a_preset_sets_its_values(flags):
    assert parse(*flags) == PRESETS["paper"]


def test_flags_go_before_the_preset_wherever_they_stand():
    assert parse("--seed", "1", "--preset", "paper", "--part.size", "2") == Job(
        preset="paper", seed=1, part=Part(size=2)
    )


def test_of_two_presets_the_last_counts_wholly():
    assert parse("--preset", "paper", "--preset", "best") == PRESETS["best"]


def test_nested_fields_lists_switches_and_optionals_are_flags():
    job = parse("--part.strides", "4", "8", "--part.method", "replay", "--resume", "--address", "auto")
    assert job == Job(resume=True, address="auto", part=Part(strides=(4, 8), method="replay"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sed", "1"], ["--sed", "meant --seed"]),
        (["--part.sise", "1"], ["--part.sise", "meant --part.size"]),
        (["--zzz"], ["--zzz"]),
        (["stray"], ["stray"]),
        (["--seed", "x"], ["--seed", "'x'"]),
        (["--seed"], ["--seed", "Missing value"]),
        (["--part.method", "foo"], ["--part.method", "'foo'", "'nested', 'replay'"]),
        (["--part.strides", "8", "x"], ["--part.strides", "'x'"]),
        (["--part.size", "0"], ["--part.size must be at least 1, got 0"]),
        (["--preset", "nope"], ["--preset must be one of best, paper, got 'nope'"]),
        (["--preset=nope"], ["--preset must be one of best, paper, got 'nope'"]),
        (["--preset"], ["--preset must be one of best, paper"]),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_is_one_line_that_names_it(flags, words, capsys):
    with pytest.raises((ConfigError, UsageError)) as caught:
        parse(*flags)
    text = str(caught.value)
    assert "\n" not in text
    assert not re.search("[\u2500-\u257f]", text)
    for word in words:
        assert word in text
    assert capsys.readouterr() == ("", "")


def test_what_was_typed_right_is_not_repeated_to_the_user():
    with pytest.raises(UsageError) as caught:
        parse("--seed", "12345", "--sed", "1")
    assert "12345" not in str(caught.value)
    assert str(caught.value).endswith("meant --seed; see --help")


def test_help_names_every_flag_and_ends_well(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert not caught.value.code
    shown = capsys.readouterr().out
    assert "A job." in shown
    for flag in ("--preset", "--seed", "--resume", "--address", "--part.size", "--part.strides"):
        assert flag in shown


@pytest.fixture
def own_warnings():
    with warnings.catch_warnings():  # run_main decides for the whole process
        yield


@pytest.mark.usefixtures("own_warnings")
class TestRunMain:
    def test_a_run_that_ends_well_gives_zero_and_prints_nothing(self, capsys):
        assert run_main(lambda: None) == 0
        assert capsys.readouterr() == ("", "")

    def test_a_mistake_of_the_user_is_one_line_on_stderr_and_exit_code_two(self, capsys):
        def main():
            raise BadImage("/data/a\nb.png", "cannot be read;\n  replace it")

        assert run_main(main) == USER_ERROR == 2
        assert capsys.readouterr() == ("", "error: /data/a b.png: cannot be read; replace it\n")

    def test_a_mistake_of_ours_keeps_its_traceback(self):
        with pytest.raises(ZeroDivisionError):
            run_main(lambda: print(1 / 0))

    @pytest.mark.parametrize(
        ("number", "cure"),
        [
            (errno.ENOSPC, "make room"),
            (errno.EACCES, "permissions"),
            (errno.ENOTDIR, "move it"),
            (errno.ENAMETOOLONG, "a shorter path"),
            (errno.ELOOP, "links lead in a circle"),
        ],
    )
    def test_what_the_system_says_of_a_disk_or_a_path_is_the_users_to_cure(self, number, cure, capsys):
        def main():
            raise OSError(number, "no way", "/out/report.html")

        assert run_main(main) == USER_ERROR
        text = capsys.readouterr().err
        assert text.startswith("error: /out/report.html: no way; ")
        assert cure in text

    def test_any_other_failure_of_the_system_keeps_its_traceback(self):
        def main():
            raise OSError(errno.EBADF, "bad file descriptor")

        with pytest.raises(OSError, match="bad file descriptor"):
            run_main(main)

    def test_ctrl_c_says_how_to_go_on(self, capsys):
        def main():
            raise KeyboardInterrupt

        assert run_main(main) == 130
        assert "--resume" in capsys.readouterr().err

    def test_every_warning_of_ours_is_printed_as_one_line_even_if_it_comes_twice(self, capsys):
        def main():
            for _ in range(2):
                warnings.warn("a.png is skipped", EagleRayWarning, stacklevel=1)

        assert run_main(main) == 0
        assert capsys.readouterr().err == "warning: a.png is skipped\n" * 2

    def test_a_foreign_warning_names_its_kind_and_place(self, capsys):
        def main():
            warnings.simplefilter("always", UserWarning)
            warnings.warn("odd", UserWarning, stacklevel=1)

        run_main(main)
        assert re.match(r"warning: UserWarning: odd \(.*test_console.py:\d+\)\n", capsys.readouterr().err)


def test_away_from_a_terminal_a_bar_is_one_line_when_it_is_done(capsys):
    with progress_bar("learn screw", 10) as advance:
        advance(4)
        assert capsys.readouterr().err == ""
        advance(6)
    assert capsys.readouterr() == ("", "learn screw\n")


def replace_stderr(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return terminal


def test_a_bar_of_nothing_is_not_drawn(monkeypatch):
    terminal = replace_stderr(monkeypatch)
    with progress_bar("test after screw", 0):
        pass
    assert terminal.getvalue() == ""


def test_on_a_terminal_a_bar_shows_count_and_rate(monkeypatch):
    terminal = replace_stderr(monkeypatch)
    with progress_bar("learn screw", 10) as advance:
        advance(4)
        time.sleep(0.01)
        advance(6)
    assert "learn screw" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
    assert re.search(r"\d+/s", terminal.getvalue())


def test_a_bar_lets_an_error_through():
    with pytest.raises(BadImage), progress_bar("learn", 1):
        raise BadImage("a.png", "broken")
