"""Receives the guest's beats from both QEMUs on one clock.

A thread of its own blocks on the two pipes and stamps what arrives, so that nothing this process does besides delays a
stamp by more than the interpreter's switch interval. A guest's byte-wise port writes arrive as single bytes: after the
first byte the thread lets the rest of the record arrive (50 us) instead of waking for each. Waking is what costs: at 2 kHz
it is most of the 5 to 8 % of a core that the observer takes.
"""

from __future__ import annotations

import asyncio
import os
import select
import struct
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from . import local_pipes
from .beats import PHASE_RUN, PHASES, Beat, BeatParser, Hello, Load, Report, as_dict
from .protocol import RequestError

SIDES = ("source", "destination")
_SWITCH_INTERVAL_S = 0.0005
_RECORD_ARRIVES_S = 50e-6
_CLOSE_S = 1.0
_READ_BYTES = 1 << 16
_NICE = -11
_PAGE_BYTES = 4096


def record_format(vcpus: int) -> struct.Struct:
    """How a beat is packed: t_ns, side, phase, vcpus, seq, tsc, and the work of each vCPU."""
    return struct.Struct(f"<qBBBxIQ{vcpus}I")


class Observer:
    """The beats of one trial, packed as :func:`record_format` says."""

    def __init__(self, directory: Path, nonce: int, on_change: Callable[[], None]) -> None:
        self.nonce = nonce
        self.paths = {side: str(directory / f"beats-{nonce:08x}-{side}.pipe") for side in SIDES}
        self.records = bytearray()
        self.vcpus = 0
        self.hello: dict[str, Any] = {}
        self.reports: list[dict[str, Any]] = []
        self.load: dict[str, Any] | None = None
        self.last: dict[str, Beat | None] = dict.fromkeys(SIDES)
        self.last_ns: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.count: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.foreign = 0
        self.fault: str | None = None
        self._on_change = on_change
        self._lock = threading.Lock()
        self._parsers = {side: BeatParser() for side in SIDES}
        self._pipes: list[int] = []
        # A word to the thread: it waits without a time-out.
        self._wake_read, self._wake_write = os.pipe()
        self._closing = threading.Event()
        self._packer: struct.Struct | None = None
        self._heard_destination = False
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._thread = threading.Thread(target=self._serve, name="beats", daemon=True)
        try:
            for side in SIDES:
                self._pipes.append(local_pipes.make(self.paths[side]))
            self._thread.start()
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether it receives no more."""
        return self._closing.is_set()

    def close(self) -> None:
        """Stop receiving and remove the pipes; who waits for beats is told. Safe again."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread.ident is not None:
            os.write(self._wake_write, b"x")
            self._thread.join(_CLOSE_S)
            self._on_change()
        for handle in (*self._pipes, self._wake_read, self._wake_write):
            os.close(handle)
        for path in self.paths.values():
            with suppress(FileNotFoundError):
                os.unlink(path)

    def state(self) -> dict[str, Any]:
        """What is known now: per side the count, phase and time of the last beat; hello; reports; the last load."""
        sides = {}
        for side in SIDES:
            last = self.last[side]
            sides[side] = {
                "count": self.count[side],
                "last_ns": self.last_ns[side],
                "phase": PHASES[last.phase] if last else None,
                "seq": last.seq if last else None,
                "work": list(last.work) if last else None,
            }
        return {
            "sides": sides,
            "hello": self.hello,
            "reports": list(self.reports),
            "load": self.load,
            "now_ns": time.monotonic_ns(),
        }

    def write_rate(self, since_ns: int) -> dict[str, Any]:
        """The write rate the guest itself counts in phase run after `since_ns`, bytes per second; the pages, its first and
        last beat's TSC, and the last one's time.
        """
        with self._lock:
            data, packer = bytes(self.records), self._packer
        if packer is None:
            return {"bytes_per_s": None, "seconds": 0.0}
        run = [r for r in packer.iter_unpack(data) if r[0] >= since_ns and r[2] == PHASE_RUN]
        if len(run) < 2:
            return {"bytes_per_s": None, "seconds": 0.0}
        first, last = run[0], run[-1]
        pages = sum((b - a) & 0xFFFFFFFF for a, b in zip(first[6:], last[6:]))
        seconds = (last[0] - first[0]) / 1e9
        return {
            "bytes_per_s": pages * _PAGE_BYTES / seconds,
            "seconds": seconds,
            "beats": len(run),
            "until_ns": last[0],
            "pages": pages,
            "pages_since_boot": sum(last[6:]),
            "tsc": [first[5], last[5]],
        }

    def take(self) -> dict[str, Any]:
        """All that was received, the records packed."""
        with self._lock:
            data = bytes(self.records)
        return {
            "vcpus": self.vcpus,
            "records": data,
            "foreign": self.foreign,
            "skipped_bytes": {side: self._parsers[side].skipped_bytes for side in SIDES},
        }

    def _serve(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            # A plain user's observer runs at the usual priority; the p99.9 of its idle gaps shows what that costs.
        try:
            self._receive()
        except Exception:  # noqa: BLE001 - whoever waits for beats is told, instead of waiting in vain
            self.fault = traceback.format_exc()
            self._on_change()

    def _receive(self) -> None:
        poll = select.poll()
        for handle in (*self._pipes, self._wake_read):
            poll.register(handle, select.POLLIN)
        source, destination = self._pipes
        while True:
            ready = {handle for handle, _event in poll.poll()}
            if self._closing.is_set():
                return
            time.sleep(_RECORD_ARRIVES_S)
            # The source first: a record it has begun is continued by the destination.
            if source in ready:
                self._read(source, 0)
            if destination in ready:
                self._read(destination, 1)

    def _read(self, pipe: int, number: int) -> None:
        data = os.read(pipe, _READ_BYTES)
        t_ns = time.monotonic_ns()
        side = SIDES[number]
        if side == "destination" and not self._heard_destination:
            self._heard_destination = True
            self._parsers[side].continue_from(self._parsers["source"])
        for record in self._parsers[side].feed(data):
            if record.nonce != self.nonce:
                self.foreign += 1
            elif isinstance(record, Beat):
                self._beat(t_ns, number, side, record)
            elif isinstance(record, Hello):
                self.hello = as_dict(record)
                self._on_change()
            elif isinstance(record, Load):
                self.load = dict(as_dict(record), side=side, t_ns=t_ns)
            elif isinstance(record, Report):
                self.reports.append(dict(as_dict(record), side=side, t_ns=t_ns))
                self._on_change()

    def _beat(self, t_ns: int, number: int, side: str, beat: Beat) -> None:
        if self._packer is None:
            self.vcpus = len(beat.work)
            self._packer = record_format(self.vcpus)
        if len(beat.work) != self.vcpus:
            self.foreign += 1
            return
        packed = self._packer.pack(
            t_ns, number, beat.phase, self.vcpus, beat.seq & 0xFFFFFFFF, beat.tsc, *beat.work
        )
        with self._lock:
            self.records += packed
        last = self.last[side]
        self.last[side] = beat
        self.last_ns[side] = t_ns
        self.count[side] += 1
        if last is None or last.phase != beat.phase:
            self._on_change()


async def wait_until(
    observer: Observer,
    condition: Callable[[], bool],
    changed: asyncio.Event,
    name: str,
    timeout_s: float,
    poll_s: float = 0.05,
) -> None:
    """Wait for a condition that the observer's thread brings about.

    :raise RequestError: ``timeout``, with the wait's name; ``order`` when the observer was closed meanwhile; ``bug``
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if observer.fault is not None:
            raise RequestError("bug", observer.fault)
        if observer.closed:
            raise RequestError("order", f"{name}: the observer was closed")
        left = deadline - time.monotonic()
        if left <= 0:
            raise RequestError("timeout", f"{name}: not within {timeout_s:g} s")
        changed.clear()
        if condition():
            return
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(changed.wait(), min(left, poll_s))
