"""The five properties, each computed from the records of trials.

The five are those of the paper that labctl follows (Svärd, Hudzia, Walsh, Tordsson, Elmroth; OSR 2015); how each is measured is
labctl's own operationalisation of them. A property has several scores; the first is the one by which algorithms are
ranked.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from labctl.analysis import metrics, statistics
from labctl.analysis.frame import TRIED, measured, who_of
from labctl.analysis.metrics import BY_COLUMN, Metric
from labctl.analysis.statistics import Floats, Interval
from labctl.results.schema import Outcome, Verdict


@dataclass(frozen=True)
class Property:
    """A property of an algorithm under a load, and how it is told."""

    key: str
    title: str
    about: str
    ranked_by: str
    """column of the metric that ranks algorithms; less is better"""
    shown: tuple[str, ...]
    """columns of the metrics shown besides"""
    shares: tuple[str, ...] = ()
    """names of SHARES shown besides"""


PROPERTIES: Final[tuple[Property, ...]] = (
    Property(
        "continuous_service",
        "Continuous service",
        "how little the guest's work is disturbed",
        metrics.SERVICE_LOST,
        (metrics.INTERRUPTION, "blackout_ms", "stall_total_ms", "stall_page_fault_ms", "brownout_ms"),
    ),
    Property(
        "resource_usage",
        "Resource usage",
        "what the migration costs the hosts and the network",
        metrics.WIRE_PER_MEMORY,
        (metrics.CPU_PER_GIB, metrics.CPU_BOTH, "memory_extra_peak_bytes", metrics.HELD),
    ),
    Property(
        "robustness",
        "Robustness",
        "how long a fault of either host or of the network would cost the machine",
        "exposure_s",
        (),
        ("lost",),
    ),
    Property(
        "predictability",
        "Predictability",
        "whether it completes at all, how far repetitions lie apart, how far a simple model is off",
        metrics.MODEL_ERROR,
        ("total_time_ms",),
        ("completion",),
    ),
    Property(
        "transparency",
        "Transparency",
        "what the guest could notice besides: no guest is changed by any algorithm here",
        "vcpu_stolen_s",
        (metrics.CLOCK_OFF, "beats_lost", "beats_reordered"),
        ("identical",),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Score:
    """One number of a cell, with how sure it is."""

    name: str
    title: str
    unit: str
    value: float
    """in `unit`; NaN where there is none"""
    interval: Interval | None
    n: int
    """the trials it rests on"""
    about: str = ""


@dataclass(frozen=True)
class Card:
    """The scores of one cell."""

    who: str
    """what rankings call it: the algorithm, with its transport where there are several"""
    algorithm: str
    transport: str
    load: tuple[tuple[str, str], ...]
    """the other factors, each with its level"""
    trials: int
    scores: dict[str, tuple[Score, ...]]
    """by the property's key, the one that ranks first"""

    def score(self, name: str) -> Score | None:
        """The score of that name, of whichever property."""
        found = [score for scores in self.scores.values() for score in scores if score.name == name]
        return found[0] if found else None


def scorecard(trials: pd.DataFrame, factors: list[str]) -> Iterator[Card]:
    """A card a cell, in the order of the plan; `trials` has the derived columns (`with_derived`). Twins have none."""
    trials = measured(trials)
    trials = trials.assign(_who=who_of(trials))
    for _, rows in trials.groupby("cell", observed=True, sort=True):
        first = rows.iloc[0]
        done = rows[rows["outcome"] == Outcome.COMPLETED]
        yield Card(
            str(first["_who"]),
            str(first["algorithm"]),
            str(first["transport"]),
            tuple((name, str(first[name])) for name in factors),
            len(rows),
            {prop.key: tuple(_scores(prop, rows, done)) for prop in PROPERTIES},
        )


def _scores(prop: Property, rows: pd.DataFrame, done: pd.DataFrame) -> Iterator[Score]:
    yield of_metric(BY_COLUMN[prop.ranked_by], done)
    yield from (SHARES[name](rows) for name in prop.shares)
    if prop.key == "predictability":
        yield _spread(done)
    yield from (of_metric(BY_COLUMN[name], done) for name in prop.shown)


def _values(rows: pd.DataFrame, column: str) -> Floats:
    values = rows[column].to_numpy(np.float64, na_value=np.nan)
    known: Floats = values[~np.isnan(values)]
    return known


def of_metric(metric: Metric, done: pd.DataFrame) -> Score:
    """The median of completed trials."""
    values = _values(done, metric.column) * metric.scale
    return Score(
        metric.column,
        metric.title,
        metric.unit,
        statistics.median(values),
        statistics.median_interval(values),
        values.size,
        metric.about,
    )


def _spread(done: pd.DataFrame) -> Score:
    values = _values(done, "total_time_ms")
    return Score(
        "spread",
        "Spread of total time",
        "%",
        100 * statistics.spread(values),
        _scaled(statistics.spread_interval(values), 100),
        values.size,
        "standard deviation of its logarithm over repetitions",
    )


def _share(name: str, title: str, about: str, successes: int, n: int) -> Score:
    interval = _scaled(statistics.share_interval(successes, n), 100) if n else None
    value = 100 * successes / n if n else math.nan
    return Score(name, title, "%", value, interval, n, about)


def _completion(rows: pd.DataFrame) -> Score:
    tried = rows["outcome"].isin(TRIED)
    done = int((rows["outcome"] == Outcome.COMPLETED).sum())
    return _share("completion", "Completed", "of all migrations tried", done, int(tried.sum()))


def _lost(rows: pd.DataFrame) -> Score:
    known = rows["verdict"].dropna()
    lost = int(known.isin([Verdict.LOST, Verdict.DUPLICATED]).sum())
    return _share("lost", "Machine lost", "lost or duplicated, of all", lost, len(known))


def _identical(rows: pd.DataFrame) -> Score:
    known = rows["memory_identical"].dropna()
    about = "of all machines that were checked"
    return _share("identical", "Memory identical", about, int(known.sum()), len(known))


SHARES: Final = {"completion": _completion, "lost": _lost, "identical": _identical}


def _scaled(interval: Interval | None, by: float) -> Interval | None:
    return Interval(interval.low * by, interval.high * by) if interval else None
