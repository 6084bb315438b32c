"""Counters the kernel keeps: CPU time and run delay of threads, resident memory, interface bytes.

``schedstat`` counts in nanoseconds (``stat`` ticks at 10 ms), and a process clock keeps the time of threads that have ended:
QEMU's migration thread is gone from /proc the moment the migration completes.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LINE_BYTES, _TABLE_BYTES = 256, 1 << 16


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


class ProcessCounters:
    """Counters of one process, read again and again: a file of /proc that is kept open costs a tenth of one that is opened.

    :ivar names: of each thread that was ever seen.
    :raise OSError: when there is no such process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._memory = _open(f"/proc/{pid}/statm")
        self._threads: dict[int, int] = {}
        self.names: dict[int, str] = {}

    def relist(self) -> None:
        """Look for threads that are new."""
        for tid in thread_ids(self._pid):
            if tid not in self._threads:
                base = f"/proc/{self._pid}/task/{tid}/"
                with suppress(OSError):  # it has ended meanwhile
                    self.names[tid] = _read(base + "comm").strip()
                    self._threads[tid] = _open(base + "schedstat")

    def threads(self) -> list[tuple[int, bytes]]:
        """What the kernel says of each known thread that still lives, for :func:`thread_times`."""
        found = []
        for tid, handle in list(self._threads.items()):
            try:
                found.append((tid, os.pread(handle, _LINE_BYTES, 0)))
            except OSError:
                os.close(self._threads.pop(tid))
        return found

    def resident_bytes(self) -> int:
        """Resident memory; 0 when the process has ended."""
        try:
            return int(os.pread(self._memory, _LINE_BYTES, 0).split()[1]) * _PAGE_BYTES
        except ProcessLookupError:
            return 0

    def close(self) -> None:
        """Close the files."""
        for handle in (self._memory, *self._threads.values()):
            os.close(handle)
        self._threads.clear()


def thread_times(name: str, said: bytes) -> ThreadTimes:
    """What the kernel said of a thread, read."""
    cpu_ns, run_delay_ns, _slices = said.split()
    return ThreadTimes(name, int(cpu_ns), int(run_delay_ns))


class InterfaceCounters:
    """Bytes that crossed an interface of this network namespace, its file kept open."""

    def __init__(self, interface: str) -> None:
        self._interface = interface.encode()
        self._handle = _open("/proc/self/net/dev")

    def read(self) -> InterfaceBytes:
        """The counters now; zero when there is no such interface."""
        for line in os.pread(self._handle, _TABLE_BYTES, 0).splitlines():
            name, _, counters = line.partition(b":")
            if name.strip() == self._interface:
                fields = counters.split()
                return InterfaceBytes(int(fields[0]), int(fields[8]))
        return InterfaceBytes(0, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


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


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
