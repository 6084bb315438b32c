"""Claim: the beats show how long a guest stood still."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks import load
from benchmarks.claim import Claim, Tell
from benchmarks.lab import opened, pair_of
from benchmarks.pauses import BETWEEN_S, Measured, Pause, measure
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval, p95, p95_interval

LONG = 50
LONG_MS = tuple(float(length) for length in np.geomspace(10, 1000, LONG))
SHORT_MS = (1.0, 2.0, 3.0, 5.0, 7.0)
SHORT_REPEATS = 20
UNDISTURBED_S = 30.0
MEDIAN_MOST_MS = 1.0
P95_MOST_MS = 5.0
STALL_FLOOR_MS = 5.0
"""labctl counts nothing shorter as a stall"""
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Machine:
    """What else the machine does while it is measured."""

    name: str
    text: str
    busy: int
    """processes that never rest"""
    held: bool = True
    """its rows are held to the limits"""


MACHINES = (
    Machine("idle", "an idle machine", 0),
    Machine("loaded", "a loaded machine", CORES - 1),
    Machine("crowded", "a crowded machine", CORES, held=False),
)
_LONG_S = sum(LONG_MS) / 1000 + LONG * (BETWEEN_S + 0.01)
_SHORT_S = len(SHORT_MS) * SHORT_REPEATS * (BETWEEN_S + 0.01) + UNDISTURBED_S
_AROUND_S = 4.0


def measure_all(tell: Tell) -> Iterator[Row]:
    """The same pauses on each machine."""
    with opened() as lab:
        for number, machine in enumerate(MACHINES):
            tell(machine.text, number / len(MACHINES))
            with load.busy(machine.busy):
                yield from long_rows(machine, measure(pair_of(lab), LONG_MS, repeats=1))
                short = measure(
                    pair_of(lab), SHORT_MS, repeats=SHORT_REPEATS, undisturbed_s=UNDISTURBED_S
                )
                yield from short_rows(machine, short)


def long_rows(machine: Machine, measured: Measured) -> Iterator[Row]:
    """Median and 95th percentile of the errors, a pause that was not seen counted as wrong by all of its length."""
    errors = [
        abs(pause.error_ms) if pause.seen_ms is not None else pause.true_ms
        for pause in measured.pauses
    ]
    what = f"blackout, pauses of 10 ms to 1 s on {machine.text}"
    points = [_point(pause) for pause in measured.pauses]
    yield Row(
        f"{machine.name}-median", f"{what}: median error", median(errors), "ms", len(errors),
        median_interval(errors), Limit(most=MEDIAN_MOST_MS) if machine.held else None, points=points,
    )  # fmt: skip
    yield Row(
        f"{machine.name}-p95", f"{what}: 95th percentile of the error", p95(errors), "ms", len(errors),
        p95_interval(errors), Limit(most=P95_MOST_MS) if machine.held else None,
        note=f"between pauses 99 of 100 gaps are below {measured.gap_p99_ms:.1f} ms",
    )  # fmt: skip


def short_rows(machine: Machine, measured: Measured) -> Iterator[Row]:
    """How many of the short pauses count as stalls, and how many stalls nobody made."""
    threshold = measured.stall_threshold_ms
    points = [_point(pause) for pause in measured.pauses]
    for what, low, high in (
        ("below 5 ms, which is no stall by definition", 0.0, STALL_FLOOR_MS),
        ("of 5 to 10 ms", STALL_FLOOR_MS, 10.0),
    ):
        these = [pause for pause in measured.pauses if low <= pause.true_ms < high]
        stalls = sum(pause.is_stall for pause in these)
        yield Row(
            f"{machine.name}-stalls-{low:.0f}-{high:.0f}",
            f"stalls, pauses {what}, on {machine.text}: counted as one",
            100 * stalls / len(these) if these else None,
            "%",
            len(these),
            note=f"threshold {threshold:.1f} ms",
            points=points if low == 0 else (),
        )
    false = measured.false_stalls_ms
    yield Row(
        f"{machine.name}-false-stalls",
        f"stalls that nobody made, on {machine.text}: a minute",
        60 * len(false) / measured.undisturbed_s,
        "/min",
        len(false),
        note=f"in {measured.undisturbed_s:.0f} s undisturbed"
        + (f", the longest {max(false):.0f} ms" if false else ""),
        points=false,
    )


def _point(pause: Pause) -> dict[str, float | bool | None]:
    return {
        "asked_ms": round(pause.asked_ms, 3),
        "true_ms": pause.true_ms,
        "seen_ms": pause.seen_ms,
        "stall": pause.is_stall,
    }


CLAIM = Claim(
    "blackout",
    f"""The kernel holds a guest's QEMU and lets it go (SIGSTOP, SIGCONT): {LONG} pauses of 10 ms to 1 s, evenly spread over the logarithm, then
    {SHORT_REPEATS} each of 1, 2, 3, 5 and 7 ms, then {UNDISTURBED_S:.0f} s without any. The truth is the time between the two signals; what is
    seen is the gap between beats, and what labctl's own code counts as a stall, its threshold taken from the second
    before. An error counts either way. A short pause is sorted by how long it lasted. Loaded: beside the guest, which never rests
    on a core of its own, a process that never rests on each other core, at the usual priority. There the guest loses its core now and
    then, for what carries the signals, the beats or the kernel's own work: stalls that nobody made, and that are the guest's. Crowded: one such process
    more, so that the guest itself must wait for a core, pause or not: the beats show that too, so its errors are told and held to nothing.""",
    estimate_s=len(MACHINES) * (_LONG_S + _SHORT_S + _AROUND_S),
    measure=measure_all,
)
