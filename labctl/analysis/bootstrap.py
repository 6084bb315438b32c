"""The bootstrap by block: whole repetitions are drawn, every cell in them together.

A block ran every cell once, near in time: what one of its trials met, the others of it may have met too. So a comparison of
cells of one campaign draws blocks and not values; cells of two campaigns are drawn apart.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from labctl.analysis.statistics import CONFIDENCE, Floats, Interval

RESAMPLES: Final = 4_000
SEED: Final = 2015
"""The same values give the same interval, always."""
_CHUNK: Final = 5_000_000
"""values drawn at a time, about: what keeps a large campaign within memory"""


def resampled_medians(blocks: Floats, seed: int = SEED, resamples: int = RESAMPLES) -> Floats:
    """(resamples, cells): the medians of every cell, from (blocks, cells) with NaN where a trial has no figure.

    A median is that of the values which were drawn, NaN where none was.
    """
    rows, cells = blocks.shape
    dice = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, blocks.size))
    found = np.full((resamples, cells), np.nan)
    for start in range(0, resamples, step):
        drawn = dice.integers(0, rows, (min(step, resamples - start), rows))
        found[start : start + len(drawn)] = _medians(blocks[drawn])
    return found


def _medians(samples: Floats) -> Floats:
    """Medians over the second of three axes, NaN left out: sorted, NaN are the last."""
    ordered = np.sort(samples, axis=1)
    known = np.count_nonzero(~np.isnan(samples), axis=1)[:, None, :]
    low, high = np.maximum(known - 1, 0) // 2, np.maximum(known // 2, 0)
    high = np.minimum(high, samples.shape[1] - 1)
    middle = np.take_along_axis(ordered, low, 1) + np.take_along_axis(ordered, high, 1)
    medians: Floats = (middle / 2)[:, 0, :]
    return medians


def interval_of(drawn: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """The percentile interval of a statistic that was drawn; None where it could mostly not be had."""
    known = drawn[np.isfinite(drawn)]
    if known.size < drawn.size * (1 + confidence) / 2:
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def of_values(
    values: Floats, statistic: Callable[[Floats], Floats], confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of any statistic of single values: it takes (resamples, n) and gives one figure each."""
    drawn = np.random.default_rng(SEED).integers(0, values.size, (RESAMPLES, values.size))
    return interval_of(statistic(values[drawn]), confidence)
