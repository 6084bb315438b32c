"""Every metric that labctl gives to Prometheus, in one table: the exporter, the history, the dashboards' test and the docs read it.

Base units (seconds, bytes, ratios), `_total` on counters. A trial's number and cell stand in `labctl_trial_info` alone: every other
label has few values, whatever the size of the campaign.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from labctl.monitoring.metric import ALL_WAYS, HISTORY, SCRAPED, SENT, Kind, MetricInfo, made

CAMPAIGN: Final = (
    *made(
        "gauge",
        "",
        ("run_running", "1 while trials run, 0 before and after"),
        ("run_trials_planned", "trials of the plan that can run, warm-ups included"),
        ("run_trials_left", "of these, the ones without a result"),
        ("run_left_seconds", "until the last pair is done, by the estimates"),
        ("run_started_timestamp_seconds", "when it was started, or resumed"),
        ("run_moved_timestamp_seconds", "when a trial last entered a phase, sent memory or ended"),
    ),
    *made(
        "counter",
        "outcome algorithm transport",
        ("trials", "trials that have a result, warm-ups left out; unsupported ones too"),
    ),
    *made("counter", "verdict", ("verdicts", "what became of the machine, warm-ups left out")),
    *made("counter", "", ("attempts_interrupted", "attempts that were cut off, and are repeated")),
)

TRIAL: Final = (
    *made(
        "gauge",
        "pair trial cell algorithm transport load attempt source destination",
        ("trial_info", "1 while this trial runs; in what is written afterwards, 0 when it has ended"),
        ways=ALL_WAYS,
    ),
    *made("gauge", "pair phase", ("trial_phase", "1 for the phase that the trial is in; in what is written afterwards, 0 after it"), ways=ALL_WAYS),
    *made(
        "gauge",
        "pair",
        ("trial_elapsed_seconds", "since the trial began"),
        ("migration_transferred_bytes", "RAM sent, by QEMU's account"),
        ("migration_remaining_bytes", "RAM still to send, by QEMU's account"),
        ("migration_dirty_bytes_per_second", "pages dirtied anew, by QEMU's account of a pass"),
        ("migration_bandwidth_bytes_per_second", "by QEMU's account"),
        ("migration_iteration", "QEMU's count of dirty bitmap syncs"),
        ("migration_throttle_ratio", "what auto-converge takes from each vCPU"),
        ("migration_page_requests", "pages that the destination has asked for, in postcopy"),
        ("guest_work_bytes_per_second", "pages that the guest writes, by its beats"),
        ("guest_blackout_seconds", "so far, from the source's last beat; absent while it beats"),
        ways=(SCRAPED,),
    ),
)  # fmt: skip

LAB: Final = (
    *made("gauge", "state", ("lab_pairs", "pairs of hosts: busy, idle or aside")),
    *made(
        "gauge",
        "pair",
        ("lab_node_connections", "nodes of the pair that are connected; 0 when it is lost"),
        ("lab_clock_uncertainty_seconds", "within what the hosts' moments are right, in its last trial"),
        ("sampling_lag_seconds", "the longest that a sample was late in its last trial"),
    ),
    *made(
        "gauge",
        "pair side",
        ("lab_clock_offset_seconds", "the host's time of day less the observer's, in its last trial"),
    ),
)  # fmt: skip

ITSELF: Final = (
    *made("counter", "", ("events", "events of the run that were taken in")),
    *made("counter", "", ("events_dropped", "events that were not: stays 0"), ways=(SCRAPED,)),
    *made(
        "counter",
        "fate",
        ("remote_write_trials", "trials whose samples were sent, dropped or refused"),
        ways=(SCRAPED,),
    ),
    *made(
        "counter",
        "",
        ("remote_write_samples", "samples that remote write has sent"),
        ("remote_write_retries", "requests that were sent again"),
        ways=(SCRAPED,),
    ),
    *made(
        "gauge",
        "",
        ("remote_write_waiting_trials", "trials whose samples are to be sent"),
        ways=(SCRAPED,),
    ),
)


@dataclass(frozen=True)
class Result:
    """A figure of a trial as a metric: `scale` times the column; `buckets` where there is a histogram of it."""

    name: str
    column: str
    scale: float
    about: str
    buckets: tuple[float, ...] = ()


_MIB: Final = 2.0**20
_TIMES: Final = (0.1, 0.2, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120, 300, 900)
_GAPS: Final = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.1,
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.6,
    1,
    2,
    5,
    10,
)
_BYTES: Final = tuple(_MIB * 4**power for power in range(2, 13))

RESULTS: Final = (
    Result("total_time_seconds", "total_time_ms", 1e-3, "QEMU's own, from migrate to its end", _TIMES),
    Result("blackout_seconds", "blackout_ms", 1e-3, "the last beat of the source to the first of the destination", _GAPS),
    Result("brownout_seconds", "brownout_ms", 1e-3, "time below 95 % of the guest's usual work", _TIMES),
    Result("wire_bytes", "wire_bytes", 1.0, "bytes that left both ends", _BYTES),
    Result("downtime_seconds", "downtime_ms", 1e-3, "QEMU's own account of the switch"),
    Result("stall_max_seconds", "stall_max_ms", 1e-3, "the longest other gap of any vCPU"),
    Result("work_lost_seconds", "work_lost_s", 1.0, "missing work, in seconds of the usual work"),
    Result("exposure_seconds", "exposure_s", 1.0, "time in which the machine needs both hosts"),
    Result("ram_bytes", "ram_bytes", 1.0, "RAM sent, by QEMU's account"),
    Result("memory_bytes", "memory_bytes", 1.0, "the guest's memory"),
    Result("passes", "passes", 1.0, "passes over the memory"),
    Result("page_requests", "page_requests", 1.0, "pages asked for in postcopy"),
    Result("cpu_source_seconds", "cpu_source_s", 1.0, "CPU of the source's QEMU"),
    Result("cpu_destination_seconds", "cpu_destination_s", 1.0, "CPU of the destination's QEMU"),
    Result("write_rate_asked_bytes_per_second", "write_rate_asked_bytes_per_s", 1.0, "the load asked"),
    Result("write_rate_measured_bytes_per_second", "write_rate_measured_bytes_per_s", 1.0, "the load before the migration"),
)  # fmt: skip
"""of each completed trial"""


@dataclass(frozen=True)
class CellScore:
    """A score of the report's card as a metric: `scale` times its value."""

    name: str
    property: str
    score: str
    scale: float


