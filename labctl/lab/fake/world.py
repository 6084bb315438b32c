"""The pretended machine behind a pair of fake nodes: where it runs from when to when, and what follows from that.

Times are real (the controller's own clock), everything else is invented.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from labctl.node.beats import PHASES, SIDES
from labctl.node.observer import record_format

PAGE_BYTES = 4096
BEAT_NS = 500_000
SAMPLE_NS = 10_000_000
BLACKOUT_NS = 20_000_000
_START_NS = 2_000_000
_TSC_HZ = 2_000_000_000
_REALTIME_NS = 1_700_000_000 * 10**9


@dataclass(frozen=True)
class Stretch:
    """From here on the machine beats on these sides (each is a machine of its own), in this phase."""

    start_ns: int
    sides: frozenset[str]
    phase: str = "run"


@dataclass
class World:
    """One attempt at a trial, as it happens to the machine."""

    rate_bytes_per_s: float = 0.0
    memory_bytes: int = 0
    nonce: int = 0
    vcpus: int = 1
    stretches: list[Stretch] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {side: [] for side in SIDES}
    )

    def start(self, sides: frozenset[str]) -> None:
        """The machine boots, fills its memory and runs."""
        now = time.monotonic_ns()
        self.stretches = [
            Stretch(now, sides, "boot"),
            Stretch(now + _START_NS, sides, "fill"),
            Stretch(now + 2 * _START_NS, sides, "run"),
        ]

    def move(self, sides: frozenset[str], phase: str = "run", after_ns: int = 0) -> None:
        """From now, or a blackout later, it beats elsewhere, or in another phase."""
        now = time.monotonic_ns()
        self.stretches = [s for s in self.stretches if s.start_ns <= now]
        if after_ns:
            self.stretches.append(Stretch(now, frozenset()))
        self.stretches.append(Stretch(now + after_ns, sides, phase))

    def note(self, side: str, name: str, kind: str = "qmp", **data: Any) -> int:
        """Something a side's node will tell when its machine is ended; its time."""
        now = time.monotonic_ns()
        self.events[side].append(
            {
                "t_ns": now,
                "kind": kind,
                "name": name,
                "qemu_realtime_ns": now + _REALTIME_NS if kind == "qmp" else None,
                "data": data,
            }
        )
        return now

    def state(self) -> dict[str, Any]:
        """What the observer knows now."""
        now = time.monotonic_ns()
        sides = {}
        for side in SIDES:
            there = [s for s in self.stretches if side in s.sides and s.start_ns <= now]
            sides[side] = {
                "count": self._count(side, now),
                "last_ns": now if there else 0,
                "phase": there[-1].phase if there else None,
                "seq": None,
                "work": None,
            }
        return {"sides": sides, "hello": self._hello(), "reports": self.reports, "now_ns": now}

    def wait(self, side: str, wanted: dict[str, Any]) -> bool:
        """Let the time pass that it takes until a side's beats are as wanted; False where they never will be."""
        if len(self.reports) < wanted.get("reports", 0):
            return False
        now = time.monotonic_ns()
        coming = [s for s in self.stretches if side in s.sides and self._end(s, now) >= now]
        phase = wanted.get("phase")
        coming = [s for s in coming if phase is None or s.phase == phase]
        if not coming:
            return False
        beats_ns = (wanted.get("beats", 0) + 1) * BEAT_NS
        time.sleep((max(now, coming[0].start_ns) + beats_ns - now) / 1e9)
        return True

    def packed(self) -> bytes:
        """Every beat until now, as an observer packs them."""
        now = time.monotonic_ns()
        pack = record_format(self.vcpus).pack
        records = bytearray()
        work, seq = 0.0, 0
        for stretch in self.stretches:
            pages = self.rate_bytes_per_s / PAGE_BYTES * BEAT_NS / 1e9 / self.vcpus
            for t_ns in range(stretch.start_ns, self._end(stretch, now), BEAT_NS):
                work += pages if stretch.phase == "run" and stretch.sides else 0
                seq += 1 if stretch.sides else 0
                for side in sorted(stretch.sides, key=SIDES.index):
                    records += pack(
                        t_ns, SIDES.index(side), PHASES.index(stretch.phase), self.vcpus, seq,
                        t_ns * _TSC_HZ // 10**9, *[int(work) & 0xFFFFFFFF] * self.vcpus,
                    )  # fmt: skip
        return bytes(records)

    def samples(self, side: str, start_ns: int, status: str) -> list[dict[str, Any]]:
        """A side's samples since `start_ns`: counters that grow with the time."""
        now = time.monotonic_ns()
        found: list[dict[str, Any]] = []
        for t_ns in range(start_ns, now, SAMPLE_NS):
            done = (t_ns - start_ns) / max(1, now - start_ns)
            sent = int(done * self.memory_bytes) if side == "source" else 0
            times = {"due_ns": t_ns, "request_ns": t_ns, "reply_ns": t_ns + 100_000}
            ram = {
                "transferred": sent, "remaining": self.memory_bytes - sent, "total": self.memory_bytes,
                "page-size": PAGE_BYTES, "dirty-sync-count": 1,
            }  # fmt: skip
            found.append({"kind": "migrate", **times, "raw": {"status": status, "ram": ram}})
            found.append(
                {
                    "kind": "host", **times, "vcpu_cpu_ns": t_ns - start_ns, "vcpu_run_delay_ns": 0,
                    "other_cpu_ns": sent, "other_run_delay_ns": 0, "rss_bytes": self.memory_bytes,
                    "tx_bytes": sent, "rx_bytes": 0, "qdisc_sent_bytes": sent, "qdisc_drops": 0,
                    "qdisc_backlog_bytes": 0, "threads": "{}",
                }
            )  # fmt: skip
        return found

    def _end(self, stretch: Stretch, now: int) -> int:
        place = self.stretches.index(stretch)
        following = self.stretches[place + 1 :]
        return min(following[0].start_ns, now) if following and following[0].start_ns < now else now

    def _count(self, side: str, now: int) -> int:
        there = [s for s in self.stretches if side in s.sides and s.start_ns <= now]
        return sum(max(0, self._end(s, now) - s.start_ns) // BEAT_NS + 1 for s in there)

    def _hello(self) -> dict[str, Any]:
        return {
            "nonce": self.nonce, "tsc": 0, "tsc_hz": _TSC_HZ, "memory_bytes": self.memory_bytes,
            "ws_bytes": 0, "checked_bytes": self.memory_bytes, "ws_start": 0, "fill_start1": 0,
            "fill_length1": 0, "fill_start2": 0, "fill_length2": 0, "vcpus": self.vcpus,
        }  # fmt: skip
