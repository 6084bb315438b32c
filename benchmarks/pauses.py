"""Pauses of known length against what the beats say of them: how true the instrument is.

The kernel makes the pauses: SIGSTOP holds QEMU, SIGCONT lets it go, and the truth is the time between the two. (QEMU's own
`stop` would not do: on a loaded machine what carries the command takes the core from the guest a millisecond before, and
its STOP event comes when the vCPU has had a core to say that it halts.) What is seen is the gap in the beats, as the observer
stamps them. A beat comes every half millisecond, so a gap is up to that much longer than its pause; the rest is the
instrument's, and what the guest waits for a core before it goes on.
"""

import os
import random
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.claim import NotMeasured
from benchmarks.lab import MIB, running
from labctl.campaign import GuestSpec
from labctl.lab import Pair
from labctl.migration import RawTrial
from labctl.results.figures.seen import Seen
from labctl.results.figures.stalls import stall_threshold_ms, stalls
from labctl.results.raw import PHASE_RUN, beats_frame, samples_frame
from labctl.results.schema import Outcome, Times, TrialRecord

LENGTHS_MS = (10, 20, 50, 100, 200, 500, 1000)
BASELINE_S = 1.0
"""before the first pause, as long as a trial's: what labctl takes a stall's threshold from"""
BETWEEN_S = 0.15
"""the guest runs undisturbed between two pauses"""
GUEST = GuestSpec(
    memory_bytes=64 * MIB, working_set_bytes=4 * MIB, write_rate_bytes_per_s=MIB, fill="zero"
)


@dataclass(frozen=True)
class Pause:
    """One pause: as it was asked, as the kernel made it, as the beats showed it (None: not at all)."""

    asked_ms: float
    true_ms: float
    seen_ms: float | None
    is_stall: bool
    """labctl counts a stall in it"""

    @property
    def error_ms(self) -> float:
        """Seen less true; NaN when it was not seen."""
        return float("nan") if self.seen_ms is None else self.seen_ms - self.true_ms


@dataclass(frozen=True)
class Measured:
    """Pauses in the order they were made, and what was seen between them."""

    pauses: list[Pause]
    gap_p99_ms: float
    """99 of 100 gaps between beats are shorter while nothing is paused: what the host alone does to them"""
    stall_threshold_ms: float
    """what a gap had to exceed to count as a stall: labctl's definition, from the second before the first pause"""
    false_stalls_ms: list[float]
    """the stalls in which nothing was paused"""
    undisturbed_s: float
    """how long nothing was paused, that second left out"""


def measure(
    pair: Pair,
    lengths_ms: Iterable[float] = LENGTHS_MS,
    *,
    repeats: int = 5,
    seed: int = 1,
    undisturbed_s: float = 0.0,
) -> Measured:
    """Stop and continue a machine on the pair's first host, in an order shuffled by `seed`; then leave it alone for a while."""
    order = [length for length in lengths_ms for _ in range(repeats)]
    random.Random(seed).shuffle(order)
    with running(pair, GUEST) as guest:
        baseline_start_ns = time.monotonic_ns()
        time.sleep(BASELINE_S)
        pauses_start_ns = time.monotonic_ns()
        held = []
        for length_ms in order:
            time.sleep(BETWEEN_S)
            held.append((length_ms, *_hold(guest.raw.qemu["source"]["pid"], length_ms)))
        time.sleep(BETWEEN_S + undisturbed_s)
        end_ns = time.monotonic_ns()
    return read(held, guest.raw, (baseline_start_ns, pauses_start_ns, end_ns))


def _hold(pid: int, length_ms: float) -> tuple[int, int]:
    """Keep a process from running for so long; from when until when it was. NotMeasured when it is another user's."""
    try:
        os.kill(pid, signal.SIGSTOP)
        start_ns = time.monotonic_ns()
        try:
            time.sleep(length_ms / 1000)
        finally:
            end_ns = time.monotonic_ns()
            os.kill(pid, signal.SIGCONT)
    except PermissionError:
        raise NotMeasured("QEMU runs as another user and cannot be held: run it as root") from None
    return start_ns, end_ns


