"""What stands in the report: sentences, tables and the data of its pictures."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from labctl import units
from labctl.analysis.frame import factors_of, summary
from labctl.analysis.metrics import METRICS, with_derived
from labctl.report.numbers import NONE, known, median_and_beside, outcomes, short, shown
from labctl.report.series import time_course
from labctl.results.figures import Seen
from labctl.results.run import Run, Trial
from labctl.results.schema import Outcome, TrialRecord

POINTS = 250_000
"""How many values all time courses hold together, about: what keeps the page below 8 MB."""
MOST_COURSES = 1_500
FEWEST_FOR_AN_INTERVAL = 6
LINK_TOLERANCE = 0.03

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


def headline(frame: pd.DataFrame, planned: int) -> list[str]:
    """What happened, in sentences that claim no more than was measured."""
    counts = frame["outcome"].value_counts()
    parts = [f"{counts[o.value]} {o.value.replace('_', ' ')}" for o in Outcome if o.value in counts]
    had = f"{len(frame)} of {planned} planned trials are accounted for"
    lines = [f"{had}: {', '.join(parts)}." if parts else f"{had}."]
    done = frame[frame["outcome"] == Outcome.COMPLETED]
    if len(done):
        identical = int(done["memory_identical"].fillna(value=False).sum())
        lines.append(f"The memory check passed in {identical} of {len(done)} completed trials.")
    lines += [
        f"{_named(row, factors_of(frame))}: {row['not_converged']} of {row['trials']} did not "
        f"converge; the first was given up after {short(row['outlasted_ms'] / 1000)} s."
        for row in _cells(frame)
        if row["not_converged"]
    ]
    lines += _loads_not_reached(frame)
    least = int(frame.groupby("cell", observed=True).size().min()) if len(frame) else 0
    if len(frame) and least < FEWEST_FOR_AN_INTERVAL:
        lines.append(
            f"With {least} trial{'s' if least != 1 else ''} a cell there are medians, ranges and "
            f"points, and no interval: that takes at least {FEWEST_FOR_AN_INTERVAL}."
        )
    return lines


def _loads_not_reached(frame: pd.DataFrame) -> Iterator[str]:
    missed = frame[frame["outcome"] == Outcome.INVALID_LOAD]
    for asked, trials in missed.groupby("write_rate_asked_bytes_per_s", sort=True):
        best = trials["write_rate_measured_bytes_per_s"].max()
        had = f"; the best of them reached {short(best / 2**20)} MiB/s" if known(best) else ""
        rate = units.format_rate(int(str(asked)))
        yield f"{len(trials)} trials asked for {rate} and did not get it within 5 %{had}."


def about(run: Run, records: list[TrialRecord]) -> list[tuple[str, str]]:
    """What the run was: name and value."""
    qemus = [qemu for record in records for qemu in record.qemu.values()]
    links = [record.links["migration"] for record in records if "migration" in record.links]
    goodputs = [link.goodput_bits_per_s for link in links if link.goodput_bits_per_s]
    asked = {link.asked_bits_per_s for link in links if link.asked_bits_per_s}
    rows = [
        ("Run", run.name),
        ("Started", run.started.strftime("%Y-%m-%d %H:%M:%S UTC") if run.started else NONE),
        ("QEMU", _each(qemu.version for qemu in qemus)),
        ("Accelerator", _each(qemu.accelerator for qemu in qemus)),
        ("Machine type", _each(qemu.machine_type for qemu in qemus)),
        ("Pairs", _each(record.pair for record in records)),
        ("Link asked for", _each(units.format_bandwidth(bits) for bits in sorted(asked))),
        ("Goodput measured", f"{short(min(goodputs) / 1e6)} Mbit/s" if goodputs else NONE),
        ("Order of trials", f"seed {run.plan.seed}"),
    ]
    if any(record.shared_host for record in records):
        rows.append(("Shared", "another run used a host at the same time"))
    return rows


def caveats(records: list[TrialRecord]) -> list[str]:
    """What a reader must know before using the numbers."""
    accelerators = {q.accelerator for record in records for q in record.qemu.values()}
    lines = []
    if "tcg" in accelerators:
        lines.append(
            "The guests ran under TCG, which emulates the CPU: compare cells with each other, and "
            "do not take these times for those of hardware virtualisation."
        )
    links = [record.links["migration"] for record in records if "migration" in record.links]
    off = [link.deviation for link in links if link.deviation is not None]
    furthest = max(off, key=abs, default=0.0)
    if abs(furthest) > LINK_TOLERANCE:
        lines.append(
            f"The link was off: before the trials it was measured {abs(furthest):.0%} "
            f"{'below' if furthest < 0 else 'above'} the rate asked."
        )
    if records and all(record.clocks.one_clock for record in records):
        lines.append("Source and destination were on one host and shared its CPUs.")
    return lines


def cell_table(frame: pd.DataFrame) -> dict[str, Any]:
    """One row a cell: outcomes, and each metric's median above its range."""
    names = ["algorithm", *factors_of(frame)]
    rows = []
    for row in _cells(frame):
        figures = []
        for metric in METRICS:
            median, spread = median_and_beside(metric, row)
            censored = metric.column == "total_time_ms" and not row["completed"]
            if censored and known(row["outlasted_ms"]):
                median = f"> {shown(metric, row['outlasted_ms'])}"
            figures.append((median, spread))
        rows.append(
            {
                "names": [str(row[name]) for name in names],
                "outcomes": outcomes(row),
                "good": row["completed"] == row["trials"],
                "figures": figures,
            }
        )
    heads = [{"title": m.title, "unit": m.unit, "about": m.about} for m in METRICS]
    return {"names": [name.replace("_", " ") for name in names], "heads": heads, "rows": rows}


