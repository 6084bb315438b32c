"""How a run is shown while it goes: the time to the end, and what a terminal gets to see."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from labctl.cli.console import live
from labctl.cli.progress import RunProgress
from labctl.events import (
    AttemptInterrupted,
    Notice,
    PairReturned,
    PairSetAside,
    PlanGrown,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.monitoring.pace import Pace, clock

CELL = "precopy,write_rate=400MiBps"
LONG = "precopy,write_rate=400MiBps,working_set=128MiB,multifd_channels=4"


class Terminal(io.StringIO):
    """A terminal's screen, as the text that was sent to it."""

    def isatty(self) -> bool:
        return True


def console(
    *, terminal: bool, width: int = 80, height: int = 25, **environment: str
) -> tuple[Console, io.StringIO]:
    file = Terminal() if terminal else io.StringIO()
    known = {"TERM": "xterm", **environment}
    shown = Console(
        file=file, width=width, height=height, _environ=known, markup=False, highlight=False
    )
    return shown, file


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


def test_a_plan_that_grows_has_more_trials_and_takes_longer() -> None:
    shown, file = console(terminal=True)
    with RunProgress(shown, [CELL]) as progress:
        progress.handle(started(trials=1, estimate_s=10.0))
        progress.handle(begin(1))
        progress.handle(ended(1, elapsed_s=10.0))
        assert "1 of 1 trials" in rendered(progress, 80)[-1]
        progress.handle(PlanGrown(2, (CELL, "postcopy"), (7,), 20.0))
        assert "1 of 3 trials" in rendered(progress, 80)[-1]
        assert "2 left, about 0:20" in rendered(progress, 80)[-1]
        assert progress._pace.share(0.0) == pytest.approx(1 / 3)
        progress.handle(PlanGrown(1, (CELL,), (8,), 10.0))
        assert "1 of 4 trials" in rendered(progress, 80)[-1]
    assert "note: 2 cells go on: 2 trials more, about 0:20" in file.getvalue()
    assert "note: 1 cell goes on: 1 trial more, about 0:10" in file.getvalue()


def two_pairs(progress: RunProgress) -> None:
    """Two trials run, on pairs of a lab that has 20."""
    pairs = tuple(f"rack{number}" for number in range(20))
    progress.handle(RunStarted(Path("runs/r"), "r", 3, 0, 30.0, pairs))
    progress.handle(TrialStarted(1, f"0001-{CELL}", "rack9", 1, False, 10.0, 30.0))
    progress.handle(TrialStarted(2, "0002-postcopy", "rack10", 1, False, 10.0, 30.0))


def test_lines_of_several_pairs_name_them() -> None:
    shown, file = console(terminal=False)
    with RunProgress(shown, [CELL, "postcopy"]) as progress:
        two_pairs(progress)
        for event in (
            AttemptInterrupted(2, "0002-postcopy", 1, "node a was lost"),
            PairSetAside("rack10", ("k", "l"), "host k: no route to it", "switch it on", 19),
            ended(1),
            PairReturned("rack10"),
            PairSetAside("rack9", ("i", "j"), "host i: no route to it", None, 0),
        ):
            progress.handle(event)
    assert file.getvalue().splitlines() == [
        "runs/r: 3 trials on 20 pairs, about 0:30",
        "   2  rack10  attempt 1 was cut off: node a was lost",
        "note: pair rack10 is set aside, 19 go on: host k: no route to it",
        "      mend: switch it on",
        "   1  rack9   precopy,write_rate=400MiBps  completed        2.35 s  blackout 7.2 ms",
        "note: pair rack10 works again",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_sees_each_pairs_trial(width: int) -> None:
    shown, _ = console(terminal=True, width=width)
    with RunProgress(shown, [CELL, "postcopy"]) as progress:
        two_pairs(progress)
        progress.handle(StateEntered(2, "fill", 1))
        lines = rendered(progress, width)
        assert lines[0].startswith("   2  rack10  postcopy")
        assert lines[1].startswith("   1  rack9   precopy,")
        assert "fill" in lines[0] or width < 80
        assert "0 of 3 trials" in lines[2]
        assert max(map(len, lines)) <= width


def test_what_does_not_fit_on_the_screen_is_counted() -> None:
    shown, _ = console(terminal=True, height=10)
    with RunProgress(shown, [CELL]) as progress:
        two_pairs(progress)
        for number in range(3, 21):
            progress.handle(TrialStarted(number, f"{number:04d}-{CELL}", "x", 1, False, 1.0, 1.0))
        lines = rendered(progress, 80)
    assert len(lines) == 9
    assert lines[7] == "      and 13 more trials"
    assert "0 of 3 trials" in lines[8]


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
        pace.start(number, 10.0, left_s=100.0 - 10 * number, now=20.0 * number)
        pace.end(number, 20.0, left_s=90.0 - 10 * number, now=20.0 * (number + 1))
    assert 90.0 < pace.left_s(100.0) < 100.0
    assert pace.share(100.0) == pytest.approx(0.5)
    pace.start(5, 10.0, left_s=50.0, now=100.0)
    before = pace.left_s(100.0)
    assert pace.left_s(110.0) == pytest.approx(before - 10.0)
    pace.cut(5, now=110.0)
    assert pace.left_s(110.0) == pytest.approx(before)


def test_a_trial_that_takes_longer_leaves_the_others_their_time() -> None:
    pace = Pace(estimate_s=40.0)
    pace.start(1, 10.0, left_s=40.0, now=0.0)
    assert pace.left_s(500.0) == 30.0


def test_pairs_share_the_time() -> None:
    """What is left is what the controller says: only it knows who has which block."""
    pace = Pace(estimate_s=30.0)
    pace.start(1, 10.0, left_s=30.0, now=0.0)
    pace.start(2, 10.0, left_s=30.0, now=0.0)
    assert pace.left_s(6.0) == 24.0
    pace.end(1, 10.0, left_s=20.0, now=10.0)
    pace.start(3, 10.0, left_s=20.0, now=10.0)
    assert pace.left_s(10.0) == 20.0
    assert pace.share(10.0) == pytest.approx(1 / 3)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), min_size=1, max_size=20))
def test_a_run_ends_at_its_end(trials: list[tuple[float, float]]) -> None:
    left = [estimate for estimate, _ in trials]
    pace, now = Pace(estimate_s=sum(left)), 0.0
    for number, (estimate, took) in enumerate(trials):
        pace.start(number, estimate, sum(left[number:]), now)
        assert 0.0 <= pace.share(now + took) <= 1.0
        assert pace.left_s(now + took) >= 0.0
        now += took
        pace.end(number, took, sum(left[number + 1 :]), now)
    assert pace.left_s(now) == pytest.approx(0.0, abs=1e-6)
    assert pace.share(now) == pytest.approx(1.0) or not pace.estimate_s


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (750, "12:30"), (3723, "1:02:03"), (-1, "0:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
