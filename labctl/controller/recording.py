"""What was seen of a trial becomes what is stored of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labctl.campaign.cells import Cell
from labctl.campaign.plan import PlannedTrial
from labctl.migration import RawTrial
from labctl.results import RunStore, TrialRecord
from labctl.results.schema import (
    Clocks,
    GuestRecord,
    LinkRecord,
    Outcome,
    QemuRecord,
    Times,
    Verdict,
)

if TYPE_CHECKING:
    import pandas as pd

_RAM = {
    "transferred_bytes": "transferred",
    "remaining_bytes": "remaining",
    "ram_total_bytes": "total",
    "duplicate_pages": "duplicate",
    "normal_pages": "normal",
    "dirty_sync_count": "dirty-sync-count",
    "dirty_pages_rate": "dirty-pages-rate",
    "mbps": "mbps",
    "precopy_bytes": "precopy-bytes",
    "postcopy_bytes": "postcopy-bytes",
    "postcopy_requests": "postcopy-requests",
    "page_size": "page-size",
    "multifd_bytes": "multifd-bytes",
}
_WHOLE = {
    "status": "status",
    "expected_downtime_ms": "expected-downtime",
    "downtime_ms": "downtime",
    "total_time_ms": "total-time",
    "setup_time_ms": "setup-time",
    "cpu_throttle_percentage": "cpu-throttle-percentage",
}


@dataclass(frozen=True)
class Context:
    """What a trial belongs to."""

    campaign: str
    run: str
    pair: str
    shared_host: bool
    guest_sha256: str


def record_trial(
    store: RunStore,
    planned: PlannedTrial,
    cell: Cell,
    raw: RawTrial,
    context: Context,
    *,
    attempt: int,
) -> TrialRecord:
    """Derive the figures of a trial and store all of it. LabctlError when it cannot be written."""
    from labctl.results.figures import figures
    from labctl.results.raw import beats_frame, samples_frame

    beats: pd.DataFrame = beats_frame(raw.beats, raw.vcpus)
    samples = samples_frame([flatten(sample) for sample in raw.samples])
    record = to_record(planned, cell, raw, context, attempt=attempt)
    record.figures = figures(record, beats, samples, raw.events)
    logs = {f"{name}.log": text for name, text in raw.logs.items() if text}
    store.write_trial(record, beats=beats, samples=samples, events=raw.events, logs=logs)
    return record


def to_record(
    planned: PlannedTrial, cell: Cell, raw: RawTrial, context: Context, *, attempt: int
) -> TrialRecord:
    """The record of a trial, its figures still to come."""
    times = dict(raw.times_ns)
    moments = {
        f"{name}_ns": times.pop(name, None)
        for name in ("migrate_start", "migrate_end", "baseline_start", "baseline_end")
    }
    final = raw.final
    return TrialRecord(
        number=planned.number,
        name=planned.name,
        cell=planned.cell,
        block=planned.block,
        attempt=attempt,
        warmup=planned.warmup,
        direction=planned.direction,
        pair=context.pair,
        campaign=context.campaign,
        run=context.run,
        shared_host=context.shared_host,
        spec=cell.model_dump(mode="json"),
        outcome=Outcome(raw.outcome),
        verdict=Verdict(raw.verdict) if raw.verdict else None,
        reason=raw.reason,
        times=Times.model_validate({"entered": times, **moments}),
        clocks=Clocks.model_validate({"one_clock": True, "anchors": raw.clocks}),
        qemu={side: QemuRecord.model_validate(said) for side, said in raw.qemu.items()},
        guest=GuestRecord.model_validate({"sha256": context.guest_sha256, **raw.guest}),
        links={"migration": LinkRecord.model_validate(raw.link)} if raw.link else {},
        final_query_migrate=final.get("source", {}).get("migrate"),
        destination_final=final.get("destination", {}).get("migrate"),
        schedule=raw.schedule,
        final_status={side: said.get("status") for side, said in final.items()},
    )


def flatten(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A node's sample in the columns of samples.parquet: a reply of query-migrate is spread out."""
    flat = dict(sample)
    if sample["kind"] == "migrate":
        reply = sample["raw"]
        ram = reply.get("ram", {})
        flat |= {column: ram.get(key) for column, key in _RAM.items()}
        flat |= {column: reply.get(key) for column, key in _WHOLE.items()}
    return flat