def read(
    held: Sequence[tuple[float, int, int]], raw: RawTrial, moments_ns: tuple[int, int, int]
) -> Measured:
    """The pauses in what was seen of a machine. `held`: of each, the length asked, its start and its end; `moments_ns`:
    its baseline's start and end, and the end of all.
    """
    beats = beats_frame(raw.beats, raw.vcpus)
    t_ns = np.sort(beats.loc[beats["phase"] == PHASE_RUN, "t_ns"].to_numpy(np.int64))
    gaps_ms = np.diff(t_ns) / 1e6
    paused = np.zeros(len(gaps_ms), dtype=bool)
    threshold_ms, found = _stalls(raw, beats, moments_ns)
    pauses, true_stalls = [], set()
    for asked_ms, start_ns, end_ns in held:
        middle = (start_ns + end_ns) // 2
        after = int(np.searchsorted(t_ns, middle))
        seen_ms = None
        if 0 < after < len(t_ns):
            seen_ms = float(gaps_ms[after - 1])
            paused[after - 1] = True
        inside = {span for span in found if span[0] <= middle <= span[1]}
        true_stalls |= inside
        pauses.append(Pause(asked_ms, (end_ns - start_ns) / 1e6, seen_ms, bool(inside)))
    paused_s = sum(pause.true_ms for pause in pauses) / 1000
    return Measured(
        pauses,
        float(np.percentile(gaps_ms[~paused], 99)),
        threshold_ms,
        [(end - start) / 1e6 for start, end in found if (start, end) not in true_stalls],
        (moments_ns[2] - moments_ns[1]) / 1e9 - paused_s,
    )


def _stalls(
    raw: RawTrial, beats: Any, moments_ns: tuple[int, int, int]
) -> tuple[float, list[tuple[int, int]]]:
    """The threshold and the stalls by labctl's own code, as if all after the baseline were a migration."""
    baseline_start_ns, baseline_end_ns, end_ns = moments_ns
    record = TrialRecord(
        number=1,
        name="pauses",
        cell="pauses",
        block=1,
        campaign="pauses",
        run="pauses",
        outcome=Outcome.COMPLETED,
        times=Times(
            entered={"check": end_ns},
            baseline_start_ns=baseline_start_ns,
            baseline_end_ns=baseline_end_ns,
            migrate_start_ns=baseline_end_ns,
        ),
    )
    seen = Seen(record, beats, samples_frame([]), raw.events)
    threshold = stall_threshold_ms(seen)
    assert threshold is not None, "the second before the first pause has some 2000 beats"
    return float(threshold), [(s.span.start_ns, s.span.end_ns) for s in stalls(seen) or []]


def table(measured: Measured) -> str:
    """Medians by length, and the worst error of each."""
    pauses = measured.pauses
    lines = ["asked ms    n   true ms   seen ms   median error ms   worst ms"]
    for asked_ms in sorted({pause.asked_ms for pause in pauses}):
        same = [pause for pause in pauses if pause.asked_ms == asked_ms]
        seen = [pause.seen_ms for pause in same if pause.seen_ms is not None]
        errors = [pause.error_ms for pause in same if pause.seen_ms is not None]
        worst = max(errors, key=abs, default=float("nan"))
        lines.append(
            f"{asked_ms:8g} {len(same):4d} {median(p.true_ms for p in same):9.2f} "
            f"{median(seen) if seen else float('nan'):9.2f} "
            f"{median(errors) if errors else float('nan'):17.2f} {worst:10.2f}"
        )
    lines.append(f"between pauses, 99 of 100 gaps are below {measured.gap_p99_ms:.2f} ms")
    return "\n".join(lines)
