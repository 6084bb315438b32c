"""Runs that were interrupted or changed, and are taken up again."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from labctl import api
from labctl.campaign import Campaign
from labctl.controller import Controller, Summary
from labctl.controller import run as controller_run
from labctl.controller.run import MAX_ATTEMPTS
from labctl.errors import InputError, PlanChanged
from labctl.events import (
    Event,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialStarted,
)
from labctl.lab.fake import FakeLab, Script, fake_lab
from labctl.results import load_run
from tests.fakes import Session, Told, campaign, times

# --- interrupted, and taken up again ---


class CtrlC:
    """Makes a KeyboardInterrupt arrive where the main thread waits for the pairs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pressed = threading.Event()
        self._stopping = threading.Event()
        self._join = controller_run._join
        monkeypatch.setattr(controller_run, "_join", self._joined)

    def press(self, *, wait: bool = False) -> None:
        """Press it; and wait until the controller stops."""
        self._pressed.set()
        assert not wait or self._stopping.wait(20)

    def _joined(self, workers: Any, timeout_s: float | None = None) -> None:
        if not self._pressed.is_set():
            assert self._pressed.wait(20)
            raise KeyboardInterrupt
        self._stopping.set()
        self._join(workers, timeout_s)


@pytest.mark.parametrize(
    "script",
    [Script(), Script(ignore="source:schedule.run")],
    ids=["between two waits", "in a long request"],
)
def test_ctrl_c_leaves_a_run_that_can_be_resumed(
    session: Session, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    keys = CtrlC(monkeypatch)
    asked = campaign(repetitions="4")

    def at(event: Event) -> None:
        if isinstance(event, StateEntered) and (event.number, event.state) == (2, "setup"):
            keys.press(wait=script == Script())

    summary = session.run([Script(), script], asked, told=Told(at))
    assert (summary.exit_code, summary.interrupted, summary.left) == (130, True, 3)
    assert summary.fault is None
    run = session.stored
    assert [t.record.number for t in run.trials()] == [1]
    (attempt,) = run.attempts(2)
    assert attempt.record.outcome == "interrupted"
    assert session.told.of(RunEnded)[0].interrupted

    before = {t.path: (t.path / "trial.json").read_bytes() for t in run.trials()}
    monkeypatch.undo()
    again = session.run(asked=asked)
    assert (again.exit_code, dict(again.outcomes), again.left) == (0, {"completed": 4}, 0)
    assert [t.record.number for t in session.stored.trials()] == [1, 2, 3, 4]
    assert {path: (path / "trial.json").read_bytes() for path in before} == before
    assert [t.attempt for t in session.told.of(TrialStarted)] == [2, 1, 1]
    assert session.told.of(RunStarted)[0].done == 1


def test_an_interrupted_last_attempt_is_not_given_up(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = CtrlC(monkeypatch)

    def at(event: Event) -> None:
        if isinstance(event, StateEntered) and event.state == "precopy":
            keys.press()

    lost = times(MAX_ATTEMPTS - 1, Script(lose="observer:observe.wait"))
    session.run([*lost, Script(ignore="source:schedule.run")], told=Told(at))
    assert not session.stored.trials()
    assert len(session.stored.attempts(1)) == MAX_ATTEMPTS


def test_a_resumed_run_tells_of_failures_before_it(session: Session) -> None:
    asked = campaign(repetitions="2")
    session.run([Script("failed")], asked, only="0001-*")
    summary = session.run(asked=asked)
    assert (summary.exit_code, dict(summary.outcomes)) == (1, {"failed": 1, "completed": 1})


def test_a_finished_run_has_nothing_left_to_do(session: Session) -> None:
    session.run()
    again = session.run()
    assert (again.exit_code, dict(again.outcomes)) == (0, {"completed": 1})
    assert session.told.of(TrialStarted) == []


# --- resume, by the API ---


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch) -> list[FakeLab]:
    """`labctl.api` on fake labs, which are collected here."""
    labs: list[FakeLab] = []

    def open_lab(*_arguments: Any, **_named: Any) -> FakeLab:
        labs.append(fake_lab())
        return labs[-1]

    monkeypatch.setattr(api, "open_lab", open_lab)
    return labs


def test_a_pattern_that_matches_no_trial_of_the_lab_stores_nothing(
    tmp_path: Path, fake_api: list[FakeLab]
) -> None:
    with pytest.raises(InputError, match="no trial that is to be run matches '0099-"):
        api.run(campaign(), out=tmp_path, only="0099-*")
    assert list(tmp_path.iterdir()) == []
    assert all(channel.closed for lab in fake_api for channel in lab.channels)


def test_a_run_goes_on_on_the_lab_that_it_was_begun_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """Results of two labs in one run would pass for one lab's."""
    opened: list[str] = []

    def open_lab(lab: str, *_arguments: Any, **_named: Any) -> FakeLab:
        opened.append(lab)
        return fake_lab()

    monkeypatch.setattr(api, "open_lab", open_lab)
    result = api.run(as_file(campaign(repetitions="3")), lab="far", out=tmp_path, only="0001-*")
    stored = load_run(result.directory)
    assert stored.environment["inventory"] == stored.environment["lab"] == "fake"
    assert stored.campaign.lab == "local"
    api.resume(result.directory, only="0002-*")
    api.resume(result.directory, lab="other")
    assert opened == ["far", "fake", "other"]

    (result.directory / "environment.json").write_text("{}")
    assert load_run(result.directory).lab == "local", "a run of before that was stored"


def as_file(asked: Campaign) -> Campaign:
    """As short as a campaign's file may ask for."""
    timing = {"baseline": "100ms", "settle": "100ms"}
    return Campaign.model_validate({**asked.model_dump(), "timing": timing})


def edit(directory: Path, old: str, new: str) -> None:
    path = directory / "campaign.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_changed_plan_is_refused_or_merged_and_asked_about_once(
    tmp_path: Path, fake_api: list[FakeLab], quick: None
) -> None:
    quick_campaign = as_file(campaign(repetitions="2"))
    result = api.run(quick_campaign, out=tmp_path, only="0001-*")
    assert result.exit_code == 0
    before = (load_run(result.directory).trial(1).path / "trial.json").read_bytes()
    edit(result.directory, "repetitions: 2", "repetitions: 3")

    with pytest.raises(PlanChanged, match="the number of trials was 2 and is 3"):
        api.resume(result.directory)
    assert len(load_run(result.directory).plan.trials) == 2
    assert PlanChanged.exit_code == 2

    accepted = api.resume(result.directory, accept_changed_plan=True, only="0002-*")
    run = load_run(result.directory)
    assert [t.number for t in run.plan.trials] == [1, 2, 3]
    assert any(line.get("event") == "plan-changed" for line in run.journal())
    assert [t.record.number for t in run.trials()] == [1, 2]
    assert accepted.exit_code == 0

    last = api.resume(result.directory)
    run = load_run(result.directory)
    assert [t.record.number for t in run.trials()] == [1, 2, 3]
    assert (run.trial(1).path / "trial.json").read_bytes() == before
    assert (last.exit_code, dict(last.summary.outcomes)) == (0, {"completed": 3})
    assert all(channel.closed for lab in fake_api for channel in lab.channels)


