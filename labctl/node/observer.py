"""Receives the guest's beats from both QEMUs on one clock.

A thread of its own blocks on two inlets (:mod:`.inlets`: pipes of this host, relays of others) and stamps what arrives. It runs before anything else that wants its core
(SCHED_FIFO): at the usual priority a byte that came after a pause was heard 3 ms later on a loaded machine.

Waking is what costs: 70 us of a core for each beat beside a migration, 14 % of one at 2 kHz. So the thread wakes for the
first byte, lets beats gather, and takes them together: then it is 5 %. The guest's own clock (TSC), which stands in every
beat, tells how far they lie apart. A guest that stands still longer than they gather wakes the thread with its first byte
after; a stop of the whole machine that is shorter may be told up to that much later than it was, but as long as it was.
"""

from __future__ import annotations

import os
import select
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

from .beats import PHASE_RUN, PHASES, SIDES, Beat, BeatParser, Hello, Load, Report, as_dict
from .inlets import ASK_EVERY_NS, Chunk, Door, Inlet, PipeInlet, RelayInlet
from .protocol import RequestError
from .relay import GATHER_S, run_before_others

_SWITCH_INTERVAL_S = 0.0005
_CLOSE_S = 1.0
_PAGE_BYTES = 4096


def record_format(vcpus: int) -> struct.Struct:
    """How a beat is packed: t_ns, side, phase, vcpus, seq, tsc, and the work of each vCPU."""
    return struct.Struct(f"<qBBBxIQ{vcpus}I")