def trial_table(frame: pd.DataFrame) -> dict[str, Any]:
    """One row a trial."""
    names = ["algorithm", *factors_of(frame)]
    frame = with_derived(frame)
    rows = []
    for row in _records(frame):
        figures = [shown(metric, row[metric.column]) for metric in METRICS]
        figures += [
            short(float(row[name]) * scale) if known(row[name]) else NONE
            for name, _, scale in _TRIAL_COLUMNS
        ]
        rows.append(
            {
                "number": int(row["trial"]),
                "names": [str(row[name]) for name in names],
                "block": int(row["block"]),
                "direction": _text(row["direction"]),
                "outcome": str(row["outcome"]).replace("_", " "),
                "good": row["outcome"] == Outcome.COMPLETED,
                "verdict": _text(row["verdict"]).replace("_", " "),
                "figures": figures,
                "identical": _yes_no(row["memory_identical"]),
                "switched": _yes_no(row["switched"]),
            }
        )
    heads = [f"{metric.title.lower()}, {metric.unit}" for metric in METRICS]
    heads += [title for _, title, _ in _TRIAL_COLUMNS]
    return {"names": [name.replace("_", " ") for name in names], "heads": heads, "rows": rows}


def not_completed(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Every trial that did not complete, and why."""
    return [
        {
            "trial": str(row["trial"]),
            "cell": str(row["cell"]),
            "outcome": str(row["outcome"]).replace("_", " "),
            "rule": _text(row["rule"]),
            "reason": _text(row["reason"]),
        }
        for row in _records(frame[frame["outcome"] != Outcome.COMPLETED])
    ]


def points(frame: pd.DataFrame) -> dict[str, Any]:
    """Every trial's figures, by algorithm and load: what the pictures of metrics show."""
    factors = factors_of(frame)
    frame = with_derived(frame).sort_values(["cell", "trial"])
    rows = list(_records(frame))
    loads = list(dict.fromkeys(_load(row, factors) for row in rows))
    metrics = []
    for metric in METRICS:
        found = []
        for row in rows:
            given_up = row["outcome"] == Outcome.NOT_CONVERGED and metric.column == "total_time_ms"
            value = row["wall_time_ms" if given_up else metric.column]
            if known(value) and (given_up or row["outcome"] == Outcome.COMPLETED):
                found.append(
                    {
                        "trial": int(row["trial"]),
                        "algorithm": str(row["algorithm"]),
                        "load": loads.index(_load(row, factors)),
                        "value": float(f"{float(value) * metric.scale:.6g}"),
                        "given_up": bool(given_up),
                    }
                )
        if any(point["value"] for point in found):
            metrics.append(
                {"title": metric.title, "unit": metric.unit, "about": metric.about, "points": found}
            )
    return {
        "algorithms": list(dict.fromkeys(str(row["algorithm"]) for row in rows)),
        "loads": loads,
        "factors": ", ".join(name.replace("_", " ") for name in factors),
        "metrics": metrics,
    }


def courses(trials: list[Trial]) -> Iterator[dict[str, Any]]:
    """The time course of each trial that had one, with what to call it."""
    most = max(50, min(600, POINTS // (3 * max(1, len(trials)))))
    for trial in trials[:MOST_COURSES]:
        record = trial.record
        course = time_course(Seen(record, trial.beats, trial.samples, trial.events), most)
        if course is None:
            continue
        link = record.links.get("migration")
        asked = link.asked_bits_per_s if link else None
        yield {
            "trial": record.number,
            "cell": record.cell,
            "note": f"{record.outcome.value.replace('_', ' ')}, {record.direction}",
            "link_mbit_per_s": asked / 1e6 if asked else None,
            **course,
        }


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings, each with its path."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from flat({str(i): v for i, v in enumerate(value)}, f"{prefix}{key}.")
        else:
            listed = isinstance(value, list | tuple)
            yield f"{prefix}{key}", ", ".join(map(str, value)) if listed else str(value)


def _records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in frame.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def _cells(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    return _records(summary(frame))


def _load(row: Mapping[str, Any], factors: list[str]) -> str:
    """A cell's levels without its algorithm."""
    return ", ".join(str(row[name]) for name in factors) or "all"


def _named(row: Mapping[str, Any], factors: list[str]) -> str:
    """A cell in words: `precopy, write rate 400MiB/s`."""
    levels = [f"{name.replace('_', ' ')} {row[name]}" for name in factors]
    return ", ".join([str(row["algorithm"]), *levels])


def _each(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value)) or NONE


def _text(value: Any) -> str:
    return str(value) if known(value) else NONE


def _yes_no(value: Any) -> str:
    return ("yes" if value else "no") if known(value) else NONE