def test_a_finished_trial_that_is_no_longer_wanted_stays_and_is_not_asked_about_again(
    tmp_path: Path, fake_api: list[FakeLab], quick: None
) -> None:
    result = api.run(as_file(campaign(repetitions="2")), out=tmp_path)
    edit(result.directory, "repetitions: 2", "repetitions: 1")
    with pytest.raises(PlanChanged):
        api.resume(result.directory)
    api.resume(result.directory, accept_changed_plan=True)
    api.resume(result.directory)
    run = load_run(result.directory)
    assert [t.record.number for t in run.trials()] == [1, 2]
    assert [t.number for t in run.plan.trials] == [1, 2]


def test_the_number_of_a_trial_that_was_attempted_and_dropped_is_not_used_again(
    tmp_path: Path, fake_api: list[FakeLab], quick: None
) -> None:
    """Else its attempts would pass for those of another trial."""
    result = api.run(as_file(campaign(repetitions="2")), out=tmp_path, only="0001-*")
    first = load_run(result.directory).trial(1).path
    second = load_run(result.directory).plan.trials[1].name
    first.with_name(f"{second}.attempt1").mkdir()
    edit(result.directory, "repetitions: 2", "repetitions: 1")
    api.resume(result.directory, accept_changed_plan=True)
    edit(result.directory, "repetitions: 1", "repetitions: 2")
    api.resume(result.directory, accept_changed_plan=True)
    assert [t.number for t in load_run(result.directory).plan.trials] == [1, 3]


def test_environment_and_plan_are_stored_before_the_first_trial(
    tmp_path: Path, fake_api: list[FakeLab], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_self: Controller) -> Summary:
        raise KeyboardInterrupt

    monkeypatch.setattr(Controller, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        api.run(campaign(), out=tmp_path)
    (directory,) = (p for p in tmp_path.iterdir() if not p.is_symlink())
    assert json.loads((directory / "environment.json").read_text())["lab"] == "fake"
    assert len(load_run(directory).plan.trials) == 1
    assert all(channel.closed for lab in fake_api for channel in lab.channels)
