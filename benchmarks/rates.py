"""Claim: the guest writes at the rate it was asked, in every pattern, as far as the machine can."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from benchmarks.claim import Claim, Tell
from benchmarks.lab import GIB, MIB, opened, pair_of, running
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import GuestSpec
from labctl.lab import Pair

RATES_MIB = (1, 10, 40, 100, 200, 400)
FEW_RATES_MIB = (40, 400)
"""for contents, which change what a write costs and not when it is due"""
WINDOWS = 3
HEADROOM = 0.7
"""up to this part of the highest rate it is asked for; above it the host's other work decides"""
TOLERANCE = 0.05
"""beyond it a trial's load is invalid, by labctl's own definition"""
_UNREACHABLE = 512 * GIB
_BOOT_S = 1.5


@dataclass(frozen=True)
class Point:
    """One window."""

    asked: int
    """bytes per second"""
    achieved: float

    @property
    def ratio(self) -> float:
        """Achieved by asked."""
        return self.achieved / self.asked


@dataclass(frozen=True)
class Load:
    """One way to write: what the guest is asked beside its rate, and how long it can be watched."""

    name: str
    asked: Mapping[str, Any]
    rates_mib: Sequence[int] = RATES_MIB
    working_set_bytes: int = 64 * MIB
    settle_s: float = 0.2
    window_s: float = 1.0

    def guest(self, rate: int) -> GuestSpec:
        """The machine that writes so, at a rate in bytes per second."""
        return GuestSpec(
            memory_bytes=self.working_set_bytes + 96 * MIB,
            working_set_bytes=self.working_set_bytes,
            fill="zero",
            write_rate_bytes_per_s=rate,
            **self.asked,
        )


def choices(field: str) -> tuple[str, ...]:
    """What a field of the guest may be, by the model: what is added there is measured here."""
    known = GuestSpec.model_fields.get(field)
    return tuple(get_args(known.annotation)) if known else ()


def loads() -> Iterator[Load]:
    """Every pattern, and every content of a write beside the usual one."""
    for pattern in choices("pattern"):
        if pattern == "once":  # ends after one round: a large one, watched for a short time
            yield Load(pattern, {"pattern": pattern}, RATES_MIB, 3 * GIB, 0.05, 0.25)
        else:
            yield Load(pattern, {"pattern": pattern})
    for content in choices("content"):
        if content != GuestSpec.model_fields["content"].default:
            yield Load(f"random, content {content}", {"content": content}, FEW_RATES_MIB)


def measure(tell: Tell) -> Iterator[Row]:
    """Each load: the highest rate, then rates below it."""
    whole = list(loads())
    with opened() as lab:
        for number, load in enumerate(whole):

            def told(what: str, done: float, number: int = number, load: Load = load) -> None:
                tell(f"{load.name}, {what}", (number + done) / len(whole))

            yield from _load(told, pair_of(lab), load)


def _load(tell: Tell, pair: Pair, load: Load) -> Iterator[Row]:
    tell("the highest rate", 0.0)
    highest = [point.achieved for point in _windows(pair, load, _UNREACHABLE)]
    points: list[Point] = []
    wanted = [rate for rate in load.rates_mib if rate * MIB <= HEADROOM * median(highest)]
    for number, rate in enumerate(wanted, start=1):
        tell(f"{rate} MiB/s", number / (len(wanted) + 1))
        points += _windows(pair, load, rate * MIB)
    yield from rows(load.name, points)
    yield Row(
        f"{load.name}-highest", f"write rate, {load.name}: the highest this machine reaches",
        median(highest) / MIB, "MiB/s", len(highest), points=[rate / MIB for rate in highest],
    )  # fmt: skip


def rows(name: str, points: list[Point]) -> Iterator[Row]:
    """The achieved rate by the asked one, the worst of the rates' medians; and one window by another of the same machine."""
    by_rate = [points[start : start + WINDOWS] for start in range(0, len(points), WINDOWS)]
    medians = [median([point.ratio for point in windows]) for windows in by_rate]
    again = [windows[1].achieved / windows[0].achieved for windows in by_rate]
    asked = ", ".join(str(windows[0].asked // MIB) for windows in by_rate)
    yield Row(
        f"{name}-ratio", f"write rate, {name}: achieved by asked, the rate that is farthest from 1",
        max(medians, key=_off, default=None), "", len(points),
        limit=Limit(least=1 - TOLERANCE, most=1 + TOLERANCE),
        note=f"asked {asked} MiB/s; the worst window {max((p.ratio for p in points), key=_off, default=0):.3f}",
        points=[{"asked_bytes_per_s": p.asked, "achieved_bytes_per_s": p.achieved} for p in points],
    )  # fmt: skip
    yield Row(
        f"{name}-aa", f"A/A, {name}: one window by the one before, median",
        median(again) if again else None, "", len(again), median_interval(again),
    )  # fmt: skip


def _off(ratio: float) -> float:
    return abs(ratio - 1)


def _windows(pair: Pair, load: Load, rate: int) -> list[Point]:
    with running(pair, load.guest(rate)) as machine:
        time.sleep(load.settle_s)
        return [Point(rate, machine.watch(load.window_s)["bytes_per_s"]) for _ in range(WINDOWS)]


def _estimate_s() -> float:
    return sum(
        (len(load.rates_mib) + 1)
        * (WINDOWS * load.window_s + load.settle_s + _BOOT_S + load.working_set_bytes / GIB)
        for load in loads()
    )


CLAIM = Claim(
    "rates",
    f"""For every pattern that the guest has, and every content of a write: a machine is asked for far more than any can do, then for
    {", ".join(map(str, RATES_MIB))} MiB/s as far as those are below {100 * HEADROOM:.0f} % of what it reached, {WINDOWS} windows of a second each (of a
    quarter where a pattern comes to an end), of which the median counts: a host that takes the core away for a moment spoils a window, a load that
    cannot be reached spoils them all. The pages are counted by the guest; the seconds are the observer's, not the guest's.""",
    estimate_s=_estimate_s(),
    measure=measure,
)
