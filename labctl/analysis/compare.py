"""Two campaigns, or two levels of a factor, cell by cell: effect sizes with intervals.

Trials are compared block by block within one run, and each against each of two runs. Where cells are put together (`by`), it is
the sums over a block that are: ratios are never averaged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from labctl.analysis.cells import Cells, Key, cells_of, telling
from labctl.analysis.effect_size import Effect, Verdict, effect
from labctl.analysis.frame import factors_of
from labctl.analysis.metrics import BY_COLUMN, WIRE_PER_MEMORY, Metric, with_derived
from labctl.analysis.noise import floor
from labctl.analysis.statistics import Interval, share_difference
from labctl.campaign.carriers import caveat
from labctl.errors import InputError

COMPARED: Final = tuple(
    BY_COLUMN[name]
    for name in ("total_time_ms", "blackout_ms", "interruption_ms", "service_lost_s", "wire_per_memory")
)  # fmt: skip
"""What is compared unless told."""


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
    caveat: str | None = None
    """what a reader of its figures has to know first"""


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
    if factor == "transport":
        # What RDMA in software carried has a name of its own, and is meant too.
        named = {name.partition(" ")[0]: name for name in present}
        first, second = (it if it in present else named.get(it, it) for it in levels)
        levels = (first, second)
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
        caveat([*a["transport"].astype("str"), *b["transport"].astype("str")]),
    )


def _addable(metrics: Sequence[Metric], columns: Sequence[str], by: Sequence[str]) -> list[Metric]:
    """The metrics that cells can be put together by, of those asked for."""
    known = list(dict.fromkeys(["algorithm", "transport", *columns]))
    if unknown := [name for name in by if name not in known]:
        raise InputError(
            f"cells cannot be put together by {unknown[0]!r}: no factor that tells those of one side apart",
            mend=f"one of {', '.join(known)}",
        )
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
