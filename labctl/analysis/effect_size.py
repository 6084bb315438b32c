"""The effect from one side to another: a ratio with its interval, and what may be said of it.

An effect is the ratio of a trial of the second to one of the first, in the middle of all such ratios, with its interval
(`ratios`): block by block within one run, each against each of two runs. A difference is shown where the interval leaves out
"none" and the ratio lies beyond the noise floor of the campaigns, if they have one.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labctl.analysis import ratios
from labctl.analysis.metrics import Metric
from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN, Floats, Interval

Verdict = Literal["worse", "better", "no difference shown", "too few"]


@dataclass(frozen=True)
class Effect:
    """A figure of B by that of A, in one cell or in cells put together."""

    where: str
    metric: Metric
    a: float
    """the median, or the sum of medians, in the metric's own unit; NaN where nothing completed"""
    b: float
    n: int
    """blocks that have both, or trials of the smaller of two runs"""
    ratio: float
    """of B to A, in the middle of all trials; infinite where only A is 0"""
    interval: Interval | None
    """of the ratio"""
    verdict: Verdict
    within_noise: bool = False
    """the interval alone would show a difference, but two cells that are the same differ as much"""

    @property
    def worsening(self) -> float:
        """How much worse B is: 0.1 is 10 %. Negative: better."""
        if self.metric.more_is_better:
            return 1 - self.ratio
        return self.ratio - 1


def effect(
    where: str, metric: Metric, a: Floats, b: Floats, noise: float | None = None, *, paired: bool
) -> Effect | None:
    """The effect from one side to the other, each (blocks, cells) with NaN where a trial has no figure; `paired`: the blocks
    are the same ones.

    None where no cell has the figure on both sides; cells that only one side has it of are left out of the sums, and so is a
    block that lacks one of the rest.
    """
    counts = [np.count_nonzero(~np.isnan(side), axis=0) for side in (a, b)]
    both = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    if not both.size:
        return None
    a, b = a[:, both], b[:, both]
    was, now = (float(_together(metric, np.nanmedian(side, axis=0))) for side in (a, b))
    first, second = _together(metric, a), _together(metric, b)
    n = _compared(first, second, paired=paired)
    middles = now / was if was else (math.inf if now else 1.0)
    if n < ENOUGH_FOR_MEDIAN:
        return Effect(where, metric, was, now, n, middles, None, "too few")
    held = ratios.paired if paired else ratios.apart
    if (first[~np.isnan(first)] > 0).all() and (second[~np.isnan(second)] > 0).all():
        shift = held(np.log(first), np.log(second))
        ratio = math.exp(shift.middle)
        interval = Interval(*map(math.exp, shift.interval)) if shift.interval else None
    else:  # a ratio to nothing is none: the difference alone can be judged
        shift, ratio, interval = held(first, second), middles, None
    if shift.interval is None or shift.interval.holds(0):
        return Effect(where, metric, was, now, n, ratio, interval, "no difference shown")
    if noise is not None and 1 / noise <= ratio <= noise:
        return Effect(where, metric, was, now, n, ratio, interval, "no difference shown", True)
    worse = (shift.middle > 0) != metric.more_is_better
    return Effect(where, metric, was, now, n, ratio, interval, "worse" if worse else "better")


def _compared(first: Floats, second: Floats, *, paired: bool) -> int:
    """How many trials the comparison rests on: blocks that have both, or the smaller of two runs."""
    known = [~np.isnan(side) for side in (first, second)]
    if paired:
        return int(np.count_nonzero(known[0] & known[1]))
    return int(min(np.count_nonzero(each) for each in known))


def _together(metric: Metric, values: Floats) -> Floats:
    """Values of several cells, on the last axis, as one: costs are added, rates averaged harmonically."""
    if metric.kind == "rate":
        with np.errstate(divide="ignore"):
            return np.asarray(values.shape[-1] / (1 / values).sum(axis=-1))
    return np.asarray(values.sum(axis=-1))
