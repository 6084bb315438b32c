"""The controller over several pairs of fake nodes: blocks, pairs that are lost, rest and return, and who takes over."""

import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pandas as pd
import pytest

from labctl.controller import keeping
from labctl.controller.run import MAX_ATTEMPTS
from labctl.errors import LabctlError, LabError, NodeError
from labctl.events import (
    AttemptInterrupted,
    Event,
    PairReturned,
    PairSetAside,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.lab.fake import Script
from labctl.results import TrialRecord
from tests.fakes import Session, Told, campaign
from tests.unit.test_controller_resume import CtrlC

TWO = ("a-b", "c-d")
FOUR = (*TWO, "e-f", "g-h")
MATRIX = {"algorithm": ["precopy", "postcopy", "hybrid"]}
LOST = "source:schedule.run"
LIMIT_S = 20.0


class Watched(Told):
    """An observer that knows what each pair is at, for scripts and openings that depend on it."""

    def __init__(self, at: Callable[[Event], None] = lambda _event: None) -> None:
        super().__init__(at)
        self.at_trial: dict[str, TrialStarted] = {}
        self.begun: Counter[str] = Counter()
        """attempts, by pair"""

    def handle(self, event: Event) -> None:
        if isinstance(event, TrialStarted):
            self.at_trial[event.pair] = event
            self.begun[event.pair] += 1
        super().handle(event)

    def cut_from(self, lost: str, attempt: int) -> Callable[[str], Script]:
        """Scripts by which one pair loses a node in each attempt from this one on."""

        def script(pair: str) -> Script:
            gone = pair == lost and self.begun[pair] >= attempt
            return Script(lose=LOST) if gone else Script()

        return script

    def cut_in(self, lost: str, attempts: set[int]) -> Callable[[str], Script]:
        """Scripts by which one pair loses a node in these attempts of its own."""

        def script(pair: str) -> Script:
            gone = pair == lost and self.begun[pair] in attempts
            return Script(lose=LOST) if gone else Script()

        return script

    def cut_at(self, killer: Callable[[TrialStarted], bool]) -> Callable[[str], Script]:
        """Scripts by which whoever runs such a trial loses a node."""
        return lambda pair: Script(lose=LOST) if killer(self.at_trial[pair]) else Script()


def refusing(*lost: str) -> Callable[[str], LabctlError | None]:
    """Pairs that can be opened once and never again."""
    opened: Counter[str] = Counter()

    def opening(pair: str) -> LabctlError | None:
        opened[pair] += 1
        if pair not in lost or opened[pair] == 1:
            return None
        return NodeError("no route to it", code="os", place=f"host {pair[0]}", mend="switch it on")

    return opening


def records(session: Session) -> list[TrialRecord]:
    return [trial.record for trial in session.stored.trials()]


def pairs_of_blocks(session: Session) -> dict[int, set[str | None]]:
    found: dict[int, set[str | None]] = {}
    for record in records(session):
        found.setdefault(record.block, set()).add(record.pair)
    return found


# --- whole blocks ---


@pytest.mark.parametrize("pairs", [TWO, FOUR])
def test_no_pair_is_confounded_with_a_cell(session: Session, pairs: tuple[str, ...]) -> None:
    """Each runs each cell equally often; a block is on one pair, its trials in the plan's order."""
    asked = campaign(matrix=MATRIX, repetitions="8", warmups="1")
    summary = session.run(asked=asked, pairs=pairs)
    assert (summary.exit_code, dict(summary.outcomes), summary.left) == (0, {"completed": 24}, 0)
    frame = session.stored.frame(warmups=True)
    warmups, trials = frame[frame["warmup"]], frame[~frame["warmup"]]
    assert sorted(warmups["pair"]) == sorted(pairs)
    table = pd.crosstab(trials["pair"], trials["cell"])
    assert set(table.index) == set(pairs)
    assert (table.nunique(axis=1) == 1).all(), table
    assert (trials.groupby("block")["pair"].nunique() == 1).all()
    for pair in pairs:
        begun = [event for event in session.told.of(TrialStarted) if event.pair == pair]
        assert [event.warmup for event in begun] == [True] + [False] * (len(begun) - 1)
        assert all(one.number < other.number for one, other in pairwise(begun))
    started = session.told.of(RunStarted)[0]
    assert (started.trials, started.pairs) == (24 + len(pairs), pairs)
    one = session.stored.plan.trials[-1].estimate_s
    assert started.estimate_s == pytest.approx(one * (1 + 24 / len(pairs)), rel=0.1)


def test_what_is_left_is_told_and_ends_at_nothing(session: Session) -> None:
    session.run(asked=campaign(matrix=MATRIX, repetitions="3"), pairs=TWO)
    ended = [event.left_s for event in session.told.of(TrialEnded)]
    started = session.told.of(RunStarted)[0]
    assert session.told.of(TrialStarted)[0].left_s == pytest.approx(started.estimate_s, abs=1.0)
    assert ended[0] > ended[-1] == 0.0


# --- a pair that is lost ---


def test_a_pair_that_is_lost_for_good_is_set_aside_and_the_others_do_its_trials(
    session: Session,
) -> None:
    told = Watched()
    asked = campaign(matrix=MATRIX, repetitions="4")
    summary = session.run(
        told.cut_from("c-d", 2), asked, pairs=TWO, openings=refusing("c-d"), told=told
    )
    assert (summary.exit_code, dict(summary.outcomes), summary.left) == (0, {"completed": 12}, 0)
    assert summary.fault is None
    assert [record.number for record in records(session)] == list(range(1, 13))
    (first,) = [record for record in records(session) if record.pair == "c-d"]
    blocks = pairs_of_blocks(session)
    assert [block for block, pairs in blocks.items() if len(pairs) > 1] == [first.block]
    (cut,) = told.of(AttemptInterrupted)
    assert [event.number for event in told.of(TrialStarted)][-1] == cut.number, "it comes last"
    assert told.of(PairSetAside) == [
        PairSetAside("c-d", ("a", "b"), "host c: no route to it", "switch it on", 1)
    ]
    assert str(summary.aside["c-d"]) == "host c: no route to it\n  mend: switch it on"
    (journal,) = [e for e in session.stored.journal() if e.get("event") == "PairSetAside"]
    assert (journal["pair"], journal["mend"]) == ("c-d", "switch it on")


def test_a_pair_that_is_idle_takes_over_the_last_block(session: Session) -> None:
    """It has nothing to do and waits, until the one that is at work is lost."""
    told = Watched()
    idle = threading.Event()

    def opening(pair: str) -> LabctlError | None:
        fault = refuse(pair)
        assert fault is None or idle.wait(LIMIT_S)
        return fault

    def at(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.number == 1:
            idle.set()

    refuse = refusing("c-d")
    told = Watched(at)
    summary = session.run(
        told.cut_from("c-d", 1), campaign(repetitions="2"), pairs=TWO, openings=opening, told=told
    )
    assert (summary.exit_code, summary.left) == (0, 0)
    assert {record.pair for record in records(session)} == {"a-b"}


def test_all_pairs_lost_end_the_run_and_it_is_resumed_where_it_was(session: Session) -> None:
    asked = campaign(matrix=MATRIX, repetitions="4")
    told = Watched()
    cut = {pair: told.cut_from(pair, 3) for pair in FOUR}
    summary = session.run(
        lambda pair: cut[pair](pair), asked, pairs=FOUR, openings=refusing(*FOUR), told=told
    )
    assert isinstance(summary.fault, LabError)
    assert (summary.exit_code, summary.left, dict(summary.outcomes)) == (3, 4, {"completed": 8})
    aside = told.of(PairSetAside)
    assert sorted(event.pair for event in aside) == sorted(FOUR)
    assert sorted(event.working for event in aside) == [0, 1, 2, 3]
    assert len(summary.aside) == 3
    assert str(summary.fault).startswith("host ")
    first = {record.block: record.pair for record in records(session)}
    again = session.run(asked=asked, pairs=FOUR)
    assert (again.exit_code, dict(again.outcomes), again.left) == (0, {"completed": 12}, 0)
    assert [record.number for record in records(session)] == list(range(1, 13))
    assert pairs_of_blocks(session) == {block: {pair} for block, pair in first.items()}
    assert [event.attempt for event in session.told.of(TrialStarted)] == [2] * 4


def test_a_run_resumed_without_a_pair_gives_its_blocks_to_the_others(session: Session) -> None:
    asked = campaign(matrix=MATRIX, repetitions="2")
    told = Watched()
    cut = {pair: told.cut_from(pair, 2) for pair in TWO}
    session.run(lambda pair: cut[pair](pair), asked, pairs=TWO, openings=refusing(*TWO), told=told)
    assert len(records(session)) == 2
    summary = session.run(asked=asked, pairs=("e-f", "a-b"))
    assert (summary.exit_code, dict(summary.outcomes)) == (0, {"completed": 6})
    blocks = pairs_of_blocks(session)
    assert sorted(blocks.values(), key=len) == [{"a-b"}, {"c-d", "e-f"}]


def test_a_pair_lost_in_its_warm_up_leaves_nothing_behind(session: Session) -> None:
    told = Watched()
    asked = campaign(repetitions="3", warmups="1")
    summary = session.run(
        told.cut_from("c-d", 1), asked, pairs=TWO, openings=refusing("c-d"), told=told
    )
    assert (summary.exit_code, dict(summary.outcomes), summary.left) == (0, {"completed": 3}, 0)
    assert {record.pair for record in records(session)} == {"a-b"}
    assert session.run(asked=asked, pairs=TWO).exit_code == 0
    assert session.told.of(TrialStarted) == []


# --- what cuts attempts off ---


def attempts_at(session: Session, number: int) -> list[str]:
    """The pairs on which a trial was begun, in order."""
    return [event.pair for event in session.told.of(TrialStarted) if event.number == number]


def test_a_trial_that_takes_its_host_down_is_tried_on_another_pair_and_given_up(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "REST_S", 0.01)
    told = Watched()
    scripts = told.cut_at(lambda trial: trial.number == 5)
    summary = session.run(scripts, campaign(matrix=MATRIX, repetitions="4"), pairs=TWO, told=told)
    assert dict(summary.outcomes) == {"completed": 11, "failed": 1}
    assert (summary.exit_code, summary.left, summary.aside) == (1, 0, {})
    failed = session.stored.trial(5).record
    assert (failed.attempt, failed.pair) == (MAX_ATTEMPTS, attempts_at(session, 5)[-1])
    assert "given up after 5 attempts: node a: its agent has ended" in (failed.reason or "")
    (aside,) = told.of(PairSetAside)
    assert (
        aside.fault == "3 attempts in a row were cut off, the last one: node a: its agent has ended"
    )
    other = next(pair for pair in TWO if pair != aside.pair)
    assert attempts_at(session, 5) == [aside.pair] * 3 + [other] * 2
    assert told.of(PairReturned) == [PairReturned(aside.pair)]


def test_a_cell_that_takes_every_host_down_costs_no_pair(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "REST_S", 0.01)
    told = Watched()
    scripts = told.cut_at(lambda trial: trial.name.endswith("-hybrid"))
    summary = session.run(
        scripts, campaign(matrix=MATRIX, repetitions="4"), pairs=FOUR[:3], told=told
    )
    assert dict(summary.outcomes) == {"completed": 8, "failed": 4}
    assert (summary.exit_code, summary.left, summary.fault) == (1, 0, None)
    assert {r.cell for r in records(session) if r.outcome == "failed"} == {"hybrid"}
    assert all(event.working > 0 for event in told.of(PairSetAside))


def test_a_pair_that_loses_every_attempt_is_set_aside_and_fails_no_trial(session: Session) -> None:
    told = Watched()
    summary = session.run(
        told.cut_from("c-d", 1), campaign(matrix=MATRIX, repetitions="4"), pairs=TWO, told=told
    )
    assert dict(summary.outcomes) == {"completed": 12}
    assert (summary.exit_code, summary.left) == (0, 0)
    assert told.begun["c-d"] == keeping.CUTS_IN_A_ROW
    assert "3 attempts in a row were cut off" in str(summary.aside["c-d"])
    assert "look at its hosts" in str(summary.aside["c-d"])


def test_attempts_cut_off_now_and_then_do_not_set_a_pair_aside(session: Session) -> None:
    told = Watched()
    asked = campaign(matrix=MATRIX, repetitions="2")
    summary = session.run(told.cut_in("c-d", {1, 2, 4, 5}), asked, pairs=TWO, told=told)
    assert (summary.exit_code, summary.left) == (0, 0)
    assert len(told.of(AttemptInterrupted)) == 4
    assert told.of(PairSetAside) == []


def test_where_every_attempt_is_cut_off_the_last_pair_goes_on(session: Session) -> None:
    summary = session.run(
        lambda _pair: Script(lose=LOST), campaign(matrix=MATRIX, repetitions="2"), pairs=FOUR
    )
    assert dict(summary.outcomes) == {"failed": 6}
    assert (summary.exit_code, summary.left, summary.fault) == (1, 0, None)
    assert len(summary.aside) < len(FOUR)


def test_a_pair_that_comes_back_goes_on_with_the_rest(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host was rebooted, say. The other pair waits in its trial until then. What was cut off before does not count."""
    monkeypatch.setattr(keeping, "REST_S", 0.01)
    back = threading.Event()
    tries: Counter[str] = Counter()

    def script(pair: str) -> Script:
        assert pair == "c-d" or told.begun["a-b"] < 2 or back.wait(LIMIT_S)
        return lost(pair)

    def opening(pair: str) -> LabctlError | None:
        tries[pair] += 1
        gone = pair == "c-d" and 3 < tries[pair] < 6
        return NodeError("booting", place="host c") if gone else None

    def at(event: Event) -> None:
        if isinstance(event, PairReturned):
            back.set()

    told = Watched(at)
    lost = told.cut_in("c-d", {1, 2, 3, 4, 5})
    asked = campaign(matrix=MATRIX, repetitions="6")
    summary = session.run(script, asked, pairs=TWO, openings=opening, told=told)
    assert (summary.exit_code, summary.left, summary.aside) == (0, 0, {})
    assert dict(summary.outcomes) == {"completed": 18}
    assert {record.pair for record in records(session)} == set(TWO)
    assert len(told.of(PairSetAside)) == len(told.of(PairReturned)) == 1


# --- the end ---


def test_ctrl_c_ends_pairs_that_run_rest_and_wait(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are in a long request, one is set aside, one has nothing to do."""
    keys = CtrlC(monkeypatch)
    entered: list[int] = []
    first: list[str] = []

    def script(pair: str) -> Script:
        if not first:
            first.append(pair)
        return Script(lose=LOST) if pair in first else Script(ignore=LOST)

    def at(event: Event) -> None:
        if isinstance(event, StateEntered) and event.state == "precopy":
            entered.append(event.number)
        if len(entered) == keeping.CUTS_IN_A_ROW + 2 and told.of(PairSetAside):
            keys.press()

    told = Told(at)
    summary = session.run(script, campaign(repetitions="2"), pairs=FOUR, told=told)
    assert (summary.exit_code, summary.interrupted, summary.left) == (130, True, 2)
    assert summary.fault is None
    assert records(session) == []
    attempts = [len(session.stored.attempts(number)) for number in (1, 2)]
    assert sorted(attempts) == [1, keeping.CUTS_IN_A_ROW + 1]
    monkeypatch.undo()


def test_ctrl_c_ends_a_pause_between_two_openings(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "OPENING_PAUSES_S", (600.0,) * 3)
    keys = CtrlC(monkeypatch)
    refuse = refusing("a-b")

    def opening(pair: str) -> LabctlError | None:
        fault = refuse(pair)
        if fault is not None:
            keys.press()
        return fault

    summary = session.run([Script(lose=LOST)], openings=opening)
    assert (summary.exit_code, summary.left, summary.fault) == (130, 1, None)
    assert session.told.of(PairSetAside) == []


def test_fail_fast_lets_the_other_pairs_finish_what_they_run(session: Session) -> None:
    failed = threading.Event()
    first: list[str] = []

    def script(pair: str) -> Script:
        first.append(pair)
        if len(first) == 1:
            return Script("failed")
        assert failed.wait(LIMIT_S)
        return Script()

    def at(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.outcome == "failed":
            failed.set()

    asked = campaign(repetitions="6")
    summary = session.run(script, asked, pairs=FOUR, told=Told(at), fail_fast=True)
    assert (summary.exit_code, summary.failed_fast, summary.interrupted) == (1, True, False)
    assert sum(summary.outcomes.values()) == len(first) == 6 - summary.left
    assert session.told.of(AttemptInterrupted) == []
