"""Two campaigns, or two levels of a factor, cell by cell: effect sizes with intervals.

An effect is the ratio of a trial of the second to one of the first, in the middle of all such ratios, with its interval
(`ratios`): block by block within one run, each against each of two runs. Where cells are put together (`by`), it is that of the
sums over a block: ratios are never averaged. A difference is shown where the interval leaves out "none" and the ratio lies
beyond the noise floor of the campaigns, if they have one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pandas as pd

from labctl.analysis import ratios
from labctl.analysis.cells import Cells, Key, cells_of, telling
from labctl.analysis.frame import factors_of
from labctl.analysis.metrics import BY_COLUMN, WIRE_PER_MEMORY, Metric, with_derived
from labctl.analysis.noise import floor
from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN, Floats, Interval, share_difference
from labctl.errors import InputError

Verdict = Literal["worse", "better", "no difference shown", "too few"]

COMPARED: Final = tuple(
    BY_COLUMN[name]
    for name in ("total_time_ms", "blackout_ms", "interruption_ms", "service_lost_s", "wire_per_memory")
)  # fmt: skip
"""What is compared unless told."""


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


@dataclass(frozen=True)
class Completion:
    """How often migrations completed, in one cell or in cells put together."""

    where: str
    a: tuple[int, int]
    """completed, of so many"""
    b: tuple[int, int]
    interval: Interval
    """of the share of B less that of A"""

    @property
    def change(self) -> float:
        """The share of B less that of A."""
        return self.b[0] / self.b[1] - self.a[0] / self.a[1]

    @property
    def verdict(self) -> Verdict:
        """What can be said of it."""
        if self.interval.holds(0):
            return "no difference shown"
        return "worse" if self.change < 0 else "better"


@dataclass(frozen=True)
class Comparison:
    """All that two sides have in common, and what only one has."""

    effects: tuple[Effect, ...]
    completions: tuple[Completion, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    floors: dict[str, float] = field(default_factory=dict)
    """the noise floor by metric's column, as a ratio"""


def compare_runs(
    a: pd.DataFrame, b: pd.DataFrame, metrics: Sequence[Metric] = COMPARED, by: Sequence[str] | None = None
) -> Comparison:  # fmt: skip
    """Two runs' frames, matched by their levels.

    Raises:
        InputError: they have no cell in common, or one varies what the other does not know.
    """
    columns = list(dict.fromkeys([*telling(a), *telling(b)]))
    for frame, side in ((a, "the first"), (b, "the second")):
        if unknown := [name for name in columns if name not in frame.columns]:
            raise InputError(
                f"{side} run has no factor `{unknown[0]}`, which the other varies",
                mend="compare runs of the same matrix",
            )
    return _compare(a, b, columns, metrics, by, paired=False)


def compare_levels(
    frame: pd.DataFrame,
    factor: str,
    levels: tuple[str, str],
    metrics: Sequence[Metric] = COMPARED,
    by: Sequence[str] | None = None,
) -> Comparison:
    """Two levels of a factor within one run, whose trials were interleaved.

    Raises:
        InputError: there is no such factor, or no such level.
    """
    factors = ["algorithm", "transport", *factors_of(frame)]
    if factor not in factors:
        raise InputError(f"{factor!r} is not a factor", mend=f"one of {', '.join(factors)}")
    present = list(dict.fromkeys(frame.sort_values("cell")[factor].astype("str")))
    for level in levels:
        if level not in present:
            raise InputError(
                f"`{factor}` has no level {level!r}", mend=f"one of {', '.join(present)}"
            )
    sides = [frame[frame[factor].astype("str") == level] for level in levels]
    columns = [name for name in telling(frame) if name != factor]
    return _compare(sides[0], sides[1], columns, metrics, by, paired=True)


def _compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    columns: Sequence[str],
    metrics: Sequence[Metric],
    by: Sequence[str] | None,
    *,
    paired: bool,
) -> Comparison:
    if by is not None:
        metrics = _addable(metrics, columns, by)
        columns = list(dict.fromkeys([*columns, *by]))
    a, b = with_derived(a), with_derived(b)
    first, second = cells_of(a, columns), cells_of(b, columns)
    common = [key for key in first.keys if key in second.completed]
    if not common:
        raise InputError(
            "they have no cell in common", mend="compare runs whose matrices share levels"
        )
    floors = {
        metric.column: max(found)
        for metric in metrics
        if (found := [f for side in (a, b) if (f := floor(side, metric)) is not None])
    }
    effects, completions = [], []
    for where, keys in _groups(first, common, by):
        completions.append(_completion(where, first, second, keys))
        effects += [
            _effect(where, metric, first, second, keys, floors.get(metric.column), paired=paired)
            for metric in metrics
        ]
    return Comparison(
        tuple(effect for effect in effects if effect is not None),
        tuple(completion for completion in completions if completion is not None),
        tuple(first.names(key) for key in first.keys if key not in second.completed),
        tuple(second.names(key) for key in second.keys if key not in first.completed),
        floors,
    )


def _addable(metrics: Sequence[Metric], columns: Sequence[str], by: Sequence[str]) -> list[Metric]:
    """The metrics that cells can be put together by, of those asked for."""
    known = ["algorithm", "transport", *columns]
    if unknown := [name for name in by if name not in known]:
        raise InputError(f"{unknown[0]!r} is not a factor", mend=f"one of {', '.join(known)}")
    metrics = [BY_COLUMN[_ADDED_AS.get(metric.column, metric.column)] for metric in metrics]
    if ratios := [metric.short for metric in metrics if metric.kind == "ratio"]:
        raise InputError(
            f"{ratios[0]} is a ratio, and ratios of several cells are not put together",
            mend="leave out --by, or compare a cost, such as wire",
        )
    return metrics


_ADDED_AS = {WIRE_PER_MEMORY: "wire_bytes"}


def _groups(
    cells: Cells, keys: Iterable[Key], by: Sequence[str] | None
) -> list[tuple[str, list[Key]]]:
    """The cells one by one, or those that have the same levels of `by` together."""
    if by is None:
        return [(cells.names(key), [key]) for key in keys]
    groups: dict[str, list[Key]] = {}
    at = [cells.columns.index(name) for name in by if name in cells.columns]
    for key in keys:
        groups.setdefault(", ".join(key[place] for place in at) or "all", []).append(key)
    return list(groups.items())


def _completion(where: str, a: Cells, b: Cells, keys: Sequence[Key]) -> Completion | None:
    counts = [
        (sum(side.completed[key] for key in keys), sum(side.tried[key] for key in keys))
        for side in (a, b)
    ]
    if not counts[0][1] or not counts[1][1]:
        return None
    return Completion(where, counts[0], counts[1], share_difference(counts[0], counts[1]))


def _effect(
    where: str,
    metric: Metric,
    a: Cells,
    b: Cells,
    keys: Sequence[Key],
    noise: float | None,
    *,
    paired: bool,
) -> Effect | None:
    shared = np.union1d(a.numbers, b.numbers) if paired else None
    sides = [side.blocks(metric.column, keys, shared) for side in (a, b)]
    return effect(where, metric, sides[0], sides[1], noise, paired=paired)


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
