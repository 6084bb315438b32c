"""What the migration cost: time, bytes on the wire, pages asked for, CPU of both ends."""

from typing import Any

import numpy as np
from pydantic import ValidationError

from labctl.campaign import Cell, estimate_transfer_s
from labctl.campaign.carriers import SOFTWARE
from labctl.results.figures.counters import counted, grown
from labctl.results.figures.seen import Ints, Seen, figure
from labctl.results.schema import Side


def _qemu_last(seen: Seen, key: str, column: str) -> int | None:
    """A number of the source's last reply; of the last sample that had it, where that has not.

    QEMU says nothing but the status once a migration was cancelled or has failed.
    """
    final: Any = seen.record.final_query_migrate or {}
    value = final.get(key, (final.get("ram") or {}).get(key))
    if isinstance(value, int):
        return value
    if column not in seen.replies:
        return None
    known = seen.replies[column].dropna()
    return int(known.iloc[-1]) if len(known) else None


@figure("int", "ms", source="query-migrate of the source: total-time")
def total_time_ms(seen: Seen) -> int | None:
    """QEMU's own total time. Of a migration that did not converge, as far as QEMU told it before it
    was cancelled: a lower bound.
    """
    return _qemu_last(seen, "total-time", "total_time_ms")


@figure("float", "ms", source="trial.json: times")
def wall_time_ms(seen: Seen) -> float | None:
    """From sending `migrate` to the source's word that it is over, on labctl's clock."""
    times = seen.record.times
    if times.migrate_start_ns is None or times.migrate_end_ns is None:
        return None
    return max(0, times.migrate_end_ns - times.migrate_start_ns) / 1e6


@figure("int", "ms", source="query-migrate of the source: setup-time")
def setup_time_ms(seen: Seen) -> int | None:
    """QEMU's own set-up time."""
    return _qemu_last(seen, "setup-time", "setup_time_ms")


@figure("int", "bytes", source="samples of both sides: qdisc_sent_bytes, rdma_tx_bytes")
def wire_bytes(seen: Seen) -> int | None:
    """Bytes that left both ends on the link, headers included, from the start of the migration to its
    settled end (what QEMU has handed over may still be queued when it says completed). By the
    queueing disciplines: interface counters under-count where segmentation is offloaded. What an RDMA
    card sends passes none of them and is added by its own counters; empty where it counts no bytes.
    """
    if seen.migration is None:
        return None
    start, end = seen.migration.start_ns, seen.migration.end_ns
    columns = ["qdisc_sent_bytes", *(["rdma_tx_bytes"] if _sent_by_a_card(seen) else [])]
    sent = [grown(seen, side, column, start, end) for side in _SIDES for column in columns]
    return None if None in sent else sum(number or 0 for number in sent)


def _sent_by_a_card(seen: Seen) -> bool:
    """Whether RDMA carried it, and not the kernel's own, whose packets leave through the interface like all others."""
    return any(port.provider not in SOFTWARE for port in seen.record.rdma.values())


@figure("int", "bytes", source="query-migrate of the source: ram.transferred")
def ram_bytes(seen: Seen) -> int | None:
    """Bytes of memory that QEMU says it sent."""
    return _qemu_last(seen, "transferred", "transferred_bytes")


@figure("int", "bytes", source="plan: guest.memory")
def memory_bytes(seen: Seen) -> int | None:
    """The machine's memory."""
    memory = seen.record.asked("guest", "memory_bytes")
    return memory if isinstance(memory, int) else None


@figure("float", "ms", source="plan: the cell")
def estimated_time_ms(seen: Seen) -> float | None:
    """What the plan's simple model said of the migration's time beforehand: bytes by link, and what is written meanwhile
    (`labctl.campaign.estimate`). Empty where a record's cell can no longer be read.
    """
    try:
        cell = Cell.model_validate(seen.record.spec)
    except ValidationError:
        return None
    return estimate_transfer_s(cell) * 1e3


