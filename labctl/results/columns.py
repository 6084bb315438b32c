"""What a stored table's columns mean: the registry that the writers, the reader and the docs share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["int", "float", "text", "bool", "uint"]


@dataclass(frozen=True)
class Column:
    """One column: its name, what its cells are, in which unit, and where they come from."""

    name: str
    kind: Kind
    unit: str
    definition: str
    source: str


def _columns(source: str, rows: Iterable[tuple[str, Kind, str, str]]) -> tuple[Column, ...]:
    return tuple(Column(name, kind, unit, text, source) for name, kind, unit, text in rows)


BEATS = _columns(
    "the guest's beat, as the observer received it",
    [
        ("t_ns", "int", "ns", "arrival, on the observer's CLOCK_MONOTONIC"),
        ("side", "text", "", "which QEMU sent it: source or destination"),
        ("seq", "int", "", "the guest's own count of its beats"),
        ("tsc", "uint", "TSC ticks", "the guest's time stamp counter when it sent the beat"),
        ("phase", "int", "", "what the guest did: 0 boot, 1 fill, 2 run, 3 check, 4 checked"),
        ("work0", "int", "pages", "pages written by vCPU 0 since boot; work1, ... for the others"),
    ],
)
"""beats.parquet"""

SAMPLE_TIMES = _columns(
    "the sampling node's CLOCK_MONOTONIC",
    [
        ("kind", "text", "", "migrate: a reply to query-migrate; host: counters of the kernel"),
        ("side", "text", "", "the end that was sampled: source or destination"),
        ("due_ns", "int", "ns", "when the schedule asked for the sample"),
        ("request_ns", "int", "ns", "when it was begun"),
        ("reply_ns", "int", "ns", "when it was had; a blocked query shows as a late reply"),
    ],
)

SAMPLE_MIGRATE = _columns(
    "query-migrate (kind = migrate)",
    [
        ("status", "text", "", "status"),
        ("transferred_bytes", "int", "bytes", "ram.transferred"),
        ("remaining_bytes", "int", "bytes", "ram.remaining"),
        ("ram_total_bytes", "int", "bytes", "ram.total"),
        ("duplicate_pages", "int", "pages", "ram.duplicate (sent as one byte, such as zero pages)"),
        ("normal_pages", "int", "pages", "ram.normal"),
        ("dirty_sync_count", "int", "", "ram.dirty-sync-count (not the number of passes)"),
        ("dirty_pages_rate", "int", "pages/s", "ram.dirty-pages-rate"),
        ("mbps", "float", "Mbit/s", "ram.mbps, QEMU's own throughput"),
        ("precopy_bytes", "int", "bytes", "ram.precopy-bytes"),
        ("postcopy_bytes", "int", "bytes", "ram.postcopy-bytes"),
        ("postcopy_requests", "int", "", "ram.postcopy-requests"),
        ("page_size", "int", "bytes", "ram.page-size"),
        ("expected_downtime_ms", "int", "ms", "expected-downtime"),
        ("downtime_ms", "int", "ms", "downtime"),
        ("total_time_ms", "int", "ms", "total-time"),
        ("setup_time_ms", "int", "ms", "setup-time"),
        ("multifd_bytes", "int", "bytes", "ram.multifd-bytes"),
        ("cpu_throttle_percentage", "int", "%", "cpu-throttle-percentage (auto-converge)"),
        ("raw", "text", "JSON", "the whole reply"),
    ],
)

SAMPLE_HOST = _columns(
    "the kernel (kind = host)",
    [
        ("vcpu_cpu_ns", "int", "ns", "CPU time of that QEMU's vCPU threads since it started"),
        ("vcpu_run_delay_ns", "int", "ns", "time they were ready but did not run"),
        ("other_cpu_ns", "int", "ns", "CPU time of its other threads, ended ones included"),
        ("other_run_delay_ns", "int", "ns", "time those that live were ready but did not run"),
        ("rss_bytes", "int", "bytes", "resident memory of that QEMU"),
        ("tx_bytes", "int", "bytes", "sent by the link's interface"),
        ("rx_bytes", "int", "bytes", "received by the link's interface"),
        ("qdisc_sent_bytes", "int", "bytes", "sent by the link's queueing discipline"),
        ("qdisc_drops", "int", "packets", "dropped by it"),
        ("qdisc_backlog_bytes", "int", "bytes", "waiting in it"),
        (
            "rdma_tx_bytes",
            "int",
            "bytes",
            "over rdma: sent by the RDMA port (port_xmit_data x 4); empty where it counts none, as soft-RoCE",
        ),
        ("rdma_rx_bytes", "int", "bytes", "received by it (port_rcv_data x 4)"),
        ("rdma_tx_packets", "int", "packets", "sent by it (port_xmit_packets, sent_pkts)"),
        ("rdma_rx_packets", "int", "packets", "received by it (port_rcv_packets, rcvd_pkts)"),
        (
            "rdma_retries",
            "int",
            "",
            "how often it took another try, by all such counters of the port: duplicates, gaps, time-outs, receivers not ready",
        ),
        ("threads", "text", "JSON", "thread name -> [CPU ns, run delay ns]"),
    ],
)

SAMPLES = SAMPLE_TIMES + SAMPLE_MIGRATE + SAMPLE_HOST
"""samples.parquet: one long table; the columns of the other kind are empty."""

EVENTS = _columns(
    "the node or the controller",
    [
        ("t_ns", "int", "ns", "receipt, on CLOCK_MONOTONIC of the side's host"),
        ("side", "text", "", "source, destination or controller"),
        ("kind", "text", "", "qmp, command, state or node"),
        ("name", "text", "", "the event, the QMP command, the trial's state, or what the node did"),
        ("qemu_realtime_ns", "int", "ns", "QEMU's own time of a qmp event, on CLOCK_REALTIME"),
        ("data", "text", "JSON", "what came with it; a command's request_ns, reply_ns, arguments"),
    ],
)
"""events.jsonl: after a first line that says the schema version, one object a line."""

IDENTITY = _columns(
    "plan.json",
    [
        ("trial", "int", "", "number in the plan"),
        ("cell", "text", "", "name of the cell, derived from its factors"),
        ("block", "int", "", "block of the plan: its repetition; 0 is the warm-up"),
        ("attempt", "int", "", "how many times the trial was begun, this time included"),
        ("pair", "text", "", "the pair of hosts it ran on"),
        ("direction", "text", "", "forward: from the pair's first host to its second; or reverse"),
        ("algorithm", "text", "", "the variant's name in the campaign"),
        (
            "transport",
            "text",
            "",
            "what carried it: tcp, rdma, or `rdma (soft-RoCE)` where that was the kernel's own in software",
        ),
    ],
)

ENDING = _columns(
    "trial.json (plan.json for what is unsupported)",
    [
        ("outcome", "text", "", "completed, not_converged, failed, unsupported or invalid_load"),
        ("verdict", "text", "", "what became of the machine: on_destination, on_source, ..."),
        ("reason", "text", "", "why it did not complete"),
        ("rule", "text", "", "the rule that says it is unsupported"),
    ],
)

CLOSING = _columns(
    "trial.json",
    [
        ("schema", "int", "", "schema version of the record"),
        ("warmup", "bool", "", "a warm-up trial; a frame leaves them out unless asked"),
        (
            "twin_of",
            "text",
            "",
            "the cell that this one repeats, to show the noise; empty of all others",
        ),
        (
            "rdma_provider",
            "text",
            "",
            "driver of the RDMA device that carried it: `mlx5_core`, `rxe` ...; empty over tcp",
        ),
    ],
)
