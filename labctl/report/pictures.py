"""The data of the report's pictures: every trial's figures, each cell's median with its interval, and time courses."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from labctl.analysis.frame import factors_of, measured, summary, who_of
from labctl.analysis.metrics import METRICS, Metric, with_derived
from labctl.report.numbers import known
from labctl.report.rows import load_of, records
from labctl.report.series import time_course
from labctl.results.figures import Seen
from labctl.results.run import Trial
from labctl.results.schema import Outcome

POINTS = 250_000
"""How many values all time courses hold together, about: what keeps the page below 8 MB."""
MOST_COURSES = 1_500
MOST_POINTS = 8_000
"""trials that are drawn as points; of more, every second or third, and the intervals are of all"""


def points(frame: pd.DataFrame) -> dict[str, Any]:
    """Every trial's figures, by algorithm and load, and each cell's median with its interval: what the pictures show."""
    factors = factors_of(frame)
    frame = with_derived(measured(frame)).sort_values(["cell", "trial"])
    frame = frame.assign(who=who_of(frame))
    cells = summary(frame)
    cells["who"] = who_of(cells)
    middles = list(records(cells))
    loads = {
        load: place
        for place, load in enumerate(dict.fromkeys(load_of(row, factors) for row in middles))
    }
    every = -(-len(frame) // MOST_POINTS) or 1
    rows = list(records(frame[::every]))
    several = "run" in factors
    metrics = []
    for metric in METRICS:
        found = list(_points(metric, rows, factors, loads, several=several))
        if any(point["value"] for point in found):
            metrics.append(
                {
                    "title": metric.title,
                    "unit": metric.unit,
                    "about": metric.about,
                    "points": found,
                    "middles": list(_middles(metric, middles, factors, loads)),
                }
            )
    return {
        "algorithms": list(dict.fromkeys(str(row["who"]) for row in middles)),
        "loads": [list(load) for load in loads],
        "factors": ", ".join(name.replace("_", " ") for name in factors),
        "metrics": metrics,
        "every": every,
    }


def _points(
    metric: Metric,
    rows: list[dict[str, Any]],
    factors: list[str],
    loads: dict[tuple[str, ...], int],
    *,
    several: bool,
) -> Iterator[dict[str, Any]]:
    for row in rows:
        given_up = row["outcome"] == Outcome.NOT_CONVERGED and metric.column == "total_time_ms"
        value = row["wall_time_ms" if given_up else metric.column]
        if known(value) and (given_up or row["outcome"] == Outcome.COMPLETED):
            number = int(row["trial"])
            yield {
                "trial": f"{row['run']}/{number}" if several else number,
                "algorithm": row["who"],
                "load": loads[load_of(row, factors)],
                "value": _six(float(value) * metric.scale),
                "given_up": bool(given_up),
            }


def _middles(
    metric: Metric,
    cells: list[dict[str, Any]],
    factors: list[str],
    loads: dict[tuple[str, ...], int],
) -> Iterator[dict[str, Any]]:
    for row in cells:
        if known(row[metric.column]):
            low, high = (row[f"{metric.column}_{end}"] for end in ("low", "high"))
            yield {
                "algorithm": row["who"],
                "load": loads[load_of(row, factors)],
                "median": _six(row[metric.column] * metric.scale),
                "interval": [_six(end * metric.scale) for end in (low, high)]
                if known(low)
                else None,
            }


def _six(value: float) -> float:
    return float(f"{value:.6g}")


def courses(trials: Sequence[Trial], *, several: bool = False) -> Iterator[dict[str, Any]]:
    """The time course of each trial that had one, with what to call it; of `several` runs, with its run's name."""
    most = max(50, min(600, POINTS // (3 * max(1, len(trials)))))
    for trial in trials[:MOST_COURSES]:
        record = trial.record
        course = time_course(Seen(record, trial.beats, trial.samples, trial.events), most)
        if course is None:
            continue
        link = record.links.get("migration")
        asked = link.asked_bits_per_s if link else None
        yield {
            "trial": f"{trial.run}/{record.number}" if several else record.number,
            "cell": record.cell,
            "note": f"{record.outcome.value.replace('_', ' ')}, {record.direction}",
            "link_mbit_per_s": asked / 1e6 if asked else None,
            **course,
        }
