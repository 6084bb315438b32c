"""What the guest could notice of its migration, beside the time that it stood still: its clock, its beats, its processors."""

import numpy as np

from labctl.results.figures.counters import grown
from labctl.results.figures.seen import Seen, Span, figure
from labctl.results.schema import Side


@figure("float", "ms", source="beats: tsc; trial.json: guest.hello.tsc_hz")
def clock_jump_ms(seen: Seen) -> float | None:
    """How far the guest's clock (its TSC) ran ahead of the observer's across the switch; negative: it fell behind. From the
    last beat of the source to the first of the destination, so right within about a millisecond. Empty when the
    machine did not switch.
    """
    away, tsc_hz = seen.blackout, (seen.record.guest.hello or {}).get("tsc_hz")
    if away is None or not tsc_hz:
        return None
    theirs = seen.beats.on_destination
    last, first = np.flatnonzero(~theirs)[-1], np.flatnonzero(theirs)[0]
    passed_ms = int(seen.beats.tsc[first] - seen.beats.tsc[last]) / float(tsc_hz) * 1e3
    return passed_ms - away.length_ns / 1e6


@figure("int", "", source="beats")
def beats_reordered(seen: Seen) -> int | None:
    """Beats that arrived after one with a higher sequence number, between the start of the baseline and the settled end."""
    if seen.baseline is None or seen.migration is None:
        return None
    seq = seen.beats.within(Span(seen.baseline.start_ns, seen.migration.end_ns)).seq
    return int((seq < np.maximum.accumulate(seq)).sum()) if seq.size else None


@figure("float", "s", source="samples of both sides: vcpu_run_delay_ns, cpu_throttle_percentage")
def vcpu_stolen_s(seen: Seen) -> float | None:
    """Time taken from the vCPUs from `migrate` to its end: in which they were ready and did not run, at either end, and
    what auto-converge took from each of them.
    """
    times = seen.record.times
    if times.migrate_start_ns is None or times.migrate_end_ns is None:
        return None
    sides: tuple[Side, Side] = ("source", "destination")
    start, end = times.migrate_start_ns, times.migrate_end_ns
    delays = [grown(seen, side, "vcpu_run_delay_ns", start, end) for side in sides]
    if delays[0] is None or delays[1] is None:
        return None
    vcpus: int = seen.beats.work.shape[1]
    return (delays[0] + delays[1]) / 1e9 + vcpus * _throttled_s(seen, Span(start, end))


def _throttled_s(seen: Seen, span: Span) -> float:
    """The seconds that auto-converge took from one vCPU: each share that QEMU told, until it told the next."""
    if "cpu_throttle_percentage" not in seen.replies:
        return 0.0
    told = seen.replies.dropna(subset=["cpu_throttle_percentage"])
    until = seen.blackout.start_ns if seen.blackout else span.end_ns
    t_ns = told["reply_ns"].to_numpy(np.int64).clip(span.start_ns, until)
    shares = told["cpu_throttle_percentage"].to_numpy(np.float64) / 100
    lengths = np.diff(np.append(t_ns, until)) / 1e9
    return float((shares * lengths).sum())
