"""What was seen of one trial, on one clock: the view of its raw data that every figure is read from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import cleandoc
from typing import Any

import numpy as np
import pandas as pd

from labctl.results.columns import Column, Kind
from labctl.results.raw import PHASE_RUN
from labctl.results.schema import Scalar, Side, TrialRecord

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

SETTLE_NS = 500_000_000
"""How long a machine is watched after its migration, where no memory check follows."""


@dataclass(frozen=True)
class Span:
    """A stretch of the observer's clock, in ns."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Never negative."""
        return max(0, self.end_ns - self.start_ns)


@dataclass(frozen=True)
class Beats:
    """Beats in order of arrival: n of them, of v vCPUs."""

    t_ns: Ints
    on_destination: Flags
    seq: Ints
    work: Ints
    """(n, v): pages written since boot"""
    tsc: Ints
    """the guest's time stamp counter"""

    def __len__(self) -> int:
        return int(self.t_ns.size)

    @cached_property
    def total_work(self) -> Ints:
        """(n,): pages written by all vCPUs since boot."""
        total: Ints = self.work.sum(axis=1, dtype=np.int64)
        return total

    def within(self, span: Span) -> "Beats":
        """Those that arrived within the span, its ends included."""
        return self.take((self.t_ns >= span.start_ns) & (self.t_ns <= span.end_ns))

    def take(self, mask: Flags) -> "Beats":
        """Those that the mask selects."""
        return Beats(
            self.t_ns[mask],
            self.on_destination[mask],
            self.seq[mask],
            self.work[mask],
            self.tsc[mask],
        )

    def work_at(self, t_ns: Ints) -> Ints:
        """The work known at each moment: that of the last beat which had arrived (else the first)."""
        last = np.searchsorted(self.t_ns, t_ns, side="right") - 1
        known: Ints = self.total_work[np.maximum(last, 0)]
        return known


