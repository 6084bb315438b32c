"""Profiles: how the write rate changes over time, and so what the guest is asked until a moment.

A profile is a row of steps, each a time and a share of the guest's `write_rate`, which repeats for as
long as the guest writes. Share 100 % *is* `write_rate`: a burst of 20 % duty writes a fifth of it on
average, and `share: 500%` gives it the mean of a constant load. Second 0 is when the writing begins.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, model_validator

from labctl.campaign.scalars import DURATION, SHARE, custom_error, name
from labctl.campaign.specs import PAGE_BYTES, GuestSpec, Spec, reads
from labctl.errors import InputError

MAX_STEPS = 4096
"""what the guest takes on its command line"""
MAX_PERIOD_S = 86_400
HEADER = ("seconds", "share")

TRACE = name(
    "a trace's file",
    r"[A-Za-z0-9_][A-Za-z0-9_-]{0,59}\.csv",
    "write the name of a .csv file beside the campaign's: letters, digits, `_`, `-`",
).within(optional=True)
STEP = DURATION.within(0.001, 3_600)
BURST_PERIOD = DURATION.within(0.002, 3_600)
DUTY = SHARE.within(0.001, 0.999)
MAX_SHARE = 10
STEP_SHARE = SHARE.within(0, MAX_SHARE)


class StepSpec(Spec):
    """So long, at such a share of the write rate."""

    for_s: Annotated[float, reads(STEP), STEP]
    """how long"""
    share: Annotated[float, reads(STEP_SHARE), STEP_SHARE]
    """of the guest's `write_rate`; at most 1000%"""


class BurstSpec(Spec):
    """A part of each period at one share, the rest at another."""

    period_s: Annotated[float, reads(BURST_PERIOD), BURST_PERIOD]
    """from the beginning of one burst to that of the next"""
    duty: Annotated[float, reads(DUTY), DUTY]
    """the burst's part of the period, which it begins"""
    share: Annotated[float, reads(STEP_SHARE), STEP_SHARE] = 1.0
    """of the guest's `write_rate`, in the burst"""
    rest: Annotated[float, reads(STEP_SHARE), STEP_SHARE] = 0.0
    """of the guest's `write_rate`, between bursts"""


class ProfileSpec(Spec):
    """How the write rate changes over time: one of `burst`, `steps` and `trace`."""

    burst: BurstSpec | None = None
    """bursts, and rests between them"""
    steps: tuple[StepSpec, ...] = ()
    """a row of steps, which repeats"""
    trace: Annotated[str | None, reads(TRACE), TRACE] = None
    """a CSV file beside the campaign's: `seconds,share`, each share holding until the next row's second"""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        said = [self.burst is not None, bool(self.steps), self.trace is not None]
        if sum(said) != 1:
            raise custom_error("a profile is one of three", "write `burst`, `steps` or `trace`")
        if self.trace is None:
            try:
                Profile.of(self)
            except InputError as error:
                raise custom_error(error.fault, error.mend) from None
        return self


class Profile(BaseModel):
    """A profile as the guest is told it. Without steps: the write rate, always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[tuple[int, int], ...] = ()
    """each its microseconds, and millionths of the write rate"""

    @classmethod
    def of(cls, spec: ProfileSpec, trace: str = "") -> Self:
        """The profile that a campaign describes, with its trace's text. Raises InputError."""
        steps = list(_steps(spec, trace))
        if len(steps) > MAX_STEPS:
            raise InputError(
                f"a profile of {len(steps)} steps is too long", mend=f"write at most {MAX_STEPS}"
            )
        if sum(us for us, _ in steps) > MAX_PERIOD_S * 1_000_000:
            raise InputError("a profile is longer than a day", mend="write at most 24h")
        if not any(ppm for _, ppm in steps):
            raise InputError("a profile never writes", mend="give a step a share above 0%")
        return cls(steps=tuple(steps))

    @property
    def constant(self) -> bool:
        """Whether the rate never changes."""
        return not self.steps

    @property
    def period_s(self) -> float:
        """How long the steps take; 0 where the rate never changes."""
        return sum(us for us, _ in self.steps) / 1e6

    @property
    def mean(self) -> float:
        """The mean share."""
        return 1.0 if self.constant else self._full[-1] / self._ends[-1]

    def full_s(self, t_s: float) -> float:
        """How long writing at share 1 would take for what is asked until then: the integral."""
        return t_s if self.constant else self._until(t_s, self._full)

    def busy_s(self, t_s: float) -> float:
        """For how long of that time anything is asked."""
        return t_s if self.constant else self._until(t_s, self._busy)

    def _until(self, t_s: float, sums: list[float]) -> float:
        whole, left = divmod(max(0.0, t_s), self._ends[-1])
        step = min(bisect_right(self._ends, left), len(self._ends) - 1)
        start, length = self._ends[step - 1], self._ends[step] - self._ends[step - 1]
        part = (left - start) / length
        return whole * sums[-1] + sums[step - 1] + part * (sums[step] - sums[step - 1])

    @cached_property
    def _ends(self) -> list[float]:
        return list(accumulate((us / 1e6 for us, _ in self.steps), initial=0.0))

    @cached_property
    def _full(self) -> list[float]:
        return list(accumulate((us * ppm / 1e12 for us, ppm in self.steps), initial=0.0))

    @cached_property
    def _busy(self) -> list[float]:
        return list(accumulate((us / 1e6 if ppm else 0.0 for us, ppm in self.steps), initial=0.0))