class Observer:
    """The beats of one trial, packed as :func:`record_format` says."""

    def __init__(
        self,
        directory: Path,
        nonce: int,
        on_change: Callable[[], None],
        *,
        door_address: str | None = None,
        relayed: Sequence[str] = (),
    ) -> None:
        """`relayed`: sides whose beats a relay brings, to a port of `door_address`; the others write to a pipe here."""
        self.nonce = nonce
        self.records = bytearray()
        self.vcpus = 0
        self.hello: dict[str, Any] = {}
        self.reports: list[dict[str, Any]] = []
        self.load: dict[str, Any] | None = None
        self.last: dict[str, Beat | None] = dict.fromkeys(SIDES)
        self.last_ns: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.first_ns: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.count: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.foreign = 0
        self.fault: RequestError | None = None
        self._on_change = on_change
        self._lock = threading.Lock()
        self._parsers = {side: BeatParser() for side in SIDES}
        self._inlets: dict[str, Inlet] = {}
        self._awaited = set(relayed)
        self.door: Door | None = None
        # A word to the thread: it waits without a time-out.
        self._wake_read, self._wake_write = os.pipe()
        self._closing = threading.Event()
        self._packer: struct.Struct | None = None
        self._heard_destination = False
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._thread = threading.Thread(target=self._serve, name="beats", daemon=True)
        try:
            if relayed:
                self.door = Door(str(door_address))
            for side in SIDES:
                if side not in relayed:
                    path = directory / f"beats-{nonce:08x}-{side}.pipe"
                    self._inlets[side] = PipeInlet(str(path))
            self._thread.start()
        except BaseException:
            self.close()
            raise

    @property
    def paths(self) -> dict[str, str]:
        """The pipes of this host, by side."""
        pipes = ((side, inlet) for side, inlet in self._inlets.items())
        return {side: inlet.path for side, inlet in pipes if isinstance(inlet, PipeInlet)}

    @property
    def closed(self) -> bool:
        """Whether it receives no more."""
        return self._closing.is_set()

    @property
    def clocks(self) -> dict[str, dict[str, int]]:
        """Of each relayed side: what to add to its host's time to have this one's, and how surely. Empty until all are known."""
        relays = {s: i for s, i in list(self._inlets.items()) if isinstance(i, RelayInlet)}
        if self._awaited or not all(inlet.clock.known for inlet in relays.values()):
            return {}
        return {side: inlet.clock.as_dict() for side, inlet in relays.items()}

    @property
    def compared(self) -> bool:
        """Whether every relay is there and its clock known."""
        return not self._awaited and (bool(self.clocks) or self.door is None)

    def close(self) -> None:
        """Stop receiving and remove the pipes; who waits for beats is told. Safe again."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread.ident is not None:
            os.write(self._wake_write, b"x")
            self._thread.join(_CLOSE_S)
            self._on_change()
        for inlet in self._inlets.values():
            inlet.close()
        if self.door is not None:
            self.door.close()
        for handle in (self._wake_read, self._wake_write):
            os.close(handle)

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

    def brief(self) -> dict[str, Any]:
        """What is worth telling several times a second: the newest work of each vCPU, and when each side first and last beat."""
        newest = self.last["destination"] or self.last["source"]
        return {
            "now_ns": time.monotonic_ns(),
            "work": list(newest.work) if newest else None,
            "first_ns": dict(self.first_ns),
            "last_ns": dict(self.last_ns),
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
        run_before_others()
        try:
            self._receive()
        except RequestError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - whoever waits for beats is told, instead of waiting in vain
            self._fail(RequestError("bug", traceback.format_exc()))

    def _fail(self, fault: RequestError) -> None:
        self.fault = fault
        self._on_change()

    def _receive(self) -> None:
        while True:
            came_ns = self._gather()
            if self._closing.is_set():
                return
            # The source first: a record it has begun is continued by the destination.
            for side in SIDES:
                inlet = self._inlets.get(side)
                if inlet is None:
                    continue
                if inlet.fileno() in came_ns:
                    self._take(side, inlet, came_ns[inlet.fileno()])
                if isinstance(inlet, RelayInlet):
                    with _named(side):
                        inlet.ask_when_due(time.monotonic_ns())
            if self.door is not None and self.door.fileno() in came_ns:
                self._admit(self.door)

    def _gather(self) -> dict[int, int]:
        """Wait for the first byte, and let more come while nothing else is heard; when the bytes of each handle began to come."""
        handles = [inlet.fileno() for inlet in self._inlets.values()] + [self._wake_read]
        if self.door is not None and self._awaited:
            handles.append(self.door.fileno())
        relays = any(isinstance(inlet, RelayInlet) for inlet in self._inlets.values())
        ready, _, _ = select.select(handles, [], [], ASK_EVERY_NS / 1e9 if relays else None)
        came_ns = dict.fromkeys(ready, time.monotonic_ns())
        local = {inlet.fileno() for inlet in self._inlets.values() if isinstance(inlet, PipeInlet)}
        if local.isdisjoint(ready):
            return came_ns  # a relay has let its bytes gather already
        silent = [handle for handle in handles if handle not in came_ns]
        ready, _, _ = select.select(silent, [], [], GATHER_S)
        return came_ns | dict.fromkeys(ready, time.monotonic_ns())

    def _admit(self, door: Door) -> None:
        admitted = door.admit()
        if admitted is None or admitted[0] not in self._awaited:
            return
        side, inlet = admitted
        self._inlets[side] = inlet
        self._awaited.discard(side)

    def _take(self, side: str, inlet: Inlet, came_ns: int) -> None:
        """Take what a side's inlet has; before the destination's very first bytes, all that the source had said by then."""
        with _named(side):
            chunks = inlet.take(came_ns)
        if side == "destination" and chunks and not self._heard_destination:
            self._heard_destination = True
            source = self._inlets.get("source")
            with _named("source"):
                for chunk in source.flush() if source else ():
                    self._read("source", chunk)
            self._parsers[side].continue_from(self._parsers["source"])
        for chunk in chunks:
            self._read(side, chunk)

    def _read(self, side: str, chunk: Chunk) -> None:
        t_ns = chunk.read_ns
        beats = []
        for record in self._parsers[side].feed(chunk.data):
            if record.nonce != self.nonce:
                self.foreign += 1
            elif isinstance(record, Beat):
                beats.append(record)
            elif isinstance(record, Hello):
                self.hello = as_dict(record)
                self._on_change()
            elif isinstance(record, Load):
                self.load = dict(as_dict(record), side=side, t_ns=t_ns)
            elif isinstance(record, Report):
                self.reports.append(dict(as_dict(record), side=side, t_ns=t_ns))
                self._on_change()
        switched = side == "destination" and not self.count[side]
        # No beat comes before those of its side that were read already; the destination's first, not before the source's.
        earliest_ns = self.last_ns["source" if switched else side]
        for beat_ns, beat in zip(self._stamps(beats, chunk.came_ns, t_ns, switched), beats):
            earliest_ns = max(beat_ns, earliest_ns)
            self._beat(earliest_ns, side, beat)

    def _stamps(
        self, beats: list[Beat], came_ns: int, read_ns: int, switched: bool = False
    ) -> list[int]:
        """When each of the beats came that were read together.

        The first did so at the latest when its bytes were heard, the last when it was read. Both say how far the host's clock
        is at most ahead of the guest's; the lesser holds. `switched`: the first of them is the destination's first. The
        guest may have read its clock for it on the source (on a busy host 20 ms before it was stopped there), so that the clock
        says nothing of when it came: it did when its bytes were heard, and before the next.
        """
        tsc_hz = self.hello.get("tsc_hz")
        if not beats or not tsc_hz:
            return [read_ns] * len(beats)
        if switched:
            others_ns = self._stamps(beats[1:], read_ns, read_ns)
            return [min([came_ns, *others_ns]), *others_ns]
        guest_ns = [beat.tsc * 1_000_000_000 // tsc_hz for beat in beats]
        ahead_ns = min(came_ns - guest_ns[0], read_ns - guest_ns[-1])
        return [min(at + ahead_ns, read_ns) for at in guest_ns]

    def _beat(self, t_ns: int, side: str, beat: Beat) -> None:
        if self._packer is None:
            self.vcpus = len(beat.work)
            self._packer = record_format(self.vcpus)
        if len(beat.work) != self.vcpus:
            self.foreign += 1
            return
        packed = self._packer.pack(
            t_ns,
            SIDES.index(side),
            beat.phase,
            self.vcpus,
            beat.seq & 0xFFFFFFFF,
            beat.tsc,
            *beat.work,
        )
        with self._lock:
            self.records += packed
        last = self.last[side]
        self.last[side] = beat
        self.first_ns[side] = self.first_ns[side] or t_ns
        self.last_ns[side] = t_ns
        self.count[side] += 1
        if last is None or last.phase != beat.phase:
            self._on_change()


@contextmanager
def _named(side: str) -> Iterator[None]:
    """Say of a relay that failed whose it was."""
    try:
        yield
    except RequestError as error:
        raise RequestError(
            error.code, f"the relay of the {side}'s beats: {error.message}"
        ) from None
