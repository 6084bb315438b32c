"""How a run is shown while it goes: the time to the end, and what a terminal gets to see."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from labctl.cli.console import live
from labctl.cli.pace import Pace, clock
from labctl.cli.progress import RunProgress
from labctl.events import (
    AttemptInterrupted,
    Notice,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)

CELL = "precopy,write_rate=400MiBps"
LONG = "precopy,write_rate=400MiBps,working_set=128MiB,multifd_channels=4"


class Terminal(io.StringIO):
    """A terminal's screen, as the text that was sent to it."""

    def isatty(self) -> bool:
        return True


def console(*, terminal: bool, width: int = 80, **environment: str) -> tuple[Console, io.StringIO]:
    file = Terminal() if terminal else io.StringIO()
    known = {"TERM": "xterm", **environment}
    return Console(file=file, width=width, _environ=known, markup=False, highlight=False), file


def started(trials: int = 3, estimate_s: float = 30.0) -> RunStarted:
    return RunStarted(Path("runs/r"), "r", trials, 0, estimate_s)


def ended(
    number: int, outcome: str = "completed", cell: str = CELL, **changes: object
) -> TrialEnded:
    known: dict[str, object] = {
        "verdict": None,
        "reason": None,
        "warmup": False,
        "elapsed_s": 12.0,
        "figures": {"total_time_ms": 2345.6, "blackout_ms": 7.25},
    }
    return TrialEnded(number, f"{number:04d}-{cell}", outcome, **{**known, **changes})  # type: ignore[arg-type]


def begin(number: int, cell: str = CELL) -> TrialStarted:
    return TrialStarted(number, f"{number:04d}-{cell}", "a-b", 1, False, 10.0)


def rendered(progress: RunProgress, width: int) -> list[str]:
    """What would be written anew now, line by line, without colours."""
    file = io.StringIO()
    plain = Console(file=file, width=width, _environ={}, markup=False, highlight=False)
    plain.print(progress._render())
    return file.getvalue().splitlines()


def test_plain_lines_where_there_is_no_terminal() -> None:
    shown, file = console(terminal=False)
    with RunProgress(shown, [CELL, "postcopy"]) as progress:
        assert file.getvalue() == ""
        for event in (
            started(),
            begin(1),
            StateEntered(1, "precopy", 1),
            Progress(1, "active", 1, 1, 1),
            ended(1),
            begin(2, "postcopy"),
            AttemptInterrupted(2, "0002-postcopy", 1, "node a was lost"),
            begin(2, "postcopy"),
            ended(2, "invalid_load", "postcopy", reason="too slow", figures={}),
            ended(3, warmup=True),
            Notice("the link is 5 % off"),
            RunEnded({}, 0, False, 1.0),
        ):
            progress.handle(event)
    assert file.getvalue().splitlines() == [
        "runs/r: 3 trials, about 0:30",
        "   1  precopy,write_rate=400MiBps  completed        2.35 s  blackout 7.2 ms",
        "   2  attempt 1 was cut off: node a was lost",
        "   2  postcopy                     invalid load",
        "      too slow",
        "   3  precopy,write_rate=400MiBps  completed        2.35 s  warm-up, left out",
        "note: the link is 5 % off",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("cell", [CELL, LONG])
def test_a_terminal_sees_what_runs_now(cell: str, width: int) -> None:
    shown, file = console(terminal=True, width=width)
    with RunProgress(shown, [cell]) as progress:
        assert rendered(progress, width)[0].startswith("opening the lab")
        progress.handle(started())
        progress.handle(begin(1, cell))
        progress.handle(StateEntered(1, "baseline", 1))
        lines = rendered(progress, width)
        assert "baseline" in lines[0]
        assert "0 of 3 trials" in lines[1]
        assert "3 left, about 0:" in lines[-1] or width < 80
        progress.handle(StateEntered(1, "precopy", 1))
        progress.handle(Progress(1, "active", 48 * 2**20, 16 * 2**20, 3))
        lines = rendered(progress, width)
        assert "precopy pass 3, 48 MiB sent, 16 left" in lines[0] or width < 80
        progress.handle(ended(1, cell=cell))
        assert "1 of 3 trials" in rendered(progress, width)[0]
        assert max(map(len, lines)) <= width
    assert "\x1b[" in file.getvalue()
    assert "blackout 7.2 ms" in file.getvalue()


def test_a_long_cell_is_cut_in_a_terminal_and_nowhere_else() -> None:
    for terminal in (True, False):
        shown, file = console(terminal=terminal)
        with RunProgress(shown, [LONG]) as progress:
            progress.handle(started())
            progress.handle(ended(1, cell=LONG))
        assert (LONG in file.getvalue()) != terminal


def test_no_color_is_honoured() -> None:
    shown, file = console(terminal=True, NO_COLOR="1")
    with RunProgress(shown, [CELL]) as progress:
        progress.handle(started())
        progress.handle(ended(1))
    text = file.getvalue()
    assert "completed" in text
    assert "\x1b[32m" not in text


def test_what_is_no_screen_is_not_written_anew() -> None:
    """A dumb terminal, and a pipe that is told to be coloured."""
    assert live(console(terminal=True)[0])
    assert not live(console(terminal=True, TERM="dumb")[0])
    assert not live(console(terminal=False, FORCE_COLOR="1")[0])


def test_the_time_to_the_end_learns_from_what_was_seen() -> None:
    pace = Pace(estimate_s=100.0)
    assert pace.left_s(0.0) == 100.0
    for number in range(5):
        pace.start(number, "a-b", 10.0, now=20.0 * number)
        pace.end(number, 20.0)
    assert 90.0 < pace.left_s(100.0) < 100.0
    assert pace.share(100.0) == pytest.approx(0.5)
    pace.start(5, "a-b", 10.0, now=100.0)
    before = pace.left_s(100.0)
    assert pace.left_s(110.0) == pytest.approx(before - 10.0)
    pace.cut(5)
    assert pace.left_s(110.0) == pytest.approx(before)


def test_pairs_share_the_time() -> None:
    pace = Pace(estimate_s=40.0)
    pace.start(1, "a-b", 10.0, now=0.0)
    pace.start(2, "c-d", 10.0, now=0.0)
    assert pace.left_s(0.0) == 20.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), min_size=1, max_size=20))
def test_a_run_ends_at_its_end(trials: list[tuple[float, float]]) -> None:
    pace, now = Pace(estimate_s=sum(estimate for estimate, _ in trials)), 0.0
    for number, (estimate, took) in enumerate(trials):
        pace.start(number, "a-b", estimate, now)
        assert 0.0 <= pace.share(now + took) <= 1.0
        assert pace.left_s(now + took) >= 0.0
        now += took
        pace.end(number, took)
    assert pace.left_s(now) == pytest.approx(0.0, abs=1e-6)
    assert pace.share(now) == pytest.approx(1.0) or not pace.estimate_s


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (750, "12:30"), (3723, "1:02:03"), (-1, "0:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
