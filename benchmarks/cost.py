"""What measuring costs: the CPU time of each node while it samples and observes, and the sampling reached for it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from labctl.campaign.cells import Cell
from labctl.campaign.models import TimingSpec
from labctl.lab import Pair
from labctl.migration import RawTrial, TrialRun
from labctl.node.procfs import process_cpu_ns
from labctl.node.sampler import PERIOD_S
from labctl.results.raw import beats_frame

KINDS = ("migrate", "host")
"""of samples: QEMU's answer to query-migrate; the host's counters"""


@dataclass(frozen=True)
class Gaps:
    """How far apart samples were begun, in ms."""

    p50_ms: float
    p99_ms: float
    count: int


@dataclass(frozen=True)
class Cost:
    """What one window of a migration cost, and what it gave."""

    seconds: float
    cpu_share: Mapping[str, float]
    """of one core, by node"""
    gaps: Mapping[tuple[str, str], Gaps]
    """by side and kind of sample"""
    beats_per_s: float


class CpuMeter:
    """CPU time of processes, ended threads included, since this was made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = self._read()

    def cpu_ns(self) -> dict[str, int]:
        """By name. OSError when a process has ended."""
        now = self._read()
        return {name: now[name] - self._before[name] for name in now}

    def _read(self) -> dict[str, int]:
        return {name: process_cpu_ns(pid) for name, pid in self._pids.items()}


def gaps(raw: RawTrial, side: str, kind: str, since_ns: int, until_ns: int) -> Gaps:
    """The gaps between a side's samples of a kind that were begun in a window (NaN below two)."""
    begun = np.array(
        sorted(
            sample["request_ns"]
            for sample in raw.samples
            if (sample["side"], sample["kind"]) == (side, kind)
            and since_ns <= sample["request_ns"] <= until_ns
        )
    )
    found = np.diff(begun) / 1e6
    if not found.size:
        return Gaps(float("nan"), float("nan"), len(begun))
    return Gaps(float(np.median(found)), float(np.percentile(found, 99)), len(begun))


def nodes(pair: Pair, direction: str) -> dict[str, int]:
    """The processes of a pair's nodes, where all of them run on this machine as it knows them: the embedded lab."""
    source, destination = pair.ends(direction)
    return {
        "source": int(source.node.hello["pid"]),
        "destination": int(destination.node.hello["pid"]),
        "observer": int(pair.watch(direction).observer.hello["pid"]),
    }


def of_trial(
    pair: Pair,
    cell: Cell,
    timing: TimingSpec,
    direction: str = "forward",
    pids: Mapping[str, int] | None = None,
) -> tuple[Cost | None, RawTrial]:
    """Run a trial; the cost from the begin of its migration until the source stops, or its limit; None when it did not begin.

    Take a cell that does not converge: the window then is as long as its limit. `pids`: of whom, by name; None: `nodes`.
    """
    pids = nodes(pair, direction) if pids is None else pids
    meters: list[CpuMeter] = []
    spent: dict[str, int] = {}
    window: list[int] = []

    def entered(state: str, t_ns: int) -> None:
        if state == "precopy":
            meters.append(CpuMeter(pids))
            window.append(t_ns)
        elif meters and not spent:
            spent.update(meters[0].cpu_ns())
            window.append(t_ns)

    trial = TrialRun(cell, timing, pair, direction, stop=threading.Event(), on_state=entered)
    raw = trial.run()
    if not window:
        return None, raw
    begin_ns, end_ns = window[0], window[-1]
    elapsed_ns = end_ns - begin_ns
    beats = beats_frame(raw.beats, raw.vcpus)
    seen = int(beats["t_ns"].between(begin_ns, end_ns).sum())
    cost = Cost(
        seconds=elapsed_ns / 1e9,
        cpu_share={name: ns / elapsed_ns for name, ns in spent.items()},
        gaps={
            (side, kind): gaps(raw, side, kind, begin_ns, end_ns)
            for side in ("source", "destination")
            for kind in KINDS
        },
        beats_per_s=seen / elapsed_ns * 1e9,
    )
    return cost, raw


def table(cost: Cost) -> str:
    """For people."""
    lines = [
        f"{cost.seconds:.1f} s, {cost.beats_per_s:.0f} beats/s, asked for a sample every {PERIOD_S * 1000:g} ms"
    ]
    lines += [f"{name:12} {share:6.1%} of a core" for name, share in cost.cpu_share.items()]
    lines += [
        f"{side:12} {kind:8} gap p50 {gap.p50_ms:6.2f} ms  p99 {gap.p99_ms:6.2f} ms  n {gap.count}"
        for (side, kind), gap in cost.gaps.items()
    ]
    return "\n".join(lines)
