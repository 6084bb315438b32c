"""Marks on Grafana's dashboards: when a trial ran, each of its phases, its switch-over, and what went wrong.

Each has the tags `labctl`, its run and what it is; one of a trial has `trial <number>` besides. The dashboards ask for these.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from labctl.errors import ResultsError
from labctl.monitoring.grafana import Annotation
from labctl.monitoring.timing import TimeOfDay
from labctl.results import layout
from labctl.results.figures.seen import Seen
from labctl.results.journal import read_journal
from labctl.results.run import Run, Trial
from labctl.results.schema import Outcome, Verdict

TAG: Final = "labctl"
TEXT: Final = 120
"""characters of a text"""
_FAULTS: Final = {Outcome.FAILED, Outcome.INVALID_LOAD}
_GONE: Final = {Verdict.LOST, Verdict.DUPLICATED}


def marks_of(trial: Trial) -> Iterator[Annotation]:
    """Those of a stored trial; none where its clocks were never read. Raises ResultsError."""
    record = trial.record
    time_of_day = TimeOfDay.of(record)
    entered = sorted(record.times.entered.items(), key=lambda item: item[1])
    if time_of_day is None or len(entered) < 2:
        return
    tags = (TAG, record.run, _trial(record.number))
    start_ns, end_ns = entered[0][1], entered[-1][1]

    def mark(start_ns: int, end_ns: int | None, text: str, *more: str) -> Annotation:
        end_ms = None if end_ns is None else time_of_day.ms(end_ns)
        return Annotation(time_of_day.ms(start_ns), end_ms, _short(text), (*tags, *more))

    yield mark(start_ns, end_ns, f"{record.name}: {record.outcome}", "trial")
    for (phase, phase_ns), (_, next_ns) in pairwise(entered):
        yield mark(phase_ns, next_ns, phase, "phase", phase)
    away = Seen(record, trial.beats, trial.samples, trial.events).blackout
    if away is not None:
        yield mark(away.start_ns, away.end_ns, "switch-over: the guest runs nowhere", "switch-over")
    if record.outcome in _FAULTS or record.verdict in _GONE:
        what = record.verdict if record.verdict in _GONE else record.outcome
        yield mark(end_ns, None, f"{what}: {record.reason or 'no reason known'}", "fault")


def faults_of(run: Run) -> Iterator[Annotation]:
    """What its journal tells of attempts that were cut off and of pairs that were lost. Raises ResultsError."""
    for line in read_journal(run.path / layout.JOURNAL):
        told = _told(line)
        if told is None:
            continue
        text, tag = told
        try:
            at_s = datetime.fromisoformat(str(line["utc"])).timestamp()
        except (KeyError, ValueError):
            raise ResultsError("a line has no time", place=str(run.path / layout.JOURNAL)) from None
        yield Annotation(round(at_s * 1e3), None, _short(text), (TAG, run.name, tag, "fault"))


def _told(line: dict[str, Any]) -> tuple[str, str] | None:
    """A fault of the journal in words, and the tag that says whose it is."""
    match line:
        case {"event": "AttemptInterrupted", "number": number, "attempt": attempt, "reason": why}:
            return f"attempt {attempt} cut off: {why}", _trial(number)
        case {"event": "PairLost", "pair": pair}:
            return f"pair {pair} lost a node", f"pair {pair}"
        case {"event": "PairSetAside", "pair": pair, "fault": fault}:
            return f"pair {pair} set aside: {fault}", f"pair {pair}"
        case _:
            return None


def _trial(number: int) -> str:
    return f"trial {number}"


def _short(text: str) -> str:
    """On one line."""
    text = " ".join(text.split())
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"
