"""Adaptive repetitions: which cells of a run are known well enough, and what it saved to stop there.

A cell is *settled* when, for each metric of the rule, half the width of the 95 % interval of its median is at most a share of
the median. It is *censored* when none of its trials completed: its time is longer than its limit, and more repetitions say
nothing more of it. All others go on, until the plan has as many blocks as the rule allows.

To look at the data after each block and stop when an interval is short finds it short a little too often: such an interval
covers its median in a little less than 95 % of cases. docs/reference/campaign.md says so where the rule is described.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from labctl.analysis.metrics import metric_named, with_derived
from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN, Floats, median, median_interval
from labctl.campaign import Campaign, Plan, RepetitionsSpec, expand
from labctl.results.schema import Outcome

_NAMED = 5
"""cells that a sentence names"""

State = Literal["settled", "censored", "open"]


@dataclass(frozen=True)
class Standing:
    """What is known of a cell."""

    cell: str
    trials: int
    completed: int
    widths: dict[str, float | None]
    """by metric: half the interval's width by the median; None where there are too few values for an interval"""
    state: State


@dataclass(frozen=True)
class Saving:
    """What an adaptive run has run, of what `max` blocks of everything would have been."""

    rule: RepetitionsSpec
    trials: int
    instead_of: int
    standings: tuple[Standing, ...]
    """of each cell that can run, twins left out, in the order of the plan"""


def need_more(frame: pd.DataFrame, rule: RepetitionsSpec) -> list[str]:
    """The cells whose figures have to be known better, by a run's frame, in the order of the plan."""
    return [standing.cell for standing in standings(frame, rule) if standing.state == "open"]


def standings(frame: pd.DataFrame, rule: RepetitionsSpec) -> Iterator[Standing]:
    """What is known of each cell that has run. A twin is none: it goes on with the cell that it repeats."""
    metrics = {name: metric_named(name).column for name in rule.until.of}
    frame = with_derived(frame)
    frame = frame[frame["twin_of"].isna() & (frame["outcome"] != Outcome.UNSUPPORTED)]
    for cell, rows in frame.groupby("cell", observed=True, sort=True):
        done = rows[rows["outcome"] == Outcome.COMPLETED]
        widths: dict[str, float | None] = {}
        for name, column in metrics.items():
            values = done[column].to_numpy(np.float64, na_value=np.nan)
            values = values[~np.isnan(values)]
            if values.size:  # what none of its trials has, more of them will not have
                widths[name] = relative_width(values)
        yield Standing(str(cell), len(rows), len(done), widths, _state(len(done), widths, rule))


def relative_width(values: Sequence[float] | Floats) -> float | None:
    """Half the width of the 95 % interval of the median, by the median; None below six values."""
    interval = median_interval(values)
    if interval is None:
        return None
    half, middle = (interval.high - interval.low) / 2, abs(median(values))
    if not half:
        return 0.0
    return half / middle if middle else math.inf


def _state(completed: int, widths: dict[str, float | None], rule: RepetitionsSpec) -> State:
    if not completed:
        return "censored"
    most = rule.until.relative_interval
    return "settled" if all(w is not None and w <= most for w in widths.values()) else "open"


def saving(campaign: Campaign, plan: Plan, frame: pd.DataFrame) -> Saving | None:
    """What an adaptive run saved, by now; None of a run that is not adaptive, or of which nothing can run."""
    rule = campaign.adaptive
    counted = [trial for trial in plan.trials if trial.supported and not trial.warmup]
    cells = {trial.cell for trial in counted}
    if rule is None or plan.quick or not counted:
        return None
    found = {standing.cell: standing for standing in standings(frame, rule)}
    # A plan that was changed keeps what has results: such cells do not go on, and are not counted.
    asked = [cell.name for cell in expand(campaign) if cell.name in cells]
    known = tuple(found.get(name) or Standing(name, 0, 0, {}, "open") for name in asked)
    return Saving(rule, len(counted), len(cells) * rule.max, known)


def described(saved: Saving) -> str:
    """It in words: `adaptive: 212 trials instead of 540, 7 of 9 cells settled at 5 %; not settled: ...`."""
    settled = [each for each in saved.standings if each.state == "settled"]
    share = f"{saved.rule.until.relative_interval * 100:g} %"
    said = f"adaptive: {saved.trials} trials instead of {saved.instead_of}"
    cells = len(saved.standings)
    said += f", {len(settled)} of {cells} cell{'s' if cells != 1 else ''} settled at {share}"
    rest = [f"{each.cell} ({_why(each)})" for each in saved.standings if each.state != "settled"]
    if len(rest) > _NAMED:
        rest[_NAMED - 1 :] = [f"and {len(rest) - _NAMED + 1} more"]
    return f"{said}; not settled: {', '.join(rest)}" if rest else said


def _why(standing: Standing) -> str:
    """Why a cell is not settled."""
    if not standing.trials:
        return "not run yet"
    if standing.state == "censored":
        return "none completed"
    if standing.completed < ENOUGH_FOR_MEDIAN:
        return f"{standing.completed} of {standing.trials} completed"
    widest, width = max(
        standing.widths.items(), key=lambda item: math.inf if item[1] is None else item[1]
    )
    name = widest.replace("_", " ")
    if width is None:
        return f"too few values of {name}"
    if math.isinf(width):
        return f"the median of {name} is 0, and not all are"
    share = width * 100
    return f"{name} within {share:.2g} %" if share < 10 else f"{name} within {share:.0f} %"
