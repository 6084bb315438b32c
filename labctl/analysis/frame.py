"""Frames: one row a trial, and one row a cell."""

from collections.abc import Sequence

import pandas as pd

from labctl.analysis.metrics import METRICS, with_ratios
from labctl.results.frame import frame_columns, run_frame
from labctl.results.schema import Outcome

__all__ = ["factors_of", "run_frame", "summary"]

_SUMMARISED = tuple(metric.column for metric in METRICS)


def factors_of(frame: pd.DataFrame) -> list[str]:
    """The campaign's factors that have a column of their own: all but algorithm and transport."""
    before, after = frame_columns()
    names = frame.columns.tolist()
    return names[names.index(before[-1].name) + 1 : names.index(after[0].name)]


def summary(frame: pd.DataFrame, columns: Sequence[str] = _SUMMARISED) -> pd.DataFrame:
    """One row a cell, in the order of the plan: what came of its trials, and each figure's range.

    Columns: cell, algorithm, transport, the factors; `trials`; the number of each outcome;
    `outlasted_ms`, the shortest time after which a trial of it was given up (NaN when none was);
    and for each of `columns` its median, and with the endings `_min`, `_max` and `_n` the range and
    the number of trials it rests on. Those are the completed ones alone: what did not converge is
    right-censored, so it is counted and never averaged in. A median of fewer than six trials has no
    interval to go with it: show the range and the points.
    """
    frame = with_ratios(frame)
    named = ["cell", "algorithm", "transport", *factors_of(frame)]
    rows = []
    for _, trials in frame.groupby("cell", observed=True, sort=True):
        done = trials[trials["outcome"] == Outcome.COMPLETED]
        given_up = trials[trials["outcome"] == Outcome.NOT_CONVERGED]
        counts = trials["outcome"].value_counts()
        row = {name: trials[name].iloc[0] for name in named}
        row["trials"] = len(trials)
        row |= {outcome.value: int(counts.get(outcome.value, 0)) for outcome in _COUNTED}
        row["outlasted_ms"] = given_up["wall_time_ms"].min()
        for column in columns:
            values = done[column].dropna().astype("float64")
            row |= {
                column: values.median(),
                f"{column}_min": values.min(),
                f"{column}_max": values.max(),
                f"{column}_n": len(values),
            }
        rows.append(row)
    endings = ("", "_min", "_max", "_n")
    figures = [f"{column}{ending}" for column in columns for ending in endings]
    counted = [outcome.value for outcome in _COUNTED]
    return pd.DataFrame(rows, columns=[*named, "trials", *counted, "outlasted_ms", *figures])


_COUNTED = (
    Outcome.COMPLETED,
    Outcome.NOT_CONVERGED,
    Outcome.FAILED,
    Outcome.INVALID_LOAD,
    Outcome.UNSUPPORTED,
)
