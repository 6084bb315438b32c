"""Brownout and work lost: the guest's work during the migration against its own work before it.

The work is pages written, counted by the guest. A guest that is asked to write nothing does no work
that could be missing: both figures are empty for it, and its beats still give blackout and stalls.
"""

import numpy as np

from labctl.results.figures.load import asked_of, changing
from labctl.results.figures.seen import Beats, Floats, Ints, Seen, Span, figure
from labctl.results.raw import PAGE_BYTES

WINDOW_NS = 100_000_000
ENOUGH_WINDOWS = 3
FULL_SHARE = 0.95
BEAT_S = 1e-3
"""How late the work of a moment is known, at most, in a beat's usual time."""


def baseline_rate(seen: Seen) -> float | None:
    """Pages per second before the migration, from the first to the last beat of the baseline."""
    if seen.baseline is None:
        return None
    beats = seen.beats.within(seen.baseline)
    if len(beats) < 2 or beats.t_ns[-1] == beats.t_ns[0]:
        return None
    work = int(beats.total_work[-1] - beats.total_work[0])
    return max(0.0, work / (int(beats.t_ns[-1] - beats.t_ns[0]) / 1e9))


def windows_from(beats: Beats, start_ns: int, end_ns: int) -> Ints:
    """Work in each whole window from `start_ns` on, up to `end_ns`."""
    if not len(beats):
        return np.zeros(0, np.int64)
    return np.diff(beats.work_at(np.arange(start_ns, end_ns + 1, WINDOW_NS)))


def migration_edges(seen: Seen, span: Span) -> tuple[Ints, ...]:
    """The ends of the windows of the migration, in rows of windows that follow each other.

    Windows are laid from the blackout outwards, so that those next to it are whole; what is left
    over at the outer ends, less than a window each, is not judged.
    """
    away = seen.blackout
    if away is None:
        return (np.arange(span.start_ns, span.end_ns + 1, WINDOW_NS),)
    before = np.arange(away.start_ns, span.start_ns - 1, -WINDOW_NS)[::-1]
    return before, np.arange(away.end_ns, span.end_ns + 1, WINDOW_NS)


def migration_windows(seen: Seen, span: Span) -> Ints:
    """Work in the windows of the migration, the blackout left out."""
    if not len(seen.beats):
        return np.zeros(0, np.int64)
    edges = migration_edges(seen, span)
    return np.concatenate([np.diff(seen.beats.work_at(row)) for row in edges])


def usual_window(seen: Seen) -> float | None:
    """The median work of a window before the migration; None when there is none, or no work."""
    if seen.baseline is None:
        return None
    before = windows_from(seen.beats, seen.baseline.start_ns, seen.baseline.end_ns)
    if before.size < ENOUGH_WINDOWS:
        return None
    median = float(np.median(before))
    return median if median > 0 else None


@figure("float", "ms", source="beats")
def brownout_ms(seen: Seen) -> float | None:
    """100 ms windows in which the guest worked, but below 95 % of the median of its own windows
    before the migration (by more than a page per vCPU, the grain of the count). The blackout and the
    memory check are left out; a window without any work is part of a stall. Empty at a write rate of
    0: a guest without work has none to lose. Where the rate changes over time, a window's work is
    compared with what was asked of it: the median is that of the ratio of both, and the grain a
    millisecond of the highest rate more.
    """
    if not asked_of(seen).constant:
        return _changing_brownout_ms(seen)
    usual, span = usual_window(seen), seen.migration
    if usual is None or span is None:
        return None
    work: Floats = migration_windows(seen, span).astype(np.float64)
    grain = seen.beats.work.shape[1]
    low = (work > 0) & (work + grain < FULL_SHARE * usual)
    return float(low.sum() * (WINDOW_NS / 1e6))


