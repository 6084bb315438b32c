"""What a run was, what came of it, and what a reader must know before using its numbers: in sentences and in pairs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from labctl import units
from labctl.analysis.adaptive import described, saving
from labctl.analysis.frame import factors_of, summary
from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN
from labctl.campaign.carriers import SOFTWARE, carrier, caveat
from labctl.errors import CampaignError
from labctl.report.numbers import NONE, known, short
from labctl.report.rows import named, records
from labctl.results.run import Run, Trials
from labctl.results.schema import Outcome, TrialRecord

LINK_TOLERANCE = 0.03
MOST_READ = 500
"""records that are read for what the hosts and links were"""


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
        f"{named(row, factors_of(frame))}: {row['not_converged']} of {row['trials']} did not "
        f"converge; the first was given up after {short(row['outlasted_ms'] / 1000)} s."
        for row in records(summary(frame))
        if row["not_converged"]
    ]
    lines += _loads_not_reached(frame)
    least = int(frame.groupby("cell", observed=True).size().min()) if len(frame) else 0
    if len(frame) and least < ENOUGH_FOR_MEDIAN:
        lines.append(
            f"With {least} trial{'s' if least != 1 else ''} a cell there are medians, ranges and "
            f"points, and no interval: that takes at least {ENOUGH_FOR_MEDIAN}."
        )
    return lines


def _loads_not_reached(frame: pd.DataFrame) -> Iterator[str]:
    missed = frame[frame["outcome"] == Outcome.INVALID_LOAD]
    for asked, trials in missed.groupby("write_rate_asked_bytes_per_s", sort=True):
        best = trials["write_rate_measured_bytes_per_s"].max()
        had = f"; the best of them reached {short(best / 2**20)} MiB/s" if known(best) else ""
        rate = units.format_rate(int(str(asked)))
        yield f"{len(trials)} trials asked for {rate} and did not get it within 5 %{had}."


def some_records(trials: Trials) -> list[TrialRecord]:
    """The records of trials spread evenly over a run: all, where these are few. They tell what the hosts and links were."""
    step = max(1, len(trials) // MOST_READ)
    return [trial.record for trial in trials[::step]]


def about(runs: Sequence[Run], records: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    """What the runs were: name and value."""
    qemus = [qemu for record in records for qemu in record.qemu.values()]
    links = [record.links["migration"] for record in records if "migration" in record.links]
    goodputs = [link.goodput_bits_per_s for link in links if link.goodput_bits_per_s]
    asked = {link.asked_bits_per_s for link in links if link.asked_bits_per_s}
    delays = sorted({link.delay_s for link in links})
    losses = sorted({link.loss for link in links})
    ports = [
        f"{port.device} ({SOFTWARE.get(port.provider or '', port.provider)})"
        for record in records
        for port in record.rdma.values()
    ]
    started = [run.started.strftime("%Y-%m-%d %H:%M:%S UTC") for run in runs if run.started]
    rows = [
        ("Run" if len(runs) == 1 else "Runs", ", ".join(run.name for run in runs)),
        ("Started", _each(started)),
        ("QEMU", _each(qemu.version for qemu in qemus)),
        ("Accelerator", _each(qemu.accelerator for qemu in qemus)),
        ("Machine type", _each(qemu.machine_type for qemu in qemus)),
        ("Pairs", _each(record.pair for record in records)),
        *([("RDMA", _each(ports))] if ports else []),
        ("Link asked for", _each(units.format_bandwidth(bits) for bits in sorted(asked))),
        *([("Delay asked for", _each(map(units.format_duration, delays)))] if any(delays) else []),
        *([("Loss asked for", _each(map(units.format_share, losses)))] if any(losses) else []),
        ("Goodput measured", f"{short(min(goodputs) / 1e6)} Mbit/s" if goodputs else NONE),
        ("Order of trials", _each(f"seed {run.plan.seed}" for run in runs)),
    ]
    if any(record.shared_host for record in records):
        rows.append(("Shared", "another run used a host at the same time"))
    return rows


def bandwidth(runs: Sequence[Run]) -> str:
    """What the links of the runs were to carry."""
    rates = {cell.link.bandwidth_bits_per_s for run in runs for cell in run.plan.cells}
    return (
        ", ".join(units.format_bandwidth(rate) for rate in sorted(rate for rate in rates if rate))
        or "as it is"
    )


def caveats(records: Sequence[TrialRecord]) -> list[str]:
    """What a reader must know before using the numbers."""
    accelerators = {q.accelerator for record in records for q in record.qemu.values()}
    lines = []
    if "tcg" in accelerators:
        lines.append(
            "The guests ran under TCG, which emulates the CPU: compare cells with each other, and "
            "do not take these times for those of hardware virtualisation."
        )
    carriers = (
        carrier(str(record.spec.get("transport")), record.spec.get("rdma_provider"))
        for record in records
    )
    if said := caveat(carriers):
        lines.append(said)
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


def saved(run: Run, frame: pd.DataFrame) -> Iterator[str]:
    """What an adaptive campaign has saved, and which cells it has not settled."""
    with suppress(CampaignError):  # an old run is shown, though its campaign is read no more
        if (found := saving(run.campaign, run.plan, frame)) is not None:
            yield described(found)


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


def _each(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value)) or NONE