CELL_SCORES: Final = (
    CellScore("service_lost_seconds", "continuous_service", "service_lost_s", 1.0),
    CellScore("interruption_seconds", "continuous_service", "interruption_ms", 1e-3),
    CellScore("blackout_seconds", "continuous_service", "blackout_ms", 1e-3),
    CellScore("brownout_seconds", "continuous_service", "brownout_ms", 1.0),
    CellScore("wire_per_memory_ratio", "resource_usage", "wire_per_memory", 1.0),
    CellScore("cpu_seconds_per_gibibyte", "resource_usage", "cpu_per_gib_s", 1.0),
    CellScore("held_seconds", "resource_usage", "held_s", 1.0),
    CellScore("exposure_seconds", "robustness", "exposure_s", 1.0),
    CellScore("lost_ratio", "robustness", "lost", 0.01),
    CellScore("estimate_error_ratio", "predictability", "model_error", 1.0),
    CellScore("completed_ratio", "predictability", "completion", 0.01),
    CellScore("total_time_spread_ratio", "predictability", "spread", 0.01),
    CellScore("total_time_seconds", "predictability", "total_time_ms", 1.0),
    CellScore("vcpu_stolen_seconds", "transparency", "vcpu_stolen_s", 1.0),
    CellScore("clock_jump_seconds", "transparency", "clock_off_ms", 1e-3),
    CellScore("memory_identical_ratio", "transparency", "identical", 0.01),
)
"""of each algorithm x transport x load; a score's value is in its own unit (the report's), the metric's in a base unit"""

WHICH: Final = ("algorithm", "transport")
CELL: Final = (*WHICH, "load")


@dataclass(frozen=True)
class Series:
    """A column of the samples as a metric at 10 ms."""

    name: str
    column: str
    scale: float
    about: str
    kind: Kind = "gauge"


SAMPLES: Final = (
    Series("transferred_bytes", "transferred_bytes", 1.0, "RAM sent, by QEMU's account"),
    Series("remaining_bytes", "remaining_bytes", 1.0, "RAM still to send, by QEMU's account"),
    Series("dirty_bytes_per_second", "dirty_pages_rate", 4096.0, "pages dirtied anew, by QEMU's account of a pass"),
    Series("bandwidth_bytes_per_second", "mbps", 1e6 / 8, "by QEMU's account"),
    Series("iteration", "dirty_sync_count", 1.0, "QEMU's count of dirty bitmap syncs"),
    Series("throttle_ratio", "cpu_throttle_percentage", 0.01, "what auto-converge takes from each vCPU"),
    Series("page_requests", "postcopy_requests", 1.0, "pages asked for in postcopy"),
    Series("vcpu_cpu_seconds", "vcpu_cpu_ns", 1e-9, "CPU of the vCPUs since QEMU started", "counter"),
    Series("other_cpu_seconds", "other_cpu_ns", 1e-9, "CPU of QEMU's other threads since it started", "counter"),
    Series("resident_bytes", "rss_bytes", 1.0, "QEMU's resident memory"),
    Series("link_sent_bytes", "qdisc_sent_bytes", 1.0, "bytes that have left the interface", "counter"),
)  # fmt: skip
"""of each side, at the moment it was asked"""

GUEST_SAMPLES: Final = (
    *made(
        "gauge",
        "pair",
        ("sample_guest_work_bytes_per_second", "pages that the guest writes, by its beats, in steps of 10 ms"),
        ("sample_blackout", "1 from the source's last beat to the destination's first, else 0"),
        ways=(SENT, HISTORY),
    ),
)  # fmt: skip


def all_metrics() -> Iterator[MetricInfo]:
    """Every metric."""
    yield from (*CAMPAIGN, *TRIAL)
    for result in RESULTS:
        about = f"{result.about}; of the pair's last completed trial"
        yield MetricInfo(f"result_{result.name}", "gauge", ("pair", *CELL), about)
        if result.buckets:
            about = f"{result.about}; of completed trials"
            yield MetricInfo(f"trial_{result.name}", "histogram", WHICH, about)
    for cell in CELL_SCORES:
        yield MetricInfo(f"cell_{cell.name}", "gauge", CELL, _score_about(cell))
    yield MetricInfo("cell_trials", "gauge", CELL, "trials of the cell that have a result")
    for series in SAMPLES:
        about = f"{series.about}; every 10 ms, after the trial"
        yield MetricInfo(
            f"sample_{series.name}", series.kind, ("pair", "side"), about, (SENT, HISTORY)
        )
    yield from (*GUEST_SAMPLES, *LAB, *ITSELF)


def _score_about(cell: CellScore) -> str:
    from labctl.analysis.properties import PROPERTIES

    title = next(prop.title for prop in PROPERTIES if prop.key == cell.property)
    return f"{title.lower()}: `{cell.score}` of the report, of the cell's trials until now"
