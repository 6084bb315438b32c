"""Synthetic trials, for tests of what reads results: plausible in shape, and never a measurement.

Everything goes through the library's own writer. `Guest` is exact, for tests of figures; `fake_trial`
invents a whole trial of a cell, for tests of frames and reports.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from labctl.campaign import Campaign, Cell, Plan, PlannedTrial, make_plan
from labctl.results import Outcome, RunStore, TrialRecord, Verdict, raw
from labctl.results.figures import figures
from labctl.results.schema import (
    Anchor,
    Clocks,
    GuestRecord,
    LinkRecord,
    MemoryCheck,
    QemuRecord,
    Times,
)

MS = 1_000_000
S = 1_000 * MS
T0 = 1_000 * S
"""When every synthetic trial begins, on the observer's clock."""
REALTIME = 1_700_000_000 * S
PAGE = 4096
UNSHAPED_BITS_PER_S = 10**9
Side = Literal["source", "destination"]


@dataclass
class Guest:
    """A guest that beats and works exactly as told, one stretch after the other."""

    vcpus: int = 1
    period_ns: int = 500_000
    now_ns: int = T0
    seq: int = 0
    work: list[float] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def beat(self, side: Side, phase: int = 2) -> None:
        """One beat, now."""
        self.work = self.work or [0.0] * self.vcpus
        pages = [int(work) % 2**32 for work in self.work]
        at = (self.now_ns, raw.SIDES.index(side), phase, self.vcpus, 0, self.seq)
        self.rows.append((*at, self.now_ns * 5 // 2, pages))
        self.seq += 1

    def run(
        self,
        length_ns: int,
        pages_per_s: float | list[float],
        side: Side = "source",
        phase: int = 2,
    ) -> None:
        """Work and beat, the first beat a period from now, the last when the time is over."""
        rates = (
            pages_per_s
            if isinstance(pages_per_s, list)
            else [pages_per_s / self.vcpus] * self.vcpus
        )
        self.work = self.work or [0.0] * self.vcpus
        for _ in range(length_ns // self.period_ns):
            self.now_ns += self.period_ns
            self.work = [
                work + rate * self.period_ns / S
                for work, rate in zip(self.work, rates, strict=True)
            ]
            self.beat(side, phase)

    def rest(self, length_ns: int) -> None:
        """Neither work nor beat."""
        self.now_ns += length_ns

    def packed(self) -> bytes:
        """The beats as a node packs them."""
        return np.array(self.rows, dtype=raw.beat_dtype(self.vcpus)).tobytes()

    def frame(self) -> pd.DataFrame:
        """The beats as a table."""
        return raw.beats_frame(self.packed(), self.vcpus)


def record(**changes: Any) -> TrialRecord:
    """A small valid record."""
    known: dict[str, Any] = {
        "number": 1,
        "name": "0001-precopy",
        "cell": "precopy",
        "block": 1,
        "campaign": "synthetic",
        "run": "synthetic-20260101T000000Z",
        "outcome": Outcome.COMPLETED,
        "spec": {
            "factors": {"algorithm": "precopy"},
            "algorithm": {"name": "precopy", "kind": "precopy"},
            "guest": {"write_rate_bytes_per_s": 40 * 2**20, "memory_bytes": 2**28, "vcpus": 1},
            "transport": "tcp",
        },
    }
    return TrialRecord(**{**known, **changes})


def qmp(t_ns: int, side: Side, name: str, **data: Any) -> dict[str, Any]:
    """An event of QEMU: received 0.2 ms after it happened, at `t_ns`."""
    return {
        "t_ns": t_ns + 200_000,
        "side": side,
        "kind": "qmp",
        "name": name,
        "qemu_realtime_ns": t_ns - T0 + REALTIME,
        "data": data,
    }


@dataclass
class Story:
    """What happens in a synthetic migration: lengths in seconds, rates relative to the link's."""

    passes: list[float]
    blackout_ms: float
    postcopy_s: float
    converges: bool


def bits_per_s(cell: Cell) -> int:
    """What the cell's link is shaped to, or carries."""
    return cell.link.bandwidth_bits_per_s or UNSHAPED_BITS_PER_S


def story_of(cell: Cell, dice: random.Random) -> Story:
    """A plausible course for a cell."""
    link = bits_per_s(cell) / 8 * 0.94
    memory, hot = cell.guest.memory_bytes, cell.guest.working_set_bytes
    writes = cell.guest.write_rate_bytes_per_s * dice.uniform(0.97, 1.03)
    kind = cell.algorithm.kind
    first = memory / link * dice.uniform(0.98, 1.06)
    dirty = min(hot, writes * first)
    if kind == "stop_and_copy":
        return Story([], first * 1000, 0.0, converges=True)
    if kind == "postcopy":
        return Story([], dice.uniform(8, 40), first, converges=True)
    if kind == "hybrid":
        switch = writes > 0
        away = dice.uniform(20, 140) if switch else dice.uniform(3, 9)
        return Story([first], away, dirty / link if switch else 0.0, converges=True)
    passes = [first]
    while dirty / link > cell.limits.downtime_s:
        passes.append(dirty / link)
        if sum(passes) > cell.limits.total_time_s:
            left = cell.limits.total_time_s - sum(passes[:-1])
            return Story([*passes[:-1], left], 0.0, 0.0, converges=False)
        dirty = min(hot, writes * passes[-1])
    return Story(passes, dirty / link * 1000 + dice.uniform(3, 12), 0.0, converges=True)


class FakeTrial:
    """One invented trial; `record`, `beats`, `samples` and `events` when it was played."""

    def __init__(self, cell: Cell, planned: PlannedTrial, campaign: str, run: str) -> None:
        self.cell, self.planned = cell, planned
        self.dice = random.Random(f"{planned.number} {cell.name}")
        self.story = story_of(cell, self.dice)
        self.guest = Guest(vcpus=cell.guest.vcpus)
        self.pages_per_s = cell.guest.write_rate_bytes_per_s / PAGE * self.dice.uniform(0.985, 1.01)
        self.events: list[dict[str, Any]] = []
        self.entered: dict[str, int] = {}
        self.steps: list[tuple[int, int, str, float]] = []
        """start, end, status, link use"""
        self.record = self.play(campaign, run)
        self.beats = self.guest.frame()
        self.samples = raw.samples_frame(list(self.sample()))
        self.record.figures = figures(self.record, self.beats, self.samples, self.events)

    def enter(self, state: str) -> None:
        self.entered[state] = self.guest.now_ns
        self.events.append(
            {"t_ns": self.guest.now_ns, "side": "controller", "kind": "state", "name": state,
             "qemu_realtime_ns": None, "data": {}}
        )  # fmt: skip

    def work(self, seconds: float, share: float, side: Side = "source", phase: int = 2) -> None:
        """Work in stretches of some ms, each a little different, at `share` of the asked rate."""
        left = int(seconds * S)
        while left > 0:
            stretch = min(left, int(self.dice.uniform(4, 12) * MS))
            self.guest.run(
                stretch, self.pages_per_s * share * self.dice.uniform(0.98, 1.0), side, phase
            )
            left -= max(stretch, MS)

    def step(self, start_ns: int, status: str, use: float) -> None:
        self.steps.append((start_ns, self.guest.now_ns, status, use))

    def play(self, campaign: str, run: str) -> TrialRecord:
        guest, story = self.guest, self.story
        for state, seconds, phase in (("prepare", 0.0, 0), ("boot", 0.05, 0), ("fill", 0.2, 1)):
            self.enter(state)
            self.work(seconds, 0.0, phase=phase)
        self.enter("baseline")
        self.work(1.0, 1.0)
        self.enter("setup")
        self.work(0.02, 1.0)
        self.enter("precopy")
        start = guest.now_ns
        self.events.append(qmp(start + 100_000, "source", "MIGRATION", status="active"))
        for number, seconds in enumerate(story.passes, start=1):
            self.events.append(qmp(guest.now_ns, "source", "MIGRATION_PASS", **{"pass": number}))
            begun = guest.now_ns
            self.work(seconds, self.dice.uniform(0.9, 0.99))
            self.step(begun, "active", self.dice.uniform(0.97, 1.0))
        side: Side = "source"
        if story.converges:
            side = "destination"
            self.enter("switching")
            self.switch()
        else:
            self.events.append(qmp(guest.now_ns, "source", "MIGRATION", status="cancelled"))
        if story.postcopy_s:
            self.enter("postcopy")
            self.postcopy(story.postcopy_s)
        if story.converges:
            self.events.append(qmp(guest.now_ns, "destination", "MIGRATION", status="completed"))
        end = guest.now_ns
        self.enter("settle")
        self.work(0.5, 0.99, side)
        self.enter("check")
        self.work(0.1, 0.0, side, phase=3)
        self.enter("closed")
        return self.describe(campaign, run, start, end)

    def switch(self) -> None:
        away = int(self.story.blackout_ms * MS)
        begun = self.guest.now_ns
        self.events.append(qmp(begun + 300_000, "source", "STOP"))
        self.guest.rest(away)
        if self.story.postcopy_s:
            self.events.append(qmp(begun, "source", "MIGRATION", status="postcopy-active"))
        self.events.append(qmp(self.guest.now_ns - 300_000, "destination", "RESUME"))
        self.guest.beat("destination")
        self.step(begun, "device", 1.0)

    def postcopy(self, seconds: float) -> None:
        begun = self.guest.now_ns
        for number in range(10):
            share = 0.25 + 0.07 * number
            if number in {0, 1, 3}:
                self.guest.rest(int(self.dice.uniform(0.04, 0.12) * S * min(1.0, seconds)))
            self.work(seconds / 10, share, "destination")
        self.step(begun, "postcopy-active", self.dice.uniform(0.9, 0.99))

    def sample(self) -> Iterator[dict[str, Any]]:
        """Samples of both ends every 10 ms."""
        link = bits_per_s(self.cell) / 8
        first, last = self.entered["baseline"] + 800 * MS, self.entered["check"]
        sent, remaining = 0.0, float(self.cell.guest.memory_bytes)
        cpu = {"source": 0.0, "destination": 0.0}
        for due in range(first, last, 10 * MS):
            status, use = "none", 0.0
            for number, (begun, ended, named, busy) in enumerate(self.steps):
                if begun <= due < ended:
                    status, use = named, busy
                    length = max(1, ended - begun)
                    whole = self.cell.guest.memory_bytes if number == 0 else link * length / S
                    remaining = whole * (1 - (due - begun) / length)
            sent += use * link / 100
            for side in ("source", "destination"):
                share = 1.0 if (status == "postcopy-active") == (side == "destination") else 0.1
                cpu[side] += share * 9 * MS
                common = {"side": side, "due_ns": due, "request_ns": due, "reply_ns": due + MS // 2}
                back = sent if side == "source" else sent * 0.01
                yield {
                    "kind": "host", **common, "vcpu_cpu_ns": int(cpu[side]),
                    "vcpu_run_delay_ns": int(cpu[side] / 50),
                    "other_cpu_ns": int(sent / link * 0.4 * S), "other_run_delay_ns": 0,
                    "rss_bytes": self.cell.guest.memory_bytes, "tx_bytes": int(back * 0.96),
                    "rx_bytes": 0, "qdisc_sent_bytes": int(back), "qdisc_drops": 0,
                    "qdisc_backlog_bytes": 0, "threads": {"CPU 0/TCG": [int(cpu[side]), 0]},
                }  # fmt: skip
            yield {
                "kind": "migrate", **common, "side": "source", "status": status,
                "transferred_bytes": int(sent * 0.97), "remaining_bytes": int(remaining),
                "ram_total_bytes": self.cell.guest.memory_bytes, "mbps": use * link * 8 / 1e6,
                "dirty_sync_count": 1, "page_size": PAGE, "postcopy_requests": 0,
                "total_time_ms": (due - self.entered["precopy"]) // MS if use else None, "raw": {"status": status},
            }  # fmt: skip

    def describe(self, campaign: str, run: str, start: int, end: int) -> TrialRecord:
        cell, planned, story = self.cell, self.planned, self.story
        ok = story.converges
        link = bits_per_s(cell)
        final: dict[str, Any] = {"status": "cancelled"}
        if ok:
            final = {
                "status": "completed", "total-time": (end - start) // MS, "setup-time": 2,
                "downtime": int(story.blackout_ms),
                "ram": {
                    "transferred": int(sum(e - b for b, e, _, _ in self.steps) / S * link / 8),
                    "postcopy-requests": self.dice.randrange(200, 900) if story.postcopy_s else 0,
                },
            }  # fmt: skip
        checked = cell.guest.memory_bytes // PAGE
        qemu = QemuRecord(
            version="7.2.22", path="/usr/bin/qemu-system-x86_64", accelerator="tcg",
            machine_type="pc-i440fx-7.2", argv=["qemu-system-x86_64", "-name", "<synthetic> & co"],
        )  # fmt: skip
        clock = [Anchor(monotonic_ns=T0, realtime_ns=REALTIME)]
        return TrialRecord(
            number=planned.number, name=planned.name, cell=cell.name, block=planned.block,
            warmup=planned.warmup, direction=planned.direction, pair="a-b",
            campaign=campaign, run=run, spec=cell.model_dump(mode="json"),
            outcome=Outcome.COMPLETED if ok else Outcome.NOT_CONVERGED,
            verdict=Verdict.ON_DESTINATION if ok else Verdict.ON_SOURCE,
            reason=None if ok else f"not over after its limit of {cell.limits.total_time_s:g} s",
            times=Times(entered=self.entered, migrate_start_ns=start, migrate_end_ns=end),
            clocks=Clocks(anchors={"source": clock, "destination": clock, "observer": clock}),
            qemu={"source": qemu, "destination": qemu},
            guest=GuestRecord(
                sha256="0" * 64, check=MemoryCheck(pages_checked=checked, pages_bad=0)
            ),
            links={
                "migration": LinkRecord(
                    asked_bits_per_s=link, goodput_bits_per_s=link * 0.94, wire_bits_per_s=link * 0.99,
                    deviation=-0.01, rtt_loaded_ms=1.0
                )
            },
            final_query_migrate=final,
        )  # fmt: skip


ENVIRONMENT = {
    "labctl": "0.1.0",
    "hosts": {
        "local": {"cpu": "Synthetic CPU <2 cores>", "kernel": "6.1.0", "memory_bytes": 2**34}
    },
    "note": "synthetic: made for a test, nothing was measured",
}


def quickstart(**changes: Any) -> Campaign:
    """The quickstart's campaign."""
    known: dict[str, Any] = {
        "name": "quickstart",
        "guest": {"memory": "256MiB", "working_set": "64MiB", "pattern": "random"},
        "link": {"bandwidth": "1Gbit/s"},
        "matrix": {
            "algorithm": ["precopy", "postcopy", "hybrid"],
            "write_rate": ["0MiB/s", "40MiB/s", "400MiB/s"],
        },
        "limits": {"total_time": "10s", "downtime": "300ms"},
        "repetitions": 3,
    }
    return Campaign.model_validate({**known, **changes})


def fake_trial(campaign: Campaign, plan: Plan, number: int, run: str = "a-run") -> FakeTrial:
    """The trial of that number, invented."""
    planned = plan.trials[number - 1]
    return FakeTrial(plan.cell(planned.cell), planned, campaign.name, run)


def write(store: RunStore, trial: FakeTrial) -> Path:
    """Store an invented trial."""
    return store.write_trial(
        trial.record,
        beats=trial.beats,
        samples=trial.samples,
        events=trial.events,
        logs={"source-qemu.log": "synthetic\n"},
    )


def fake_run(
    out: Path,
    campaign: Campaign | None = None,
    *,
    plan: Plan | None = None,
    trials: int | None = None,
) -> Path:
    """A run in `out`, its first `trials` trials (all, when None) invented; its folder."""
    campaign = campaign or quickstart()
    plan = plan or make_plan(campaign)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with RunStore.create(out, campaign, plan, ENVIRONMENT, now=now) as store:
        supported = (trial for trial in plan.trials if trial.supported)
        for planned in itertools.islice(supported, trials):
            write(store, fake_trial(campaign, plan, planned.number, store.name))
    return store.path
