"""`labctl watch`, and what it reads of a run that another process conducts."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from labctl.cli.root import with_values
from labctl.cli.watch import curve, page
from labctl.events import (
    AttemptInterrupted,
    Event,
    GuestSeen,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.lab.fake import Script
from labctl.monitoring import livefile
from labctl.monitoring.following import Follower
from labctl.monitoring.livefile import LiveFile, read_live
from labctl.results import layout, load_run
from tests import synthetic
from tests.fakes import Session, Told, campaign
from tests.unit.test_cli import Said


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """live.json is written at each event."""
    monkeypatch.setattr(livefile, "PERIOD_S", 0.0)


# --- the curve ---


@given(st.lists(st.floats(-1e12, 1e12), max_size=60), st.integers(1, 50))
def test_a_curve_is_as_long_as_its_values_and_no_wider_than_asked(
    values: list[float], width: int
) -> None:
    drawn = curve(values, width)
    assert len(drawn) == min(len(values), width)
    assert set(drawn) <= set("▁▂▃▄▅▆▇█")
    newest = values[-width:]
    if newest and max(newest) > 0:
        assert drawn[newest.index(max(newest))] == "█"


def test_a_curve_begins_at_zero() -> None:
    assert curve([0, 1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇██"
    assert curve([100, 100]) == "██"
    assert curve([0, 0]) == "▁▁"


# --- live.json ---


def test_what_runs_now_can_be_read_by_others_and_is_gone_in_the_end(
    tmp_path: Path, often: None
) -> None:
    told = LiveFile()
    progress = Progress(1, "active", 1, 2**20, 2, 3.0, 4.0, 5.0, 6)
    for event in (
        RunStarted(tmp_path, "run", 2, 0, 1.0, ("a-b", "c-d"), "lab"),
        TrialStarted(1, "0001-precopy", "a-b", 1, False, 1.0, 1.0),
        TrialStarted(2, "0002-precopy", "c-d", 1, False, 1.0, 1.0),
        StateEntered(1, "precopy", 0),
        progress,
        GuestSeen(1, 10.0, None),
        GuestSeen(1, 20.0, 0.5),
        GuestSeen(7, 1.0, None),  # of no trial that was told of
    ):
        told.handle(event)
    now = read_live(tmp_path)
    assert set(now) == {1, 2}
    assert (now[1].phase, now[1].progress, now[1].guest) == (
        "precopy",
        progress,
        GuestSeen(1, 20.0, 0.5),
    )
    assert (list(now[1].work_bytes_per_s), list(now[1].remaining_bytes)) == ([10.0, 20.0], [2**20])
    told.handle(TrialEnded(1, "0001-precopy", "completed", None, None, False, 1.0))
    told.handle(AttemptInterrupted(2, "0002-precopy", 1, "gone"))
    assert read_live(tmp_path) == {}
    assert (tmp_path / layout.LIVE).exists()
    told.handle(RunEnded({}, 0, False, 0.0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"trials": {"x": 1}}', '{"trials": {"1": {}}}'])
def test_a_file_that_says_nothing_useful_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / layout.LIVE).write_text(text)
    assert read_live(tmp_path) == {}


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path, often: None) -> None:
    told = LiveFile()
    told.handle(RunStarted(tmp_path / "none", "run", 2, 0, 1.0, ("a-b",), "lab"))
    told.handle(TrialStarted(1, "0001-precopy", "a-b", 1, False, 1.0, 1.0))
    told.handle(RunEnded({}, 0, False, 0.0))


# --- what is shown ---


def shown(follower: Follower) -> str:
    text = io.StringIO()
    Console(file=text, width=100, force_terminal=False).print(page(follower))
    return text.getvalue()


def test_a_trial_under_way_is_shown_from_its_directory(tmp_path: Path, often: None) -> None:
    session = Session(tmp_path)
    pages: list[str] = []

    def at(event: Event) -> None:
        if isinstance(event, GuestSeen) and event.number == 2:
            follower = Follower(load_run(session.directory or tmp_path))
            follower.look()
            assert follower.standing.running
            pages.append(shown(follower))

    live = LiveFile()

    class After:
        """Tells live.json what a fake guest does not: its work."""

        def handle(self, event: Event) -> None:
            live.handle(event)
            if isinstance(event, StateEntered) and event.number == 2 and event.state == "settle":
                for number in range(5):
                    live.handle(Progress(2, "active", 0, (5 - number) * 2**20, 3))
                guest = GuestSeen(2, 40 * 2**20, 0.123)
                live.handle(guest)
                at(guest)

    session.run([Script()] * 3, campaign(repetitions="3"), told=Told(), observers=[After()])
    (page,) = pages
    assert "1 of 3 trials" in page
    assert "2  a-b  precopy  settle" in page
    assert "guest writes" in page
    assert "40 MiB/s" in page
    assert "█" in page
    assert "1 MiB, pass 3" in page
    assert "blackout      123 ms" in page
    assert "precopy, tcp" in page
    assert "100 %" in page
    follower = Follower(session.stored)
    follower.look()
    assert not follower.standing.running
    assert "3 of 3 trials" in shown(follower)
    assert follower.now == {}


def test_the_verb_shows_a_run_once_where_there_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(tmp_path / "runs")
    session.run([Script()] * 2, campaign(repetitions="2"))
    monkeypatch.chdir(tmp_path)
    said = Said("watch")
    assert (said.status, said.err) == (0, "")
    assert "2 of 2 trials" in said.out
    assert "done" in said.out
    described = Said("watch", "--json").json()
    assert described["running"] is False
    assert (described["planned"], described["left"], described["trials"]) == (2, 0, [])
    assert described["outcomes"] == [
        {"outcome": "completed", "algorithm": "precopy", "transport": "tcp", "trials": 2}
    ]
    (cell,) = described["cells"]
    assert (cell["algorithm"], cell["trials"], cell["completed_ratio"]) == ("precopy", 2, 1.0)
    gone = Said("watch", "nothing")
    assert gone.status == 2
    assert "nothing" in gone.err


def test_metrics_of_a_stored_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.fake_run(tmp_path / "runs", trials=1)
    monkeypatch.chdir(tmp_path)
    said = Said("metrics", "serve", "--once")
    assert said.status == 0
    assert "# TYPE labctl_run_running gauge" in said.out


# --- --metrics has a value or none ---


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["run", "a.yaml", "--metrics"], ["run", "a.yaml", "--metrics="]),
        (["run", "--metrics", "a.yaml"], ["run", "--metrics=", "a.yaml"]),
        (["run", "--metrics", "9100", "a.yaml"], ["run", "--metrics=9100", "a.yaml"]),
        (["run", "--metrics", "1.2.3.4:9100"], ["run", "--metrics=1.2.3.4:9100"]),
        (["run", "--metrics", "--quick"], ["run", "--metrics=", "--quick"]),
        (["run", "--metrics=:9100", "a.yaml"], ["run", "--metrics=:9100", "a.yaml"]),
        (["metrics", "serve"], ["metrics", "serve"]),
        ([], []),
    ],
)
def test_an_address_behind_metrics_is_its_value(args: list[str], found: list[str]) -> None:
    assert with_values(args) == found
