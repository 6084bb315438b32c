"""The controller over fake nodes, everything between them and the results directory real."""

import errno
import itertools
import threading
import time
from typing import Any

import pytest

from labctl.campaign import Campaign, Plan, make_plan
from labctl.controller import Summary, keeping
from labctl.controller import run as controller_run
from labctl.controller.run import MAX_ATTEMPTS
from labctl.controller.telling import Telling
from labctl.errors import LabctlError, LabError, NodeError, NodeLost
from labctl.events import (
    AttemptInterrupted,
    Event,
    Notice,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.lab.fake import CAPABILITIES, Script, fake_lab
from labctl.migration import compile_schedule, setup, states, trial
from labctl.results import RunStore
from labctl.results.files import writing
from tests.fakes import Session, Told, campaign, forward, times

# --- one trial, to each of its ends ---


@pytest.mark.parametrize("kind", ["stop_and_copy", "precopy", "postcopy", "hybrid"])
def test_a_trial_that_completes(session: Session, kind: str) -> None:
    summary = session.run(asked=campaign(algorithm=kind))
    assert (summary.exit_code, dict(summary.outcomes), summary.left) == (0, {"completed": 1}, 0)
    (found,) = session.stored.trials()
    record = found.record
    assert (record.outcome, record.verdict, record.reason) == ("completed", "on_destination", None)
    switched = kind in {"postcopy", "hybrid"}
    states_entered = [s for s in states.TRANSITIONS if s and (s != "postcopy" or switched)]
    assert list(record.times.entered) == states_entered
    assert record.clocks.one_clock
    assert record.not_collected == []
    assert set(record.links["migration"].counters_after) == {"source", "destination"}
    figures = record.figures
    assert isinstance(figures["blackout_ms"], float)
    assert 15 < figures["blackout_ms"] < 200
    assert figures["memory_identical"] is True
    assert figures["switched"] is (True if switched else None)
    assert len(found.beats) > 50
    assert {"migrate", "host"} == set(found.samples["kind"])
    assert {"qmp", "command", "state"} <= {event["kind"] for event in found.events}


ENDS: dict[str, tuple[Script, str, str | None, str]] = {
    "limit": (
        Script("cancelled"), "not_converged", "on_source", "not switched over within the limit",
    ),
    "cancelled by nobody": (
        Script("cancelled", fired=()), "failed", "on_source", "QEMU says cancelled",
    ),
    "QEMU fails": (Script("failed"), "failed", "on_source", "QEMU says failed"),
    "network lost": (
        Script("postcopy-paused"), "failed", "paused_recoverable", "network was lost after the switch",
    ),
    "source's QEMU dies": (Script("qemu-died"), "failed", "lost", "the source's QEMU ended"),
    "hard limit": (Script("hard-limit"), "failed", "on_source", "no end within the hard limit"),
    "load": (Script(load=0.5), "invalid_load", "on_source", "asked for 40 MiB/s, this machine reached 20 MiB/s"),
    "too much load": (Script(load=1.06), "invalid_load", "on_source", "reached 42 MiB/s"),
    "bad page": (Script(pages_bad=1), "failed", "on_destination", "1 pages differ, the first at 0x200000"),
    "work went back": (Script(work_regressed=True), "failed", "on_destination", "work went backwards"),
    "no report": (Script(checks=False), "failed", "on_destination", "memory was not checked"),
    "duplicated": (
        Script(beats_on=("source", "destination")), "failed", "duplicated", "runs on both hosts",
    ),
    "lost": (Script(beats_on=()), "failed", "lost", "beats nowhere"),
    "completed on the source": (
        Script(beats_on=("source",)), "failed", "on_source", "QEMU says completed; the machine runs on the source",
    ),
    "capability not in force": (
        Script(not_in_force=("events",)), "failed", "on_source", "events is False, not True",
    ),
    "refused service": (
        Script(fail={"source:machine.start": ("qemu-died", "no such machine")}),
        "failed", None, "in boot: node a: no such machine",
    ),
    "refused command": (
        Script(fail={"machine.qmp/migrate-incoming": ("qmp", "port in use")}),
        "failed", None, "in setup: node b: port in use",
    ),
    "QEMU ends in the fill": (Script(dies="source"), "failed", None, "its QEMU ended with status 1: out of memory"),
    "link": (Script(fail={"link.shape": ("command", "tc: no")}), "failed", None, "in prepare: node a: tc: no"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_each_end_of_a_trial_is_recorded_and_told(session: Session, name: str) -> None:
    """And never ends the campaign: the trial behind it completes on the same nodes."""
    script, outcome, verdict, reason = ENDS[name]
    started = time.monotonic()
    summary = session.run([script], campaign(repetitions="2"))
    first, second = (found.record for found in session.stored.trials())
    assert (first.outcome, first.verdict) == (outcome, verdict)
    assert reason in (first.reason or "")
    assert first.not_collected == []
    assert second.outcome == "completed"
    assert summary.exit_code == (0 if outcome == "not_converged" else 1)
    told = session.told.of(TrialEnded)
    assert [(t.outcome, t.reason) for t in told] == [(outcome, first.reason), ("completed", None)]
    assert session.labs[0].channels[0].closed
    assert len(session.labs[0].channels) == 3, "nothing was opened anew"
    assert time.monotonic() - started < 5


def test_a_wait_that_runs_out_fails_the_trial_and_its_nodes_are_started_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labctl.lab.waits.ANSWER_GRACE_S", 0.05)
    monkeypatch.setattr("labctl.migration.waits.QMP_S", 0.05)
    scripts = [Script(ignore="source:machine.qmp/migrate-set-parameters")]
    summary = session.run(scripts, campaign(repetitions="2"))
    first, second = (found.record for found in session.stored.trials())
    assert first.outcome == "failed"
    assert "in setup: node a: waiting for machine.qmp took longer" in (first.reason or "")
    assert any("source's events" in text for text in first.not_collected)
    assert second.outcome == "completed"
    assert "its nodes are started again" in session.told.notices
    assert summary.exit_code == 1


def test_a_link_that_deviates_is_told_once_a_setting(session: Session) -> None:
    summary = session.run([Script(link=0.9)], campaign(repetitions="3"))
    told = [n for n in session.told.notices.splitlines() if "the link " in n]
    assert told == [
        "the link of a-b (forward) was measured -10.0% off its 1 Gbit/s",
        "the link of a-b (reverse) was measured -10.0% off its 1 Gbit/s",
    ]
    assert summary.exit_code == 0


def test_a_lossy_link_that_a_stream_does_not_fill_is_no_fault(session: Session) -> None:
    """Its rate is measured before it loses packets; goodput, and what the delay adds, with all that was asked."""
    matrix = {"algorithm": ["precopy"], "loss": ["0%", "1%"], "delay": ["0ms", "10ms"]}
    session.run([], campaign(matrix=matrix))
    assert "the link " not in session.told.notices
    found = {
        (link.loss, link.delay_s): link
        for link in (trial.record.links["migration"] for trial in session.stored.trials())
    }
    assert set(found) == {(0, 0), (0, 0.01), (0.01, 0), (0.01, 0.01)}
    for (loss, delay_s), link in found.items():
        assert link.deviation == pytest.approx(0)
        assert link.goodput_bits_per_s == pytest.approx((0.5 if loss else 1) * 0.94e9)
        added_ms = pytest.approx(2000 * delay_s) if loss or delay_s else None
        assert link.rtt_added_ms == added_ms
        assert link.rtt_idle_ms == pytest.approx(0.1 + 2000 * delay_s)
    rtt_ms = session.stored.frame().groupby("delay", observed=True)["link_rtt_ms"].max()
    assert rtt_ms.to_dict() == {"0s": 0.1, "10ms": pytest.approx(20.1)}
    measured = [asked for asked in session.labs[0].asked if asked.do == "link.measure"]
    assert len(measured) == 2 * 4, "each setting once each way, and the bare one is that of all"
    tried = [asked for asked in session.labs[0].asked if asked.do == "packets.send"]
    assert len(tried) == 2, "and whether packets pass is seen without loss"


def test_a_delay_that_is_not_there_is_told(session: Session) -> None:
    session.run([Script(delay=0.5)], campaign(link={"bandwidth": "1Gbit/s", "delay": "10ms"}))
    told = [n for n in session.told.notices.splitlines() if "the link " in n]
    assert told == [
        f"the link of a-b ({way}) was measured with 10 ms more of a round trip, and not 20 ms"
        for way in ("forward", "reverse")
    ]


def test_a_link_whose_measurement_failed_is_set_and_measured_again(session: Session) -> None:
    session.run([Script(fail={"link.measure": ("link", "no answer")})], campaign(repetitions="2"))
    first, second = (found.record for found in session.stored.trials())
    assert (first.outcome, first.reason) == ("failed", "in prepare: node a: no answer")
    assert second.outcome == "completed"
    assert second.links["migration"].goodput_bits_per_s


# --- nodes that are lost ---

SERVICES = [
    "observer:observe.start",
    "source:machine.start",
    "destination:machine.start",
    "observer:observe.wait",
    "observer:observe.rate",
    "destination:machine.qmp/migrate-incoming",
    "source:sample.start",
    "destination:schedule.arm",
    "source:schedule.run",
    "source:sample.stop",
    "destination:machine.guest",
    "source:sample.take",
    "destination:machine.end",
    "observer:observe.take",
]


@pytest.mark.parametrize("service", SERVICES)
def test_a_trial_whose_node_is_lost_is_repeated(session: Session, service: str) -> None:
    summary = session.run([Script(lose=service)], campaign(repetitions="2"))
    assert (summary.exit_code, dict(summary.outcomes)) == (0, {"completed": 2})
    run = session.stored
    assert [found.record.number for found in run.trials()] == [1, 2]
    (attempt,) = run.attempts(1)
    assert attempt.path.name.endswith(".attempt1")
    assert attempt.record.outcome == "interrupted"
    assert "its agent has ended" in (attempt.record.reason or "")
    assert [t.attempt for t in session.told.of(TrialStarted)] == [1, 2, 1]
    assert [e.number for e in session.told.of(AttemptInterrupted)] == [1]
    assert run.trials()[0].record.attempt == 2
    assert run.attempts(2) == []
    assert len(session.labs[0].channels) == 6, "the pair was opened anew, once"


AWAITED = {
    "the link's measurement": Script(vanishes=("b", "a:link.measure"), ignore="a:link.measure"),
    "the first beat": Script(vanishes=("source", "source:machine.start")),
    "the migration, its destination gone": Script(
        vanishes=("destination", "source:schedule.run"), ignore="source:schedule.run"
    ),
    "the migration, its observer gone": Script(
        vanishes=("observer", "source:schedule.run"), ignore="source:schedule.run"
    ),
}


@pytest.mark.parametrize("what", AWAITED)
def test_nobody_waits_for_what_a_lost_node_would_have_done(session: Session, what: str) -> None:
    """Another one is asked, which does not know, and would wait: with a large memory for minutes."""
    started = time.monotonic()
    summary = session.run([AWAITED[what]])
    assert dict(summary.outcomes) == {"completed": 1}
    (attempt,) = session.stored.attempts(1)
    assert "its agent has ended" in (attempt.record.reason or "")
    assert time.monotonic() - started < 5


def test_what_failed_while_a_node_was_lost_is_repeated_too(session: Session) -> None:
    """A killed agent takes its QEMU along: what the others see of that is no result."""
    summary = session.run([Script(status="failed", lose="source:sample.take")])
    assert dict(summary.outcomes) == {"completed": 1}
    (attempt,) = session.stored.attempts(1)
    assert "its agent has ended" in (attempt.record.reason or "")


def test_a_trial_that_always_loses_its_node_is_given_up(session: Session) -> None:
    lost = Script(lose="source:schedule.run")
    summary = session.run(times(MAX_ATTEMPTS, lost), campaign(repetitions="2"))
    first, second = (found.record for found in session.stored.trials())
    assert first.outcome == "failed"
    assert first.reason == f"given up after {MAX_ATTEMPTS} attempts: node a: its agent has ended"
    assert first.attempt == MAX_ATTEMPTS
    assert len(session.stored.attempts(1)) == MAX_ATTEMPTS - 1
    assert second.outcome == "completed"
    assert (summary.exit_code, summary.left) == (1, 0)


def test_a_pair_that_cannot_be_opened_again_ends_the_run(session: Session) -> None:
    refusal = NodeError("no more memory", code="os", place="node a")
    summary = session.run(
        [Script(), Script(lose="source:schedule.run")],
        campaign(repetitions="3"),
        openings=[None, *[refusal] * (len(keeping.OPENING_PAUSES_S) + 1)],
    )
    assert isinstance(summary.fault, LabError)
    assert "no more memory" in str(summary.fault)
    assert (summary.exit_code, summary.left, dict(summary.outcomes)) == (3, 2, {"completed": 1})
    assert session.run(asked=campaign(repetitions="3")).exit_code == 0
    assert [t.record.number for t in session.stored.trials()] == [1, 2, 3]


def test_a_pair_that_cannot_be_opened_at_once_is_tried_again(session: Session) -> None:
    refusal = NodeError("no route", code="os", place="node a")
    openings = [None, *[refusal] * len(keeping.OPENING_PAUSES_S)]
    summary = session.run([Script(lose="source:schedule.run")], openings=openings)
    assert (summary.exit_code, dict(summary.outcomes)) == (0, {"completed": 1})
    again = "its nodes are started again"
    assert session.told.notices.splitlines() == [
        f"pair a-b: {again}",
        *[f"pair a-b: no route; {again}"] * len(keeping.OPENING_PAUSES_S),
    ]


def test_a_lab_that_cannot_be_opened_is_not_usable() -> None:
    lab = fake_lab(pairs=("a-b", "c-d"), openings=[None, NodeLost("gone", place="node c")])
    with pytest.raises(LabError, match="node c: gone"), lab:
        pass
    assert [channel.closed for channel in lab.channels] == [True] * 3


# --- the run as a whole ---


def test_events_are_told_in_order(session: Session) -> None:
    session.run([Script(lose="observer:observe.wait")], campaign(repetitions="2", warmups="1"))
    kinds = [
        type(e).__name__ for e in session.told.events if not isinstance(e, StateEntered | Progress)
    ]
    assert kinds == [
        "RunStarted", "PairOpened", "TrialStarted", "AttemptInterrupted", "PairLost", "Notice", "PairOpened",
        "TrialStarted", "TrialEnded", "TrialStarted", "TrialEnded", "TrialStarted", "TrialEnded", "RunEnded",
    ]  # fmt: skip
    started = session.told.of(RunStarted)[0]
    assert (started.trials, started.done, started.directory) == (3, 0, session.directory)
    whole = [s for s in states.TRANSITIONS if s and s != "postcopy"]
    for number in (2, 3):
        entered = session.told.of(StateEntered)
        assert [e.state for e in entered if e.number == number] == whole
    first = [type(e).__name__ for e in session.told.events if getattr(e, "number", 0) == 2]
    assert first[0] == "TrialStarted"
    assert first[-1] == "TrialEnded"
    assert "Progress" in first
    ended = session.told.of(RunEnded)[0]
    assert (ended.outcomes, ended.left, ended.interrupted) == ({"completed": 2}, 0, False)


def test_the_journal_has_what_happened(session: Session) -> None:
    session.run([Script(lose="observer:observe.wait")])
    journal = [line["event"] for line in session.stored.journal() if "event" in line]
    assert journal[1:] == [
        "RunStarted", "PairOpened", "TrialStarted", "AttemptInterrupted", "PairLost", "Notice", "PairOpened",
        "TrialStarted", "TrialEnded", "RunEnded",
    ]  # fmt: skip


def test_an_observer_that_fails_is_told_nothing_more_and_takes_nothing_along(
    session: Session,
) -> None:
    """Wherever it fails: some events are told on a node's reader thread."""

    def fail(event: Event) -> None:
        if isinstance(event, Progress):
            raise OSError("no terminal")

    told = Told(fail)
    summary = session.run(asked=campaign(repetitions="2"), told=told)
    assert (summary.exit_code, summary.left) == (0, 0)
    assert isinstance(told.events[-1], Progress)
    notices = [line.get("text", "") for line in session.stored.journal()]
    assert "Told failed and is told nothing more: OSError: no terminal" in notices


def test_what_happens_while_something_is_told_is_told_after_it_to_everybody() -> None:
    heard: list[tuple[str, str]] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self.name = name

        def handle(self, event: Event) -> None:
            assert isinstance(event, Notice)
            heard.append((self.name, event.text))
            if (self.name, event.text) == ("first", "one"):
                tell(Notice("two"))

    tell = Telling([Listener("first"), Listener("second")])
    tell(Notice("one"))
    assert heard == [("first", "one"), ("second", "one"), ("first", "two"), ("second", "two")]


def test_warmups_run_first_and_do_not_count(session: Session) -> None:
    summary = session.run([Script("failed")], campaign(warmups="1"))
    assert (summary.exit_code, dict(summary.outcomes)) == (0, {"completed": 1})
    first, second = (found.record for found in session.stored.trials())
    assert (first.warmup, first.outcome, second.warmup) == (True, "failed", False)
    assert len(session.stored.frame()) == 1


def test_fail_fast_stops_at_the_first_bad_trial(session: Session) -> None:
    asked = campaign(repetitions="4")
    summary = session.run([Script(), Script("failed")], asked, fail_fast=True)
    assert (summary.exit_code, summary.left) == (1, 2)
    assert dict(summary.outcomes) == {"completed": 1, "failed": 1}
    assert [t.record.number for t in session.stored.trials()] == [1, 2]


def test_fail_fast_tells_of_a_bad_warmup_too(session: Session) -> None:
    summary = session.run([Script(load=0.1)], campaign(warmups="1"), fail_fast=True)
    assert (summary.exit_code, summary.left) == (1, 1)


def test_not_converged_is_a_result_also_for_fail_fast(session: Session) -> None:
    summary = session.run(times(2, Script("cancelled")), campaign(repetitions="2"), fail_fast=True)
    assert (summary.exit_code, summary.left) == (0, 0)


def test_only_runs_what_matches_and_leaves_the_rest_for_later(session: Session) -> None:
    asked = campaign(matrix={"algorithm": ["precopy", "postcopy"]}, repetitions="2")
    first = session.run(asked=asked, only="pre*")
    assert (first.exit_code, first.left, sum(first.outcomes.values())) == (0, 0, 2)
    assert {t.record.cell for t in session.stored.trials()} == {"precopy"}
    second = session.run(asked=asked, only="0001-*")
    done = {t.record.number for t in session.stored.trials()}
    assert 1 in done
    assert second.left == 0
    third = session.run(asked=asked)
    assert (third.exit_code, sum(third.outcomes.values())) == (0, 4)
    assert [t.record.number for t in session.stored.trials()] == [1, 2, 3, 4]


def test_unsupported_trials_are_not_run(session: Session) -> None:
    asked = campaign(matrix={"transport": ["tcp", "rdma"]})
    summary = session.run(asked=asked, plan=make_plan(asked, {"a-b": (CAPABILITIES, CAPABILITIES)}))
    assert (summary.exit_code, sum(summary.outcomes.values()), summary.left) == (0, 1, 0)
    assert set(session.stored.frame()["outcome"]) == {"completed", "unsupported"}


def test_pairs_work_side_by_side_and_no_trial_runs_twice(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = ("a-b", "c-d", "e-f")
    together = threading.Barrier(len(pairs))
    first = itertools.count()
    real = trial.TrialRun._baseline

    def meet(self: trial.TrialRun) -> None:
        """The first trial of each pair waits in its middle for the others'."""
        if next(first) < len(pairs):
            together.wait(20)
        real(self)

    monkeypatch.setattr(trial.TrialRun, "_baseline", meet)
    scripts = [Script(), Script(lose="source:schedule.run")]
    summary = session.run(scripts, campaign(repetitions="12"), pairs=pairs)
    assert not together.broken
    assert (summary.exit_code, dict(summary.outcomes)) == (0, {"completed": 12})
    assert [t.record.number for t in session.stored.trials()] == list(range(1, 13))
    assert {t.record.pair for t in session.stored.trials()} == set(pairs)
    ended = [event.number for event in session.told.of(TrialEnded)]
    assert sorted(ended) == list(range(1, 13))
    started = [event.number for event in session.told.of(TrialStarted)]
    assert len(started) == 13, "only the one whose node was lost was begun twice"


def test_the_direction_decides_who_is_the_source(session: Session) -> None:
    asked = campaign(repetitions="2")
    session.run(asked=asked, plan=make_plan(asked))
    directions = {t.record.direction: t.record.qemu["source"] for t in session.stored.trials()}
    hosts = {way: (said.model_extra or {})["host"] for way, said in directions.items()}
    assert hosts == {"forward": "a", "reverse": "b"}


# --- faults of our own, and of the disk ---


def test_a_bug_in_a_trial_fails_that_trial_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compile_schedule
    count = itertools.count()

    def broken(cell: Any) -> Any:
        if next(count) == 0:
            raise ZeroDivisionError("a bug")
        return real(cell)

    monkeypatch.setattr(setup, "compile_schedule", broken)
    summary = session.run(asked=campaign(repetitions="2"))
    first, second = session.stored.trials()
    assert first.record.outcome == "failed"
    assert "labctl itself failed" in (first.record.reason or "")
    assert "ZeroDivisionError: a bug" in first.logs["controller.log"].read_text()
    assert len(first.beats) > 0, "what was seen until then is kept"
    assert second.record.outcome == "completed"
    assert summary.exit_code == 1


def test_a_trial_whose_data_cannot_be_read_fails_alone(session: Session) -> None:
    summary = session.run([Script(beats=b"odd")], campaign(repetitions="2"))
    first, second = session.stored.trials()
    assert first.record.outcome == "failed"
    assert first.record.verdict == "on_destination"
    assert "labctl itself failed on completed data" in (first.record.reason or "")
    assert "3 bytes of beats" in first.logs["controller.log"].read_text()
    assert second.record.outcome == "completed"
    assert summary.exit_code == 1


def test_a_bug_in_a_figure_keeps_the_trials_data(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr("labctl.results.figures.figures", broken)
    session.run()
    monkeypatch.undo()
    (found,) = session.stored.trials()
    assert found.record.outcome == "failed"
    assert len(found.beats) > 50
    assert len(found.samples) > 0


def test_a_full_disk_ends_the_run_with_a_message(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RunStore.write_trial
    count = itertools.count()

    def full(store: RunStore, *arguments: Any, **named: Any) -> Any:
        if next(count) == 1:
            with writing(store.path):
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(store, *arguments, **named)

    monkeypatch.setattr(RunStore, "write_trial", full)
    summary = session.run(asked=campaign(repetitions="4"))
    assert (summary.exit_code, summary.left, dict(summary.outcomes)) == (1, 3, {"completed": 1})
    assert "No space left on device" in str(summary.fault)
    assert "--resume" in str(summary.fault)
    assert [t.record.number for t in session.stored.trials()] == [1]
    monkeypatch.undo()


def test_a_bug_outside_a_trial_ends_the_run_and_is_not_taken_for_success(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any, **_named: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(controller_run, "record_trial", broken)
    summary = session.run(asked=campaign(repetitions="2"))
    assert (summary.exit_code, summary.left) == (1, 2)
    assert "labctl itself failed: RuntimeError: a bug" in str(summary.fault)


@pytest.mark.parametrize(
    ("summary", "status"),
    [
        (Summary(), 0),
        (Summary(failed_fast=True), 1),
        (Summary(fault=LabctlError("disk full")), 1),
        (Summary(fault=LabError("gone")), 3),
        (Summary(interrupted=True, fault=LabError("gone")), 130),
    ],
)
def test_the_exit_status_tells(summary: Summary, status: int) -> None:
    assert summary.exit_code == status


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("completed", 0), ("not_converged", 0), ("failed", 1), ("invalid_load", 1)],
)
def test_outcomes_and_the_exit_status(outcome: str, status: int) -> None:
    summary = Summary()
    summary.outcomes[outcome] += 1
    assert summary.exit_code == status


def test_a_lab_that_was_closed_opens_nothing() -> None:
    lab = fake_lab()
    with lab:
        pass
    with pytest.raises(LabError, match="closed"):
        lab.reopen("a-b")
    assert all(channel.closed for channel in lab.channels)


def by_rdma(**changes: Any) -> tuple[Campaign, Plan]:
    """A campaign of one cell by soft-RoCE, and its plan."""
    asked = campaign(transport="rdma", **changes)
    soft = CAPABILITIES.model_copy(
        update={
            "rdma": True,
            "rdma_provider": "rxe",
            "migration_capabilities": [*CAPABILITIES.migration_capabilities, "rdma-pin-all"],
        }
    )
    return asked, forward(make_plan(asked, {"a-b": (soft, soft)}))


def test_by_rdma_the_ports_and_what_may_be_locked_stand_with_the_trial(session: Session) -> None:
    asked, plan = by_rdma(algorithm="v", algorithms={"v": {"kind": "precopy", "pin_all": True}})
    assert session.run([], asked, plan=plan).exit_code == 0
    (found,) = session.stored.trials()
    record = found.record
    assert record.spec["rdma_provider"] == "rxe"
    assert set(record.rdma) == {"source", "destination"}
    port = record.rdma["destination"]
    assert (port.device, port.port, port.provider, port.mtu_bytes) == ("fake_0", 1, "rxe", 1024)
    assert (port.pin_all, port.chunk_bytes) == (True, None)
    assert port.counters_before == port.counters_after == {"sent_pkts": 0, "rcvd_pkts": 0}
    assert record.qemu["source"].memlock_bytes == "unlimited"
    assert record.evidence["rdma"]["tx_packets"] > 0
    assert found.samples["rdma_tx_packets"].max() > 0
    assert found.samples["rdma_tx_bytes"].isna().all()
    (row,) = session.stored.frame().to_dict("records")
    assert (row["transport"], row["rdma_provider"]) == ("rdma (soft-RoCE)", "rxe")
    assert row["wire_bytes"] > 0


def test_rdma_that_nobody_saw_is_none(session: Session) -> None:
    asked, plan = by_rdma()
    session.run([Script(rdma_silent=True)], asked, plan=plan)
    (found,) = session.stored.trials()
    assert (found.record.outcome, found.record.verdict) == ("failed", "on_destination")
    assert found.record.reason == (
        "asked for and not in force: the source's RDMA port has sent nothing"
    )


def test_over_tcp_no_rdma_port_is_looked_for(session: Session) -> None:
    session.run()
    (found,) = session.stored.trials()
    assert found.record.rdma == {}
    assert found.record.qemu["source"].memlock_bytes == 8 << 20
    assert "rdma.port" not in {asked.do for asked in session.labs[0].asked}
