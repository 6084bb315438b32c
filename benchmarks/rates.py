"""Claim: the guest writes at the rate it was asked, in every pattern, as far as the machine can."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from benchmarks.claim import Claim, Tell
from benchmarks.lab import GIB, MIB, opened, pair_of, running
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import GuestSpec
from labctl.lab import Pair

RATES_MIB = (1, 10, 40, 100, 200, 400)
WINDOWS = 2
WINDOW_S = 1.0
HEADROOM = 0.7
"""up to this part of the highest rate it is asked for; above it the host's other work decides"""
TOLERANCE = 0.05
"""beyond it a trial's load is invalid, by labctl's own definition"""
_UNREACHABLE = 512 * GIB
_BOOT_S = 1.5
_SETTLE_S = 0.2


@dataclass(frozen=True)
class Point:
    """One window."""

    asked: int
    """bytes per second"""
    achieved: float


def choices(field: str) -> tuple[str, ...]:
    """What a field of the guest may be, by the model: what is added there is measured here."""
    return tuple(get_args(GuestSpec.model_fields[field].annotation))


def guest(**more: Any) -> GuestSpec:
    """The machine whose rate is measured."""
    return GuestSpec(memory_bytes=160 * MIB, working_set_bytes=64 * MIB, fill="zero", **more)


def measure(tell: Tell) -> Iterator[Row]:
    """Each pattern: the highest rate, then rates below it."""
    patterns = choices("pattern")
    with opened() as lab:
        for number, pattern in enumerate(patterns):

            def told(what: str, done: float, number: int = number, pattern: str = pattern) -> None:
                tell(f"{pattern}, {what}", (number + done) / len(patterns))

            yield from _pattern(told, pair_of(lab), pattern)


def _pattern(tell: Tell, pair: Pair, pattern: str) -> Iterator[Row]:
    tell("the highest rate", 0.0)
    highest = [
        point.achieved
        for point in _windows(pair, guest(pattern=pattern, write_rate_bytes_per_s=_UNREACHABLE))
    ]
    points: list[Point] = []
    wanted = [rate for rate in RATES_MIB if rate * MIB <= HEADROOM * median(highest)]
    for number, rate in enumerate(wanted, start=1):
        tell(f"{rate} MiB/s", number / (len(wanted) + 1))
        points += _windows(pair, guest(pattern=pattern, write_rate_bytes_per_s=rate * MIB))
    yield from rows(pattern, points)
    yield Row(
        f"{pattern}-highest", f"write rate, {pattern}: the highest this machine reaches",
        median(highest) / MIB, "MiB/s", len(highest), points=[rate / MIB for rate in highest],
    )  # fmt: skip


def rows(pattern: str, points: list[Point]) -> Iterator[Row]:
    """The achieved rate by the asked one, the worst of all; and one window by the other of the same machine."""
    ratios = [point.achieved / point.asked for point in points]
    again = [
        second.achieved / first.achieved
        for first, second in zip(points[::WINDOWS], points[1::WINDOWS], strict=True)
    ]
    asked = sorted({point.asked // MIB for point in points})
    worst = max(ratios, key=lambda ratio: abs(ratio - 1), default=None)
    yield Row(
        f"{pattern}-ratio", f"write rate, {pattern}: achieved by asked, the farthest from 1",
        worst, "", len(ratios), limit=Limit(least=1 - TOLERANCE, most=1 + TOLERANCE),
        note=f"asked {', '.join(map(str, asked))} MiB/s; median {median(ratios):.4f}" if ratios else "",
        points=[{"asked_bytes_per_s": p.asked, "achieved_bytes_per_s": p.achieved} for p in points],
    )  # fmt: skip
    yield Row(
        f"{pattern}-aa", f"A/A, {pattern}: one second by the one before, median",
        median(again) if again else None, "", len(again), median_interval(again),
    )  # fmt: skip


def _windows(pair: Pair, spec: GuestSpec) -> list[Point]:
    with running(pair, spec) as machine:
        time.sleep(_SETTLE_S)
        return [
            Point(spec.write_rate_bytes_per_s, machine.watch(WINDOW_S)["bytes_per_s"])
            for _ in range(WINDOWS)
        ]


CLAIM = Claim(
    "rates",
    f"""For every pattern that the guest has: a machine is asked for far more than any can do, then for {", ".join(map(str, RATES_MIB))} MiB/s
    as far as those are below {100 * HEADROOM:.0f} % of what it reached, {WINDOWS} windows of {WINDOW_S:g} s each. The pages are counted by the
    guest; the seconds are the observer's, not the guest's.""",
    estimate_s=len(choices("pattern")) * (len(RATES_MIB) + 1) * (WINDOWS * WINDOW_S + _BOOT_S),
    measure=measure,
)
