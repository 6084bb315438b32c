"""Frames: one row a trial, and one row a cell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labctl.analysis import statistics
from labctl.analysis.metrics import BY_COLUMN, METRICS, with_derived
from labctl.campaign.carriers import in_software
from labctl.results.frame import frame_columns, run_frame
from labctl.results.schema import Outcome

__all__ = ["ENDINGS", "factors_of", "run_frame", "summary"]

_SUMMARISED = tuple(metric.column for metric in METRICS)
ENDINGS = ("", "_low", "_high", "_min", "_max", "_n", "_mean", "_p95", "_p99")
"""What stands for each figure of a cell: see `summary`."""


def factors_of(frame: pd.DataFrame) -> list[str]:
    """The campaign's factors that have a column of their own: all but algorithm and transport."""
    before, after = frame_columns()
    names = frame.columns.tolist()
    return names[names.index(before[-1].name) + 1 : names.index(after[0].name)]


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without the twins of cells, which are there to show the noise (`labctl.analysis.noise`)."""
    return frame[frame["twin_of"].isna()].reset_index(drop=True)


def who_of(frame: pd.DataFrame) -> "pd.Series[str]":
    """What is compared: the algorithm, with its transport where that has to be told."""
    names = frame["algorithm"].astype("str")
    return names + " " + frame["transport"].astype("str") if tells_transport(frame) else names


def tells_transport(frame: pd.DataFrame) -> bool:
    """Whether the transport has to be told with the algorithm: there are several, or it is RDMA in software."""
    transports = frame["transport"].dropna().unique()
    return len(transports) > 1 or any(in_software(str(name)) for name in transports)


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without what RDMA in software carried: no place in a ranking is its due."""
    software = frame["transport"].astype("str").map(in_software).astype(bool)
    return frame[~software].reset_index(drop=True)


def together(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Several runs' frames as one, with `run` as a factor. A factor that a run does not have is empty there."""
    factors = list(dict.fromkeys(name for frame in frames.values() for name in factors_of(frame)))
    before, after = frame_columns()
    parts = []
    for run, frame in frames.items():
        part = frame.copy()
        for name in ("cell", "algorithm", "transport", *factors):
            part[name] = part[name].astype("str") if name in part else None
        part["cell"] = run + ": " + part["cell"]
        part["twin_of"] = run + ": " + part["twin_of"]
        part.insert(len(before), "run", run)
        parts.append(part)
    joined = pd.concat(parts, ignore_index=True)
    levels: dict[str, list[str]] = {
        "cell": [
            f"{run}: {cell}"
            for run, frame in frames.items()
            for cell in frame["cell"].cat.categories
        ],
        "run": list(frames),
    }
    for name in ("algorithm", "transport", *factors):
        seen = [frame[name].cat.categories for frame in frames.values() if name in frame]
        levels[name] = list(dict.fromkeys(str(level) for each in seen for level in each))
    for name, order in levels.items():
        joined[name] = pd.Categorical(joined[name], categories=order, ordered=True)
    names = [column.name for column in before] + ["run", *factors]
    return joined[[*names, *(column.name for column in after)]]


def summary(frame: pd.DataFrame, columns: Sequence[str] = _SUMMARISED) -> pd.DataFrame:
    """One row a cell, in the order of the plan: what came of its trials, and each figure with its interval. A twin has none:
    it would read as its cell's, and what it shows is in `labctl.analysis.noise`.

    Columns: cell, algorithm, transport, the factors; `trials`; the number of each outcome; `completion`, the share of the
    migrations that completed, with `_low` and `_high`; `outlasted_ms`, the shortest time after which a trial of it was
    given up (NaN when none was); and for each of `columns` its median, and with endings the interval of that (`_low`,
    `_high`: NaN below six), the range (`_min`, `_max`), the number of trials it rests on (`_n`), the mean (`_mean`: of costs
    arithmetic, of rates harmonic, of ratios none) and percentiles (`_p95` from 59 trials on, `_p99` from 299 on).

    Figures are of the completed trials alone: what did not converge is right-censored, so it is counted in `completion`, and
    never averaged in.
    """
    frame = with_derived(measured(frame))
    named = ["cell", "algorithm", "transport", *factors_of(frame)]
    outcomes = frame["outcome"].to_numpy(object)
    known = {name: frame[name].to_numpy(object) for name in named}
    figures = {name: frame[name].to_numpy(np.float64, na_value=np.nan) for name in columns}
    lasted = frame["wall_time_ms"].to_numpy(np.float64, na_value=np.nan)
    rows = []
    for places in _cells(frame):
        ended = outcomes[places]
        row: dict[str, Any] = {name: values[places[0]] for name, values in known.items()}
        row["trials"] = len(places)
        row |= {outcome.value: int((ended == outcome).sum()) for outcome in _COUNTED}
        row |= _completion(row)
        given_up = lasted[places[ended == Outcome.NOT_CONVERGED]]
        row["outlasted_ms"] = np.nanmin(given_up) if np.isfinite(given_up).any() else np.nan
        done = places[ended == Outcome.COMPLETED]
        for name, values in figures.items():
            mine = values[done]
            row |= _figures(name, mine[~np.isnan(mine)])
        rows.append(row)
    heads = [*named, "trials", *(outcome.value for outcome in _COUNTED)]
    heads += ["completion", "completion_low", "completion_high", "outlasted_ms"]
    return pd.DataFrame(rows, columns=[*heads, *(f"{c}{e}" for c in columns for e in ENDINGS)])


def _cells(frame: pd.DataFrame) -> Iterator[Any]:
    """The places of each cell's trials, cell by cell in the order of the plan."""
    codes = frame["cell"].cat.codes.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return iter(np.split(order, starts[1:])) if len(frame) else iter(())


def _completion(row: dict[str, Any]) -> dict[str, float]:
    """The share of a cell's migrations that completed: of those that completed, did not converge or failed."""
    done = row[Outcome.COMPLETED]
    tried = sum(row[outcome] for outcome in TRIED)
    low, high = statistics.share_interval(done, tried)
    share = done / tried if tried else np.nan
    return {"completion": share, "completion_low": low, "completion_high": high}


def _figures(name: str, values: statistics.Floats) -> dict[str, float | None]:
    """One figure of a cell, from its completed trials."""
    if not values.size:
        return {f"{name}_n": 0}
    interval = statistics.median_interval(values)
    metric = BY_COLUMN.get(name)
    mean = _MEANS.get(metric.kind) if metric else None
    return {
        name: statistics.median(values),
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
        f"{name}_min": float(values.min()),
        f"{name}_max": float(values.max()),
        f"{name}_n": int(values.size),
        f"{name}_mean": mean(values) if mean else None,
        f"{name}_p95": statistics.percentile(values, 0.95),
        f"{name}_p99": statistics.percentile(values, 0.99),
    }


_MEANS: dict[str, Callable[[statistics.Floats], float]] = {
    "cost": lambda values: float(values.mean()),
    "rate": statistics.harmonic_mean,
}
TRIED = (Outcome.COMPLETED, Outcome.NOT_CONVERGED, Outcome.FAILED)
"""how a migration that was tried may end"""
_COUNTED = (
    Outcome.COMPLETED,
    Outcome.NOT_CONVERGED,
    Outcome.FAILED,
    Outcome.INVALID_LOAD,
    Outcome.UNSUPPORTED,
)