@figure("float", "s", source="beats")
def work_lost_s(seen: Seen) -> float | None:
    """The work missing from the start of the migration to its settled end, blackout included, in
    seconds of the work before the migration. Never below 0. Empty at a write rate of 0. Where the
    rate changes over time, missing is what would have been asked in that time had the machine not
    been moved, at the ratio of work and asked before it; seconds are those of the mean rate.
    """
    if not asked_of(seen).constant:
        return _changing_work_lost_s(seen)
    rate, span = baseline_rate(seen), seen.migration
    if not rate or span is None:
        return None
    first, last = seen.beats.work_at(np.array([span.start_ns, span.end_ns], np.int64))
    return max(0.0, span.length_ns / 1e9 - float(last - first) / rate)


def _changing_brownout_ms(seen: Seen) -> float | None:
    load, span = changing(seen), seen.migration
    if load is None or span is None or seen.baseline is None or not len(seen.beats):
        return None
    edges = np.arange(seen.baseline.start_ns, seen.baseline.end_ns + 1, WINDOW_NS)
    wanted = np.diff(load.pages(edges))
    ratios = (np.diff(seen.beats.work_at(edges)) / np.where(wanted, wanted, 1))[wanted > 0]
    if ratios.size < ENOUGH_WINDOWS or not (usual := float(np.median(ratios))) > 0:
        return None
    rows = migration_edges(seen, span)
    asked: Floats = np.concatenate([np.diff(load.pages(row)) for row in rows])
    work: Floats = migration_windows(seen, span).astype(np.float64)
    grain = seen.beats.work.shape[1] + load.peak_pages_per_s * BEAT_S
    low = (work > 0) & (work + grain < FULL_SHARE * usual * asked)
    return float(low.sum() * (WINDOW_NS / 1e6))


def _changing_work_lost_s(seen: Seen) -> float | None:
    load, span = changing(seen), seen.migration
    if load is None or span is None or seen.baseline is None or not len(seen.beats):
        return None
    watched = np.array([seen.baseline.start_ns, seen.baseline.end_ns], np.int64)
    asked = float(np.diff(load.pages(watched))[0])
    usual = float(np.diff(seen.beats.work_at(watched))[0]) / asked if asked > 0 else 0.0
    if usual <= 0:
        return None
    first, last = seen.beats.work_at(np.array([span.start_ns, span.end_ns], np.int64))
    start_s = float(load.guest_s(np.array([span.start_ns], np.int64))[0])
    undisturbed = load.asked.pages(start_s + span.length_ns / 1e9) - load.asked.pages(start_s)
    missing = usual * undisturbed - float(last - first)
    return max(0.0, missing / (usual * load.asked.mean_bytes_per_s / PAGE_BYTES))


@figure("int", "bytes/s", source="plan: guest.write_rate")
def write_rate_asked_bytes_per_s(seen: Seen) -> int | None:
    """Bytes of pages the guest was asked to write per second; where that changes over time, on average
    in the window that was judged before the migration (of `once`, since its beginning).
    """
    stored = seen.record.guest.write_rate
    if not asked_of(seen).constant and stored and stored.asked_bytes_per_s is not None:
        return round(stored.asked_bytes_per_s)
    asked = seen.record.asked("guest", "write_rate_bytes_per_s")
    return asked if isinstance(asked, int) else None


@figure("float", "bytes/s", source="beats before the migration")
def write_rate_measured_bytes_per_s(seen: Seen) -> float | None:
    """Bytes of pages the guest wrote per second before the migration, by its own counters."""
    stored = seen.record.guest.write_rate
    if not asked_of(seen).constant and stored and stored.measured_bytes_per_s is not None:
        return stored.measured_bytes_per_s
    rate = baseline_rate(seen)
    return None if rate is None else rate * PAGE_BYTES


@figure("int", "", source="beats")
def beats_lost(seen: Seen) -> int | None:
    """Sequence numbers missing between the start of the baseline and the settled end. A beat that
    is cut in two by the switch is none: the observer joins its halves.
    """
    if seen.baseline is None or seen.migration is None:
        return None
    span = Span(seen.baseline.start_ns, seen.migration.end_ns)
    seq = seen.beats.within(span).seq
    return int(seq.max() - seq.min() + 1 - np.unique(seq).size) if seq.size else None
