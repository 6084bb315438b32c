"""Stalls: the gaps in which the guest stood still without having been switched over.

A stall is any gap, other than the blackout, longer than max(5 ms, 3 x that trial's own p99.9 before
the migration). vCPU 0 sends the beats, so its gap is one between beats. Another vCPU stands still
from the first to the last beat that show the same work of it, if it was asked to write at all: that
is a lower bound, short by at most a beat's period at each end.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from labctl.results.figures.load import changing
from labctl.results.figures.seen import Ints, Seen, Span, figure

FLOOR_NS = 5_000_000
ENOUGH_GAPS = 100
"""Fewer gaps than this before the migration give no p99.9 to speak of."""

Cause = Literal["throttle", "page_fault", "unknown"]


@dataclass(frozen=True)
class Stall:
    """One stall of one vCPU, and what it is put down to.

    `throttle`: QEMU reported a CPU throttle at the time. `page_fault`: it lies in the postcopy
    phase, after the destination's first beat. `unknown`: anything else, the host included.
    """

    vcpu: int
    span: Span
    cause: Cause


def stalls(seen: Seen) -> list[Stall] | None:
    """Every stall of the migration, by vCPU and time; None without a baseline or a migration."""
    if "stalls" not in seen.memo:
        seen.memo["stalls"] = _find(seen)
    found: list[Stall] | None = seen.memo["stalls"]
    return found


def _find(seen: Seen) -> list[Stall] | None:
    if seen.migration is None or threshold_ns(seen, 0) is None:
        return None
    found = []
    for vcpu in range(seen.beats.work.shape[1]):
        limit = threshold_ns(seen, vcpu)
        if limit is None or (vcpu and not seen.record.asked("guest", "write_rate_bytes_per_s")):
            continue
        for start, end in _working_gaps(seen, vcpu):
            inside = start < seen.migration.end_ns and end > seen.migration.start_ns
            if inside and end - start > limit:
                span = Span(int(start), int(end))
                found.append(Stall(vcpu, span, _cause(seen, span)))
    return found


def threshold_ns(seen: Seen, vcpu: int) -> float | None:
    """What a gap of this vCPU must exceed; None when too few gaps were seen before the migration."""
    if seen.baseline is None:
        return None
    gaps = _working_gaps(seen, vcpu)
    before = (gaps[:, 0] >= seen.baseline.start_ns) & (gaps[:, 1] <= seen.baseline.end_ns)
    lengths = (gaps[:, 1] - gaps[:, 0])[before]
    if lengths.size < ENOUGH_GAPS:
        return None
    return max(FLOOR_NS, 3 * float(np.quantile(lengths, 0.999)))


def _working_gaps(seen: Seen, vcpu: int) -> Ints:
    """The gaps of a vCPU without the time in which it was asked to write nothing (taken from their start)."""
    gaps = _standstills(seen, vcpu)
    load = changing(seen)
    if vcpu == 0 or load is None:
        return gaps
    busy = load.busy_ns(gaps[:, 1]) - load.busy_ns(gaps[:, 0])
    worked = np.minimum(busy, gaps[:, 1] - gaps[:, 0])
    return np.column_stack((gaps[:, 1] - worked, gaps[:, 1]))


def _standstills(seen: Seen, vcpu: int) -> Ints:
    """(n, 2): start and end of every gap of a vCPU, the blackout cut out."""
    t_ns = seen.beats.t_ns
    if t_ns.size < 2:
        return np.zeros((0, 2), np.int64)
    if vcpu == 0:
        gaps = np.column_stack((t_ns[:-1], t_ns[1:]))
    else:
        moved = np.flatnonzero(np.diff(seen.beats.work[:, vcpu]))
        first = np.concatenate(([0], moved + 1))
        last = np.concatenate((moved, [t_ns.size - 1]))
        gaps = np.column_stack((t_ns[first], t_ns[last]))
    away = seen.blackout
    if away is None:
        return gaps
    across = (gaps[:, 0] <= away.start_ns) & (gaps[:, 1] >= away.end_ns)
    before, after = gaps[across], gaps[across]
    before = np.column_stack((before[:, 0], np.full(len(before), away.start_ns)))
    after = np.column_stack((np.full(len(after), away.end_ns), after[:, 1]))
    return np.concatenate((gaps[~across], before, after))


def _cause(seen: Seen, span: Span) -> Cause:
    away, end = seen.blackout, seen.record.times.migrate_end_ns
    if away is not None and span.start_ns >= away.end_ns:
        in_postcopy = seen.kind in {"postcopy", "hybrid"} and (end is None or span.start_ns < end)
        return "page_fault" if in_postcopy else "unknown"
    return "throttle" if _throttled(seen, span) else "unknown"


def _throttled(seen: Seen, span: Span) -> bool:
    """Whether the last reply before the end of the span reported a CPU throttle."""
    replies = seen.replies
    if "cpu_throttle_percentage" not in replies:
        return False
    known = replies[replies["reply_ns"] <= span.end_ns]["cpu_throttle_percentage"].dropna()
    return bool(len(known) and known.iloc[-1] > 0)


def _lengths_ms(seen: Seen, cause: Cause | None = None) -> list[float] | None:
    found = stalls(seen)
    if found is None:
        return None
    return [s.span.length_ns / 1e6 for s in found if cause is None or s.cause == cause]


@figure("float", "ms", source="beats")
def stall_max_ms(seen: Seen) -> float | None:
    """The longest stall of any vCPU; 0 when there was none. The blackout is no stall. Empty when the
    migration did not start, or fewer than 100 gaps were seen before it.
    """
    lengths = _lengths_ms(seen)
    return None if lengths is None else max(lengths, default=0.0)


@figure("float", "ms", source="beats")
def stall_total_ms(seen: Seen) -> float | None:
    """The time in which at least one vCPU was in a stall."""
    found = stalls(seen)
    if found is None:
        return None
    total, reached = 0, 0
    for span in sorted((stall.span for stall in found), key=lambda span: span.start_ns):
        total += max(0, span.end_ns - max(span.start_ns, reached))
        reached = max(reached, span.end_ns)
    return total / 1e6


@figure("int", "", source="beats")
def stall_count(seen: Seen) -> int | None:
    """The number of stalls, each vCPU's counted."""
    lengths = _lengths_ms(seen)
    return None if lengths is None else len(lengths)


@figure("float", "ms", source="beats before the migration")
def stall_threshold_ms(seen: Seen) -> float | None:
    """What a gap between beats must exceed to count as a stall of vCPU 0: max(5 ms, 3 x the p99.9 of
    the gaps before the migration).
    """
    limit = threshold_ns(seen, 0)
    return None if limit is None else limit / 1e6


@figure("float", "ms", source="beats; samples: cpu-throttle-percentage")
def stall_throttle_ms(seen: Seen) -> float | None:
    """The sum of the stalls, each vCPU's counted, at whose end QEMU reported a CPU throttle."""
    lengths = _lengths_ms(seen, "throttle")
    return None if lengths is None else sum(lengths)


@figure("float", "ms", source="beats")
def stall_page_fault_ms(seen: Seen) -> float | None:
    """The sum of the stalls, each vCPU's counted, after the destination's first beat in postcopy."""
    lengths = _lengths_ms(seen, "page_fault")
    return None if lengths is None else sum(lengths)


@figure("float", "ms", source="beats")
def stall_unknown_ms(seen: Seen) -> float | None:
    """The sum of all other stalls, each vCPU's counted."""
    lengths = _lengths_ms(seen, "unknown")
    return None if lengths is None else sum(lengths)