@figure("int", "bytes", source="samples of both sides: rss_bytes")
def memory_extra_peak_bytes(seen: Seen) -> int | None:
    """The most memory that both QEMUs together held during the migration, above what the source alone held when it began."""
    if seen.migration is None:
        return None
    source, destination = (counted(seen, side, "rss_bytes") for side in _SIDES)
    if source is None or destination is None:
        return None
    start, end = seen.migration.start_ns, seen.migration.end_ns
    moments = np.union1d(source[0], destination[0])
    moments = moments[(moments >= start) & (moments <= end)]
    if not moments.size:
        return None
    both = _latest(*source, moments) + _latest(*destination, moments)
    return int(both.max()) - int(_latest(*source, np.array([start], np.int64))[0])


@figure("int", "", source="events: MIGRATION_PASS of the source")
def passes(seen: Seen) -> int | None:
    """The number of the last pass over the memory that QEMU announced. Empty when it announced none."""
    told = [(e.get("data") or {}).get("pass") for e in seen.qmp("MIGRATION_PASS", "source")]
    numbers = [number for number in told if isinstance(number, int)]
    return max(numbers, default=None)


@figure("int", "", source="query-migrate of the source: ram.postcopy-requests")
def page_requests(seen: Seen) -> int | None:
    """Pages the destination asked the source for in postcopy."""
    return _qemu_last(seen, "postcopy-requests", "postcopy_requests")


@figure("bool", "", source="trial.json: guest.check")
def memory_identical(seen: Seen) -> bool | None:
    """Whether the guest, wherever it was at the end, found every page of its memory as it must be.
    Empty when there was no check.
    """
    check = seen.record.guest.check
    return None if check is None else check.pages_bad == 0 and check.pages_checked > 0


@figure("float", "s", source="samples: schedstat of the source")
def cpu_source_s(seen: Seen) -> float | None:
    """CPU seconds of the source's QEMU from `migrate` to the end, vCPUs included."""
    return _sum(cpu_source_vcpu_s(seen), cpu_source_other_s(seen))


@figure("float", "s", source="samples: schedstat of the destination")
def cpu_destination_s(seen: Seen) -> float | None:
    """CPU seconds of the destination's QEMU from `migrate` to the end, vCPUs included."""
    return _sum(cpu_destination_vcpu_s(seen), cpu_destination_other_s(seen))


@figure("float", "s", source="samples: schedstat of the source")
def cpu_source_vcpu_s(seen: Seen) -> float | None:
    """CPU seconds of the source's vCPU threads."""
    return _cpu_s(seen, "source", "vcpu_cpu_ns")


@figure("float", "s", source="samples: schedstat of the source")
def cpu_source_other_s(seen: Seen) -> float | None:
    """CPU seconds of the source's other threads, the migration's among them."""
    return _cpu_s(seen, "source", "other_cpu_ns")


@figure("float", "s", source="samples: schedstat of the destination")
def cpu_destination_vcpu_s(seen: Seen) -> float | None:
    """CPU seconds of the destination's vCPU threads."""
    return _cpu_s(seen, "destination", "vcpu_cpu_ns")


@figure("float", "s", source="samples: schedstat of the destination")
def cpu_destination_other_s(seen: Seen) -> float | None:
    """CPU seconds of the destination's other threads, the migration's among them."""
    return _cpu_s(seen, "destination", "other_cpu_ns")


_SIDES: tuple[Side, Side] = ("source", "destination")


def _latest(t_ns: Ints, values: Ints, moments: Ints) -> Ints:
    """The value known at each moment: the last one before it, else the first."""
    last = np.searchsorted(t_ns, moments, side="right") - 1
    known: Ints = values[np.maximum(last, 0)]
    return known


def _sum(one: Any, other: Any) -> float | None:
    return None if one is None or other is None else float(one) + float(other)


def _cpu_s(seen: Seen, side: Side, column: str) -> float | None:
    times = seen.record.times
    if times.migrate_start_ns is None or times.migrate_end_ns is None:
        return None
    used_ns = grown(seen, side, column, times.migrate_start_ns, times.migrate_end_ns)
    return None if used_ns is None else used_ns / 1e9
