"""How two sets of trials differ, as a ratio with its interval: from ranks, so that no distribution is taken for granted.

Within one run a block is the unit: what disturbs it disturbs all its trials, so B is held against A block by block, and the ratio
is the middle of these (Hodges and Lehmann's estimate; the interval is that of Wilcoxon's signed ranks). Of two runs each trial
of B is held against each of A (the interval is that of Mann and Whitney's ranks, after Moses). Bootstraps of the ratio of two
medians cover more or less than they say: docs/statistics.md.
"""

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from scipy import stats

from labctl.analysis.statistics import CONFIDENCE, Floats, Interval

MOST: Final = 300
"""values of a side that are held against others; of more, so many spread evenly"""
_EXACT: Final = 40
"""values up to which the distribution of ranks is worked out; of more it is normal"""


class Shift(NamedTuple):
    """How far B lies above A: the middle, and its interval; None where there are too few for one."""

    middle: float
    interval: Interval | None


def paired(a: Floats, b: Floats, confidence: float = CONFIDENCE) -> Shift:
    """B less A, value by value; what lacks either is left out."""
    both = ~(np.isnan(a) | np.isnan(b))
    each = _spread(b[both] - a[both])
    rows, columns = np.triu_indices(each.size)
    return _shift((each[rows] + each[columns]) / 2, _signed_ranks(each.size, confidence))


def apart(a: Floats, b: Floats, confidence: float = CONFIDENCE) -> Shift:
    """B less A, each value against each."""
    first, second = (_spread(side[~np.isnan(side)]) for side in (a, b))
    differences = (second[:, None] - first[None, :]).ravel()
    return _shift(differences, _rank_sums(first.size, second.size, confidence))


def _spread(values: Floats) -> Floats:
    """The values, or as many of them as are compared, from everywhere among them."""
    if values.size <= MOST:
        return values
    return values[np.linspace(0, values.size - 1, MOST).astype(np.int64)]


Rank = tuple[int, float]
"""Which of ordered values, from 1, bounds an interval, and how much of the next one inwards is added."""


def _shift(differences: Floats, rank: Rank | None) -> Shift:
    if not differences.size:
        return Shift(np.nan, None)
    ordered = np.sort(differences)
    middle = float(np.median(ordered))
    if rank is None:
        return Shift(middle, None)
    place, part = rank
    low = ordered[place - 1] + part * (ordered[place] - ordered[place - 1])
    high = ordered[-place] - part * (ordered[-place] - ordered[-place - 1])
    return Shift(middle, Interval(float(low), float(high)))


@cache
def _signed_ranks(n: int, confidence: float) -> Rank | None:
    """The rank among the ordered Walsh averages of n values."""
    if n > _EXACT:
        middle, deviation = n * (n + 1) / 4, (n * (n + 1) * (2 * n + 1) / 24) ** 0.5
        return _normal(middle, deviation, confidence)
    weights = np.ones(1)
    for rank in range(1, n + 1):
        weights = np.pad(weights, (0, rank)) + np.pad(weights, (rank, 0))
    return _between(weights / weights.sum(), confidence)


@cache
def _rank_sums(n: int, m: int, confidence: float) -> Rank | None:
    """The rank among the ordered differences of n and m values."""
    if max(n, m) > _EXACT:
        return _normal(n * m / 2, (n * m * (n + m + 1) / 12) ** 0.5, confidence)
    weights = np.zeros(n * m + 1)
    weights[0] = 1
    for part in range(1, n + 1):  # the Gaussian binomial: times (1 - q^(m + part)), by (1 - q^part)
        weights[m + part :] -= weights[: max(0, weights.size - m - part)].copy()
        for place in range(part, weights.size):
            weights[place] += weights[place - part]
    return _between(weights / weights.sum(), confidence)


def _between(probabilities: Floats, confidence: float) -> Rank | None:
    """From the distribution of the ranks' statistic: between the last value that covers enough and the first that does not."""
    below, tail = np.cumsum(probabilities), (1 - confidence) / 2
    rank = int(np.searchsorted(below, tail, side="right"))
    if not rank:
        return None
    return rank, float((tail - below[rank - 1]) / (below[rank] - below[rank - 1]))


def _normal(middle: float, deviation: float, confidence: float) -> Rank:
    place = middle - float(stats.norm.ppf((1 + confidence) / 2)) * deviation + 0.5
    return int(place), place % 1
