"""The report's tables: cells, trials, what did not complete."""

from typing import Any

import pandas as pd

from labctl.analysis.cells import in_words, who_columns
from labctl.analysis.frame import factors_of, summary, who_of
from labctl.analysis.metrics import METRICS, with_derived
from labctl.report.numbers import NONE, known, median_and_beside, outcomes, short, shown, within
from labctl.report.rows import by_load, load_of, records, text_of, yes_no
from labctl.results.schema import Outcome

MOST_ROWS = 2_000
"""A page with more rows is no page; `labctl results --format csv` has them all."""

_TRIAL_COLUMNS = (
    ("setup_time_ms", "set-up, ms", 1.0),
    ("switchover_ms", "STOP to RESUME, ms", 1.0),
    ("downtime_ms", "QEMU's downtime, ms", 1.0),
    ("stall_total_ms", "stalls, ms", 1.0),
    ("ram_bytes", "RAM sent, MiB", 2.0**-20),
    ("passes", "passes", 1.0),
    ("page_requests", "page requests", 1.0),
    ("write_rate_measured_bytes_per_s", "wrote, MiB/s", 2.0**-20),
    ("cpu_source_s", "CPU source, s", 1.0),
    ("cpu_destination_s", "CPU destination, s", 1.0),
)


def cell_table(frame: pd.DataFrame) -> dict[str, Any]:
    """One row a cell, under its load: outcomes, and each metric's median above its interval."""
    factors = factors_of(frame)
    cells = summary(frame)
    rows = []
    for row in records(cells.assign(who=who_of(cells))):
        figures = []
        for metric in METRICS:
            median, spread = median_and_beside(metric, row)
            censored = metric.column == "total_time_ms" and not row["completed"]
            if censored and known(row["outlasted_ms"]):
                median = f"> {shown(metric, row['outlasted_ms'])}"
            figures.append((median, spread))
        rows.append(
            {
                "load": in_words(factors, load_of(row, factors)),
                "who": row["who"],
                "outcomes": outcomes(row),
                "good": row["completed"] == row["trials"],
                "figures": figures,
            }
        )
    heads = [{"title": m.title, "unit": m.unit, "about": m.about} for m in METRICS]
    return {"heads": heads, "loads": by_load(rows)}


def trial_table(frame: pd.DataFrame) -> dict[str, Any]:
    """One row a trial."""
    names = [*who_columns(frame), *factors_of(frame)]
    left_out = max(0, len(frame) - MOST_ROWS)
    frame = with_derived(frame.head(MOST_ROWS))
    rows = []
    for row in records(frame):
        details = [
            short(float(row[name]) * scale) if known(row[name]) else NONE
            for name, _, scale in _TRIAL_COLUMNS
        ]
        rows.append(
            {
                "number": int(row["trial"]),
                "names": [_named(row, name) for name in names],
                "block": int(row["block"]),
                "direction": text_of(row["direction"]),
                "outcome": str(row["outcome"]).replace("_", " "),
                "good": row["outcome"] == Outcome.COMPLETED,
                "verdict": text_of(row["verdict"]).replace("_", " "),
                "figures": [shown(metric, row[metric.column]) for metric in METRICS],
                "details": details,
                "identical": yes_no(row["memory_identical"]),
                "switched": yes_no(row["switched"]),
            }
        )
    heads = [f"{within(metric.title)}, {metric.unit}" for metric in METRICS]
    details = [title for _, title, _ in _TRIAL_COLUMNS]
    return {
        "names": [name.replace("_", " ") for name in names],
        "heads": heads,
        "details": details,
        "rows": rows,
        "left_out": left_out,
    }


def not_completed(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Every trial that did not complete, and why."""
    return [
        {
            "trial": str(row["trial"]),
            "cell": str(row["cell"]),
            "outcome": str(row["outcome"]).replace("_", " "),
            "rule": text_of(row["rule"]),
            "reason": text_of(row["reason"]),
        }
        for row in records(frame[frame["outcome"] != Outcome.COMPLETED].head(MOST_ROWS))
    ]


def _named(row: dict[str, Any], name: str) -> str:
    """A level of a trial; a cell's twin says that it is one."""
    twin = name == "algorithm" and known(row["twin_of"])
    return f"{row[name]} (twin)" if twin else str(row[name])
