"""What was seen of a trial becomes what is stored of it."""

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from labctl.campaign import Campaign, Plan, PlannedTrial
from labctl.lab import Pair
from labctl.migration import RawTrial
from labctl.results import RunStore, TrialRecord
from labctl.results.schema import (
    Clocks,
    GuestRecord,
    LinkRecord,
    Outcome,
    QemuRecord,
    RdmaRecord,
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


ITSELF_FAILED: Final = "labctl itself failed"
"""how the reason begins where neither QEMU nor the lab was at fault"""


def record_trial(
    store: RunStore,
    plan: Plan,
    planned: PlannedTrial,
    raw: RawTrial,
    pair: Pair,
    campaign: Campaign,
    *,
    attempt: int,
) -> TrialRecord:
    """Derive the figures of a trial and store all of it. LabctlError when it cannot be written.

    What cannot be derived is a failed trial with the reason in `controller.log`: its raw data are stored as far as
    they can be read.
    """
    from labctl.results.figures import figures
    from labctl.results.raw import beats_frame, samples_frame

    beats: pd.DataFrame | None = None
    samples: pd.DataFrame | None = None
    record = to_record(plan, planned, RawTrial(), pair, campaign, store.name, attempt=attempt)
    try:
        record = to_record(plan, planned, raw, pair, campaign, store.name, attempt=attempt)
        beats = beats_frame(raw.beats, raw.vcpus)
        samples = samples_frame([flatten(sample) for sample in raw.samples])
        record.figures = figures(record, beats, samples, raw.events)
    except Exception:  # noqa: BLE001 - one trial that cannot be read must not take the others along
        if raw.outcome != Outcome.INTERRUPTED:
            record.outcome = Outcome.FAILED
        record.reason = f"{ITSELF_FAILED} on {raw.outcome} data; controller.log says how"
        raw.logs["controller"] = raw.logs.get("controller", "") + traceback.format_exc()
    logs = {f"{name}.log": text for name, text in raw.logs.items() if text}
    store.write_trial(record, beats=beats, samples=samples, events=raw.events, logs=logs)
    return record


def to_record(
    plan: Plan,
    planned: PlannedTrial,
    raw: RawTrial,
    pair: Pair,
    campaign: Campaign,
    run: str,
    *,
    attempt: int,
) -> TrialRecord:
    """The record of a trial, its figures still to come."""
    guest_sha256 = str(pair.a.probe.get("guest_sha256", ""))
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
        pair=pair.name,
        campaign=campaign.name,
        run=run,
        shared_host=pair.shared_host,
        spec=plan.cell(planned.cell).model_dump(mode="json"),
        outcome=Outcome(raw.outcome),
        verdict=Verdict(raw.verdict) if raw.verdict else None,
        reason=raw.reason,
        times=Times.model_validate({"entered": times, **moments}),
        clocks=Clocks.model_validate(
            {"one_clock": pair.one_clock, "anchors": raw.clocks, "offsets": raw.offsets}
        ),
        qemu={side: QemuRecord.model_validate(said) for side, said in raw.qemu.items()},
        guest=GuestRecord.model_validate({"sha256": guest_sha256, **raw.guest}),
        links={"migration": LinkRecord.model_validate(raw.link)} if raw.link else {},
        rdma={side: RdmaRecord.model_validate(said) for side, said in raw.rdma.items()},
        final_query_migrate=final.get("source", {}).get("migrate"),
        destination_final=final.get("destination", {}).get("migrate"),
        schedule=raw.schedule,
        evidence=raw.evidence,
        not_collected=raw.not_collected,
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
