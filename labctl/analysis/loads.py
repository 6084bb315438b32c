"""How one algorithm's total time spreads over the loads of a run: whether it can be told without knowing what the guest does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from labctl.analysis.cells import cells_of, who_columns
from labctl.analysis.effect_size import Effect, effect
from labctl.analysis.metrics import BY_COLUMN


@dataclass(frozen=True)
class OverLoads:
    """The longest and the shortest median total time of an algorithm, each under some load."""

    who: str
    shortest: str
    longest: str
    """the loads, in words"""
    effect: Effect
    """the longest by the shortest"""
    never: tuple[str, ...]
    """the loads under which it never completed: the spread has no upper end"""


def over_loads(trials: pd.DataFrame, factors: Sequence[str]) -> Iterator[OverLoads]:
    """One for each algorithm (and transport, where there are several) that completed under two loads or more."""
    metric = BY_COLUMN["total_time_ms"]
    who = who_columns(trials)
    cells = cells_of(trials, [*who, *factors])
    by_load = cells_of(trials, factors)
    for name in dict.fromkeys(key[: len(who)] for key in cells.keys):
        mine = [key for key in cells.keys if key[: len(who)] == name and cells.tried[key]]
        done = [key for key in mine if cells.completed[key]]
        if len(done) < 2:
            continue
        ordered = sorted(done, key=lambda key: cells.middle(metric.column, key))
        sides = [cells.blocks(metric.column, [key]) for key in (ordered[0], ordered[-1])]
        found = effect("", metric, sides[0], sides[1], paired=True)
        loads = [by_load.names(key[len(who) :]) for key in (ordered[0], ordered[-1])]
        never = tuple(by_load.names(key[len(who) :]) for key in mine if key not in done)
        if found is not None:
            yield OverLoads(" ".join(name), loads[0], loads[1], found, never)
