"""The statistics that every figure stands on, in one place: medians, percentiles, means, shares, spreads, with intervals.

Intervals are of 95 %. That of a median is read from the order of the values alone, so it holds whatever their distribution
is (Hettmansperger and Sheather, Statistics & Probability Letters 4, 1986: two neighbouring order statistics, interpolated
so that it covers 95 %). A bootstrap of so few values covers less than it says: docs/benchmarks.md has both, simulated.
That of a share is Wilson's (JASA 22, 1927), that of a spread Bonett's (CSDA 50, 2006).
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import stats

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

CONFIDENCE: Final = 0.95
ENOUGH_FOR_MEDIAN: Final = 6
"""so many values have an interval of their median: all lie on one side of it in 2 of 2^6 cases"""
ENOUGH_FOR_P95: Final = 59
"""so many values have one above the 95th percentile in 95 % of cases"""
ENOUGH_FOR_P99: Final = 299
"""the same of the 99th"""


class Interval(NamedTuple):
    """From `low` to `high`, both included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies in it."""
        return self.low <= value <= self.high


def median(values: Sequence[float] | Floats) -> float:
    """The median; NaN of no value."""
    return float(np.median(values)) if len(values) else math.nan


def median_interval(
    values: Sequence[float] | Floats, confidence: float = CONFIDENCE
) -> Interval | None:
    """That of the median; None where there are too few values for it (below 6, at 95 %)."""
    found = _order(len(values), confidence)
    if found is None:
        return None
    rank, share = found
    ordered = np.sort(np.asarray(values, np.float64))
    low = ordered[rank - 1] + share * (ordered[rank] - ordered[rank - 1])
    high = ordered[-rank] - share * (ordered[-rank] - ordered[-rank - 1])
    return Interval(float(low), float(high))


@cache
def _order(n: int, confidence: float) -> tuple[int, float] | None:
    """Which order statistic (from 1) bounds a median of n values, and how much of the next one inwards is added."""
    tail = (1 - confidence) / 2
    if n < 1 or 0.5**n > tail:
        return None
    rank = int(stats.binom.ppf(tail, n, 0.5))
    if stats.binom.cdf(rank - 1, n, 0.5) > tail:
        rank -= 1
    rank = max(1, rank)
    outer, inner = (1 - 2 * float(stats.binom.cdf(k - 1, n, 0.5)) for k in (rank, rank + 1))
    part = (outer - confidence) / (outer - inner)
    return rank, (n - rank) * part / (rank + (n - 2 * rank) * part)


def percentile(values: Sequence[float] | Floats, share: float) -> float | None:
    """A percentile above the median (0.95: the 95th); None where there are too few values to speak of it.

    So many are needed that in 95 % of cases one of them lies above it: 59 for the 95th, 299 for the 99th.
    """
    if not len(values) or share ** len(values) > 1 - CONFIDENCE:
        return None
    return float(np.quantile(np.asarray(values, np.float64), share))


def harmonic_mean(values: Sequence[float] | Floats) -> float:
    """The mean of rates: of what was done in equal parts, so that it is their sum by the time of all; NaN of no value."""
    found = np.asarray(values, np.float64)
    return float(stats.hmean(found)) if found.size and (found >= 0).all() else math.nan


def share_interval(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """That of the probability behind `successes` of `n`; all of 0 to 1 where there was none."""
    if n == 0:
        return Interval(0.0, 1.0)
    z, share = _z(confidence), successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


@cache
def _z(confidence: float) -> float:
    """How many standard deviations around a normal mean hold so much: 1.96 for 95 %."""
    return float(stats.norm.ppf((1 + confidence) / 2))


def share_difference(
    first: tuple[int, int], second: tuple[int, int], confidence: float = CONFIDENCE
) -> Interval:
    """That of the second probability minus the first, each told as (successes, n): Newcombe's, of two of Wilson's."""
    (had, of), (has, out_of) = first, second
    was, now = (k / n if n else 0.5 for k, n in (first, second))
    before, after = share_interval(had, of, confidence), share_interval(has, out_of, confidence)
    down = math.hypot(now - after.low, before.high - was)
    up = math.hypot(after.high - now, was - before.low)
    return Interval(now - was - down, now - was + up)


def spread(values: Sequence[float] | Floats) -> float:
    """How far repetitions lie apart: the standard deviation of their logarithms, so about the relative one (0.05: 5 %).

    NaN of fewer than two values, or where one is not positive.
    """
    found = np.asarray(values, np.float64)
    if found.size < 2 or not (found > 0).all():
        return math.nan
    return float(np.log(found).std(ddof=1))


def spread_interval(
    values: Sequence[float] | Floats, confidence: float = CONFIDENCE
) -> Interval | None:
    """That of the spread; None below 6 values, where one is not positive, and where all are equal.

    Bonett's interval of a standard deviation, which does not take the values for normal: the kurtosis about a trimmed mean
    says how sure the variance is.
    """
    found, middle = np.asarray(values, np.float64), spread(values)
    if found.size < ENOUGH_FOR_MEDIAN or not middle > 0:
        return None
    logs, n = np.log(found), found.size
    trim = 1 / (2 * math.sqrt(n - 4))
    off = logs - float(stats.trim_mean(logs, trim))
    kurtosis = n * float((off**4).sum()) / float(((logs - logs.mean()) ** 2).sum()) ** 2
    z = _z(confidence)
    scale = n / (n - z)
    error = scale * math.sqrt(max(0.0, kurtosis - (n - 3) / n) / (n - 1))
    low, high = (math.sqrt(scale * middle**2 * math.exp(sign * z * error)) for sign in (-1, 1))
    return Interval(low, high)
