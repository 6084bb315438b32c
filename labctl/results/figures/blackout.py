"""The switch: how long the guest was away, by its own beats and by QEMU's account."""

from typing import get_args

from labctl.results.figures.seen import Seen, figure
from labctl.results.schema import Side

_POSTCOPY = "postcopy-active"
_SIDES: tuple[Side, ...] = get_args(Side)


@figure("float", "ms", source="beats")
def blackout_ms(seen: Seen) -> float | None:
    """The gap from the last beat of the source to the first beat of the destination, on the
    observer's one clock. Empty when the machine did not switch. A beat comes about every 0.5 ms, so
    the guest was away for up to a millisecond less.
    """
    return seen.blackout.length_ns / 1e6 if seen.blackout else None


@figure("float", "ms", source="events: STOP of the source, RESUME of the destination")
def switchover_ms(seen: Seen) -> float | None:
    """From the source's last STOP to the destination's first RESUME after it, by QEMU's own times of
    both events. Empty when one of them is missing, and when it is less than how surely the two hosts'
    clocks were compared.
    """
    resumed = seen.qmp_ns("RESUME", "destination")
    if not resumed:
        return None
    before = [t for t in seen.qmp_ns("STOP", "source") if t <= resumed[-1]]
    if not before:
        return None
    after = [t for t in resumed if t >= before[-1]]
    took_ns = after[0] - before[-1]
    unsure_ns = sum(seen.uncertainty_ns(side) for side in _SIDES)
    return took_ns / 1e6 if took_ns >= unsure_ns else None


@figure("int", "ms", source="query-migrate of the source: downtime")
def downtime_ms(seen: Seen) -> int | None:
    """QEMU's own downtime. Empty when the migration did not complete."""
    downtime = (seen.record.final_query_migrate or {}).get("downtime")
    return downtime if isinstance(downtime, int) else None


@figure("bool", "", source="events and samples: status postcopy-active")
def switched(seen: Seen) -> bool | None:
    """Whether the machine was switched to postcopy. False for a hybrid that finished before its
    switch; empty for algorithms that have none, and when the migration did not begin.
    """
    started = seen.record.times.migrate_start_ns is not None
    if seen.kind not in {"postcopy", "hybrid"} or not started:
        return None
    told = [seen.qmp_ns("MIGRATION", side, _POSTCOPY) for side in _SIDES]
    return any(told) or _POSTCOPY in set(seen.replies.get("status", ()))


@figure("float", "s", source="events: RESUME and MIGRATION of the destination; trial.json: times")
def exposure_s(seen: Seen) -> float | None:
    """The seconds in which the machine needed both hosts: from the destination's RESUME in postcopy
    to the end of postcopy. 0 for stop-and-copy and precopy, and for a hybrid that did not switch.
    Empty when the end was not seen.
    """
    if seen.kind is None or seen.record.times.migrate_start_ns is None:
        return None
    if not switched(seen):
        return 0.0
    resumed = seen.qmp_ns("RESUME", "destination")
    ended = seen.qmp_ns("MIGRATION", "destination", "completed")
    end = ended[-1] if ended else seen.record.times.migrate_end_ns
    if not resumed or end is None:
        return None
    return max(0, end - resumed[0]) / 1e9
