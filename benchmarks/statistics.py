"""The statistics of the table, in one place: medians and percentiles, with intervals by bootstrap.

An interval is the percentile bootstrap's of 95 %, with a fixed seed, so that the same points give the same table.
Below so many measurements that no such interval can be had (6 for a median, 59 for a 95th percentile) there is none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.rows import Interval

RESAMPLES = 10_000
CONFIDENCE = 0.95
ENOUGH_FOR_MEDIAN = 6
ENOUGH_FOR_P95 = 59
_SEED = 20_15

Floats = np.ndarray[Any, np.dtype[np.float64]]


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(np.median(np.asarray(values, np.float64)))


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(np.asarray(values, np.float64), 95))


def median_interval(values: Sequence[float]) -> Interval | None:
    """That of the median."""
    if len(values) < ENOUGH_FOR_MEDIAN:
        return None
    return bootstrap(values, lambda samples: np.median(samples, axis=1))


def p95_interval(values: Sequence[float]) -> Interval | None:
    """That of the 95th percentile."""
    if len(values) < ENOUGH_FOR_P95:
        return None
    return bootstrap(values, lambda samples: np.percentile(samples, 95, axis=1))


def bootstrap(values: Sequence[float], statistic: Callable[[Floats], Floats]) -> Interval:
    """The interval of a statistic: `statistic` takes (resamples, n) and gives one value a resample."""
    points = np.asarray(values, np.float64)
    drawn = np.random.default_rng(_SEED).integers(0, points.size, (RESAMPLES, points.size))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(statistic(points[drawn]), [tail, 100 - tail])
    return float(low), float(high)
