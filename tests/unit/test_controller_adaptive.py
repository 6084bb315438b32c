"""Adaptive repetitions over fake nodes: a noisy cell goes on and a quiet one does not, however a run is interrupted."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from labctl import api
from labctl.analysis.adaptive import need_more
from labctl.campaign import Campaign, Plan, make_plan
from labctl.controller import Summary
from labctl.errors import PlanChanged, ResultsError
from labctl.events import Event, PlanGrown, RunStarted, StateEntered, TrialEnded, TrialStarted
from labctl.lab.fake import CAPABILITIES, FakeLab, Script, fake_lab
from labctl.results import load_run
from tests.fakes import Session, Told, campaign
from tests.unit.test_controller_resume import CtrlC, as_file, edit

QUIET, NOISY = "precopy", "postcopy"
TIMES = [1400, *[1000] * 100]
"""Of the noisy cell, by block: its median is known to 1 % after nine."""
NEVER = [1000, 1400] * 50
TWO = ("a-b", "c-d")


def adaptive(**changes: Any) -> Campaign:
    until = {"relative_interval": "1%"}
    known: dict[str, Any] = {
        "matrix": {"algorithm": [QUIET, NOISY]},
        "repetitions": {"until": until, "max": changes.pop("max", 20)},
        "seed": "1",
    }
    return campaign(**known | changes)


class Lab(Told):
    """An observer, and the scripts of a lab on which a trial's time is known by its cell and its block."""

    def __init__(
        self,
        times: Sequence[int] = TIMES,
        at: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        super().__init__(at)
        self.times = times
        self.running: dict[str, TrialStarted] = {}
        self.plan: Callable[[], Plan]

    def handle(self, event: Event) -> None:
        if isinstance(event, TrialStarted):
            self.running[event.pair] = event
        super().handle(event)

    def script(self, pair: str) -> Script:
        trial = next(t for t in self.plan().trials if t.number == self.running[pair].number)
        if trial.cell.startswith(NOISY):
            return Script(total_time_ms=self.times[trial.block - 1])
        return Script(total_time_ms=1000)


def run(session: Session, told: Lab, asked: Campaign | None = None, **options: Any) -> Summary:
    """Run what is left of a session's campaign, its decisions made as the API has them made."""
    asked = asked or adaptive()
    rule = asked.adaptive
    assert rule is not None
    told.plan = lambda: session.stored.plan
    if session.directory is not None:
        options.setdefault("plan", session.stored.plan)
    scripts = options.pop("scripts", told.script)
    options.setdefault("unsettled", lambda: need_more(session.stored.frame(), rule))
    return session.run(scripts, asked, told=told, **options)


def counted(session: Session) -> Counter[str]:
    """Trials that have a result, by cell."""
    return Counter(trial.record.cell for trial in session.stored.trials())


# --- what goes on ---


def test_a_noisy_cell_has_more_blocks_and_a_quiet_one_has_not(session: Session) -> None:
    stored: list[bool] = []

    def at(event: Event) -> None:
        if isinstance(event, TrialStarted):
            stored.append(event.number in {t.number for t in session.stored.plan.trials})

    told = Lab(at=at)
    summary = run(session, told)
    assert (summary.exit_code, summary.left) == (0, 0)
    count = counted(session)
    assert count == {QUIET: 6, NOISY: 9}
    assert dict(summary.outcomes) == {"completed": 15}
    assert all(stored), "a block is stored before it begins"
    assert [t.number for t in session.stored.plan.trials] == list(range(1, 16))
    growth = told.of(PlanGrown)
    assert [(event.trials, event.cells, event.blocks) for event in growth] == [
        (1, (NOISY,), (block,)) for block in (7, 8, 9)
    ]
    assert told.of(RunStarted)[0].trials == 12
    each = session.stored.plan.trials[-1].estimate_s
    assert {event.estimate_s for event in growth} == {each}
    kinds = [type(e).__name__ for e in told.events if isinstance(e, PlanGrown | TrialEnded)]
    assert kinds == ["TrialEnded"] * 12 + ["PlanGrown", "TrialEnded"] * 3
    journal = [line for line in session.stored.journal() if line.get("event") == "PlanGrown"]
    assert [line["blocks"] for line in journal] == [[7], [8], [9]]


def test_a_cell_that_never_completes_has_no_more(session: Session) -> None:
    told = Lab()
    never = Script("cancelled")
    summary = run(session, told, scripts=lambda pair: never if NOISY in told.running[pair].name else Script())  # fmt: skip
    assert counted(session) == {QUIET: 6, NOISY: 6}
    assert dict(summary.outcomes) == {"completed": 6, "not_converged": 6}
    assert told.of(PlanGrown) == []


def test_what_is_never_settled_ends_at_max(session: Session) -> None:
    summary = run(session, Lab(NEVER), adaptive(max=8))
    assert counted(session) == {QUIET: 6, NOISY: 8}
    assert (summary.exit_code, summary.left) == (0, 0)


def test_each_pair_that_works_has_a_block_of_its_own(session: Session) -> None:
    told = Lab()
    run(session, told, pairs=TWO)
    assert [event.blocks for event in told.of(PlanGrown)] == [(7, 8), (9, 10)]
    records = [trial.record for trial in session.stored.trials()]
    for first in (7, 9):
        pairs = {record.pair for record in records if record.block in (first, first + 1)}
        assert pairs == set(TWO)
    able = dict.fromkeys(TWO, (CAPABILITIES, CAPABILITIES))
    from_the_start = make_plan(adaptive(repetitions=10), able)
    ways = {(t.cell, t.block): t.direction for t in from_the_start.trials}
    for trial in session.stored.plan.trials:
        if trial.block > 6:
            assert trial.direction == ways[trial.cell, trial.block]


def test_a_twin_is_run_in_each_block_of_its_cell(session: Session) -> None:
    asked = adaptive(noise={"aa": True, "of": {"algorithm": NOISY}})
    run(session, Lab(), asked)
    assert counted(session) == {QUIET: 6, NOISY: 9, f"{NOISY},twin": 9}
    frame = session.stored.frame()
    twins = frame[frame["twin_of"] == NOISY]
    assert list(twins["block"].sort_values()) == list(range(1, 10))
    record = next(t.record for t in session.stored.trials() if t.record.cell == f"{NOISY},twin")
    assert record.spec["twin_of"] == NOISY
    assert record.name.endswith(f"-{NOISY},twin")


# --- what does not ---


def test_what_is_left_out_of_a_run_keeps_its_plan_as_it_is(session: Session) -> None:
    """`--only` runs what stands in the plan; the run that does the rest goes on from there."""
    told = Lab()
    run(session, told, only=NOISY)
    run(session, told, only=QUIET)
    assert counted(session) == {QUIET: 6, NOISY: 6}
    assert told.of(PlanGrown) == []
    run(session, told)
    assert counted(session) == {QUIET: 6, NOISY: 9}


def test_fail_fast_ends_a_run_before_it_grows(session: Session) -> None:
    told = Lab()

    def script(pair: str) -> Script:
        return Script("failed") if told.running[pair].number == 12 else told.script(pair)

    summary = run(session, told, fail_fast=True, scripts=script)
    assert summary.exit_code == 1
    assert told.of(PlanGrown) == []


def test_results_that_cannot_be_read_end_the_run(session: Session) -> None:
    def unsettled() -> list[str]:
        raise ResultsError("is damaged", place="trial.json")

    summary = run(session, Lab(), unsettled=unsettled)
    assert "is damaged" in str(summary.fault)
    assert counted(session) == {QUIET: 6, NOISY: 6}


# --- interrupted, and taken up again ---


def test_a_run_that_was_interrupted_in_a_block_that_was_added_goes_on_with_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And comes to what it would have come to."""
    keys = CtrlC(monkeypatch)

    def at(event: Event) -> None:
        if isinstance(event, StateEntered) and (event.number, event.state) == (14, "setup"):
            keys.press(wait=True)

    summary = run(session, Lab(at=at))
    assert (summary.exit_code, summary.left) == (130, 1)
    assert session.stored.plan.trials[-1].block == 8
    monkeypatch.undo()
    told = Lab()
    again = run(session, told)
    assert (again.exit_code, again.left) == (0, 0)
    assert [event.number for event in told.of(TrialStarted)] == [14, 15]
    assert [event.blocks for event in told.of(PlanGrown)] == [(9,)]
    assert counted(session) == {QUIET: 6, NOISY: 9}


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> Lab:
    """`labctl.api` on fake labs; the observer that it has to be given, whose `plan` is the run's."""
    told = Lab()

    def open_lab(*_arguments: Any, **_named: Any) -> FakeLab:
        return fake_lab(told.script)

    monkeypatch.setattr(api, "open_lab", open_lab)
    return told


def test_a_run_that_was_killed_comes_to_what_it_would_have_come_to(
    tmp_path: Path, labs: Lab, quick: None
) -> None:
    """What `kill -9` leaves is what stands on disk: before a block was added, before it began, in the middle of it."""
    where: list[Path] = []
    left: dict[str, Path] = {}

    def kill(when: str) -> None:
        left[when] = tmp_path / when / "run-20260101T000000Z"
        shutil.copytree(where[0], left[when])

    def at(event: Event) -> None:
        match event:
            case RunStarted():
                where.append(event.directory)
            case TrialEnded(number=12):
                kill("before")
            case PlanGrown(blocks=(7,)):
                kill("added")
            case StateEntered(number=14, state="precopy"):
                kill("begun")
            case _:
                pass

    labs.plan = lambda: load_run(where[-1]).plan
    whole = api.run(as_file(adaptive()), out=tmp_path / "runs", observers=[labs, Told(at)])
    plan = load_run(whole.directory).plan
    assert [trial.block for trial in plan.trials[12:]] == [7, 8, 9]
    stood = {"before": (12, 12), "added": (13, 12), "begun": (14, 13)}
    for when, killed in left.items():
        run = load_run(killed)
        assert (len(run.plan.trials), len(run.trials())) == stood[when]
        where.append(killed)
        again = api.resume(killed, observers=[labs])
        assert (again.exit_code, dict(again.summary.outcomes)) == (0, {"completed": 15})
        assert load_run(killed).plan == plan
    assert list(left) == list(stood)

    killed = left["begun"]
    api.resume(killed)
    assert len(load_run(killed).trials()) == 15, "and then it is over"
    edit(killed, "max: 20", "max: 21")
    api.resume(killed)
    assert load_run(killed).plan == plan, "a limit that was not met changes nothing"
    edit(killed, "algorithm: [precopy, postcopy]", "algorithm: [precopy, hybrid]")
    with pytest.raises(PlanChanged, match="cell hybrid is new"):
        api.resume(killed)