@dataclass(frozen=True)
class Asked:
    """What a guest is asked to write, as a function of the seconds since its writing began."""

    rate_bytes_per_s: float
    profile: Profile
    most_bytes: int | None = None
    """where it ends: `once` writes its working set and no more"""

    @classmethod
    def of(cls, guest: GuestSpec, profile: Profile) -> Self:
        """What this guest is asked."""
        most = guest.working_set_bytes if guest.pattern == "once" else None
        return cls(guest.write_rate_bytes_per_s, profile, most)

    @property
    def constant(self) -> bool:
        """Whether it is the same in any two windows of the same length."""
        return not self.rate_bytes_per_s or (self.profile.constant and self.most_bytes is None)

    @property
    def mean_bytes_per_s(self) -> float:
        """In the long run, as long as it writes."""
        return self.rate_bytes_per_s * self.profile.mean

    def pages(self, t_s: float) -> float:
        """Pages to write until then."""
        asked = self.rate_bytes_per_s * self.profile.full_s(t_s)
        return (asked if self.most_bytes is None else min(asked, self.most_bytes)) / PAGE_BYTES


def _steps(spec: ProfileSpec, trace: str) -> Iterator[tuple[int, int]]:
    if spec.burst is not None:
        burst = spec.burst
        period_us = round(burst.period_s * 1e6)
        burst_us = min(max(1, round(period_us * burst.duty)), period_us - 1)
        yield burst_us, round(burst.share * 1e6)
        yield period_us - burst_us, round(burst.rest * 1e6)
    elif spec.trace is not None:
        yield from read_trace(trace)
    else:
        for step in spec.steps:
            yield round(step.for_s * 1e6), round(step.share * 1e6)


def read_trace(text: str) -> Iterator[tuple[int, int]]:
    """The steps of a trace's text. Raises InputError with the line.

    Its first line is `seconds,share`; the seconds rise from 0, a share is a number (1 is the whole
    write rate) that holds until the next line's second, and the last line only says when it is over.
    """
    lines = [tuple(cell.strip() for cell in row) for row in csv.reader(text.splitlines())]
    rows = [(number, row) for number, row in enumerate(lines, start=1) if any(row)]
    if not rows or rows[0][1] != HEADER:
        raise InputError(
            "a trace begins with its columns", mend=f"write `{','.join(HEADER)}` first"
        )
    points = [_point(number, row) for number, row in rows[1:]]
    if len(points) < 2 or points[0][0] != 0:
        raise InputError("a trace begins at second 0 and has an end", mend="write two rows or more")
    for (number, _), ((start_us, ppm), (end_us, _last)) in zip(
        rows[2:], pairwise(points), strict=True
    ):
        if not 1_000 <= end_us - start_us <= 3_600_000_000:
            raise InputError(
                f"line {number} of the trace is not 1 ms to 1 h after the one before it",
                mend="let the seconds rise",
            )
        yield end_us - start_us, ppm


def _point(number: int, row: tuple[str, ...]) -> tuple[int, int]:
    try:
        seconds, share = (float(cell) for cell in row)
    except ValueError:
        raise InputError(
            f"line {number} of the trace is not two numbers", mend="as in: 1.5,0.25"
        ) from None
    if not (0 <= seconds <= MAX_PERIOD_S and 0 <= share <= MAX_SHARE):
        raise InputError(
            f"line {number} of the trace is out of range",
            mend="write seconds of at most a day, and shares of 0 to 10 (1 is the whole write rate)",
        )
    return round(seconds * 1e6), round(share * 1e6)