@dataclass(frozen=True, eq=False)
class Seen:
    """A trial's record and tables. Moments it gives are on the observer's clock."""

    record: TrialRecord
    beats_table: pd.DataFrame
    samples: pd.DataFrame
    events: Sequence[Mapping[str, Any]]
    memo: dict[str, Any] = field(default_factory=dict)
    """What several figures share and one has worked out already."""

    @cached_property
    def beats(self) -> Beats:
        """The beats of the phase `run`: boot, fill and memory check are left out."""
        table = self.beats_table
        table = table[table["phase"] == PHASE_RUN].sort_values("t_ns", kind="stable")
        columns = sorted(
            (name for name in table.columns if name.startswith("work") and name[4:].isdecimal()),
            key=lambda name: int(name[4:]),
        )
        return Beats(
            t_ns=table["t_ns"].to_numpy(np.int64),
            on_destination=(table["side"] == "destination").to_numpy(np.bool_),
            seq=table["seq"].to_numpy(np.int64),
            work=table[columns].to_numpy(np.int64).reshape(len(table), len(columns)),
            tsc=table["tsc"].to_numpy(np.uint64).astype(np.int64),
        )

    @cached_property
    def baseline(self) -> Span | None:
        """Before the migration: while the guest was left alone and its load was judged."""
        times = self.record.times
        start = times.baseline_start_ns or times.entered.get("baseline")
        if start is None:
            return None
        ends = (
            times.baseline_end_ns,
            times.entered.get("setup"),
            times.entered.get("precopy"),
            times.migrate_start_ns,
        )
        later = [end for end in ends if end is not None and end > start]
        return Span(start, min(later)) if later else None

    @cached_property
    def blackout(self) -> Span | None:
        """From the last beat of the source to the first beat of the destination.

        None when the destination never beat, and when it did not go on from where the source was:
        then it is a second machine or an older state, and there is no switch to measure.
        """
        theirs = self.beats.on_destination
        if not theirs.any() or theirs.all():
            return None
        last = int(np.flatnonzero(~theirs)[-1])
        first = int(np.flatnonzero(theirs)[0])
        if self.beats.seq[first] <= self.beats.seq[last]:
            return None
        start, end = int(self.beats.t_ns[last]), int(self.beats.t_ns[first])
        return Span(start, max(start, end))

    @cached_property
    def migration(self) -> Span | None:
        """From `migrate` (from the last beat of the source, where it was stopped before that) to
        the settled end: the start of the memory check, or where there was none, half a second
        after the migration's end (less, when the machine was ended before that).
        """
        times = self.record.times
        if times.migrate_start_ns is None:
            return None
        start = times.migrate_start_ns
        if self.blackout:
            start = min(start, self.blackout.start_ns)
        end = times.entered.get("check", self._settled_unchecked())
        return Span(start, end) if end is not None and end > start else None

    def _settled_unchecked(self) -> int | None:
        over = self.record.times.migrate_end_ns
        last = int(self.beats.t_ns[-1]) if len(self.beats) else None
        if over is None:
            return last
        ends = [over + SETTLE_NS, self.record.times.entered.get("closed"), last]
        return min(end for end in ends if end is not None and end > over)

    @property
    def kind(self) -> str | None:
        """The algorithm's kind: stop_and_copy, precopy, postcopy, hybrid."""
        kind = self.record.asked("algorithm", "kind")
        return kind if isinstance(kind, str) else None

    def shift_ns(self, side: str) -> int | None:
        """What to add to a side's CLOCK_MONOTONIC to have the observer's, as it was compared last; None where it never was.

        The controller's times are stored as the observer's.
        """
        if self.record.clocks.one_clock or side == "controller":
            return 0
        compared = self.record.clocks.offsets.get(side)
        return compared[-1].offset_ns if compared else None

    def uncertainty_ns(self, side: str) -> int:
        """Within what a shift is right, what the clocks have drifted during the trial included."""
        compared = self.record.clocks.offsets.get(side)
        if self.record.clocks.one_clock or not compared:
            return 0
        first, last = compared[0], compared[-1]
        return last.uncertainty_ns + abs(last.offset_ns - first.offset_ns)

    def event_ns(self, event: Mapping[str, Any]) -> int | None:
        """When an event happened: by QEMU's own time where it has one, else by its receipt."""
        side = str(event.get("side"))
        shift, realtime = self.shift_ns(side), event.get("qemu_realtime_ns")
        if shift is None:
            return None
        anchors = self.record.clocks.anchors.get(side)
        if isinstance(realtime, int) and anchors:
            nearest = min(anchors, key=lambda anchor: abs(anchor.realtime_ns - realtime))
            return realtime - (nearest.realtime_ns - nearest.monotonic_ns) + shift
        return int(event["t_ns"]) + shift

    def qmp(self, name: str, side: Side) -> list[Mapping[str, Any]]:
        """The events of that name which a side's QEMU sent, in order."""
        wanted = ("qmp", name, side)
        return [e for e in self.events if (e.get("kind"), e.get("name"), e.get("side")) == wanted]

    def qmp_ns(self, name: str, side: Side, status: str | None = None) -> list[int]:
        """When they happened; of MIGRATION events, those of one status."""
        found = self.qmp(name, side)
        if status is not None:
            found = [event for event in found if (event.get("data") or {}).get("status") == status]
        return [t_ns for event in found if (t_ns := self.event_ns(event)) is not None]

    @property
    def replies(self) -> pd.DataFrame:
        """The source's replies to query-migrate, in order."""
        return self.sampled("migrate", "source")

    def sampled(self, kind: str, side: Side) -> pd.DataFrame:
        """The samples of one kind and side, in order, with times on the observer's clock. To be read only: it is shared."""
        key = f"samples: {kind} of {side}"
        if key not in self.memo:
            self.memo[key] = self._sampled(kind, side)
        found: pd.DataFrame = self.memo[key]
        return found

    def _sampled(self, kind: str, side: Side) -> pd.DataFrame:
        shift = self.shift_ns(side)
        if self.samples.empty or shift is None:
            return self.samples.head(0)
        rows = self.samples[(self.samples["kind"] == kind) & (self.samples["side"] == side)]
        times = ["request_ns", "reply_ns"]
        rows = rows.dropna(subset=times).sort_values("request_ns", kind="stable")
        return rows.assign(**{name: rows[name].astype(np.int64) + shift for name in times})


@dataclass(frozen=True)
class Figure:
    """A figure: a column of the frame, and the function that reads it from what was seen."""

    column: Column
    compute: Callable[[Seen], Scalar]

    def __call__(self, seen: Seen) -> Scalar:
        """The figure of one trial; None when it cannot be had."""
        return self.compute(seen)


def figure(kind: Kind, unit: str, *, source: str) -> Callable[[Callable[[Seen], Scalar]], Figure]:
    """Make a function a figure of its own name; its docstring is the definition."""

    def wrap(compute: Callable[[Seen], Scalar]) -> Figure:
        definition = " ".join(cleandoc(compute.__doc__ or "").split())
        return Figure(Column(compute.__name__, kind, unit, definition, source), compute)

    return wrap
