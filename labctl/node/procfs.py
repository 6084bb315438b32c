"""Counters the kernel keeps: CPU time and run delay of threads, resident memory, interface bytes.

``schedstat`` counts in nanoseconds (``stat`` ticks at 10 ms), and a process clock keeps the time of threads that have ended:
QEMU's migration thread is gone from /proc the moment the migration completes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ThreadTimes(NamedTuple):
    """What a thread has used, and how long it was ready without running."""

    name: str
    cpu_ns: int
    run_delay_ns: int


class InterfaceBytes(NamedTuple):
    """Bytes an interface has received and sent."""

    rx_bytes: int
    tx_bytes: int


def process_cpu_ns(pid: int) -> int:
    """CPU time of a process in ns, its ended threads included (the kernel's process clock of that pid).

    :raise OSError: when there is no such process.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def thread_ids(pid: int) -> list[int]:
    """The threads of a process that live now."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def thread_times(pid: int, tids: Iterable[int], names: dict[int, str]) -> dict[int, ThreadTimes]:
    """CPU time and run delay of each thread that still lives; `names` caches the threads' names."""
    found = {}
    for tid in tids:
        base = f"/proc/{pid}/task/{tid}/"
        try:
            cpu_ns, run_delay_ns, _slices = _read(base + "schedstat").split()
            if tid not in names:
                names[tid] = _read(base + "comm").strip()
        except (OSError, ValueError):
            continue
        found[tid] = ThreadTimes(names[tid], int(cpu_ns), int(run_delay_ns))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory in bytes, 0 when the process has ended."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def interface_bytes(interface: str) -> InterfaceBytes:
    """Bytes that crossed an interface of this network namespace."""
    for line in _read("/proc/self/net/dev").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == interface:
            fields = counters.split()
            return InterfaceBytes(int(fields[0]), int(fields[8]))
    return InterfaceBytes(0, 0)


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; with the pid it names a process for good.

    0 when there is none, or only the zombie of one, which nobody has waited for yet.
    """
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0


def available_memory_bytes() -> int:
    """What could be allocated without swapping."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def anchors() -> tuple[int, int]:
    """CLOCK_MONOTONIC and CLOCK_REALTIME read together, in ns; the closest of a few tries."""
    best: tuple[int, int, int] | None = None
    for _ in range(5):
        before = time.monotonic_ns()
        realtime = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, (before + after) // 2, realtime)
    assert best is not None
    return best[1], best[2]


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
