"""The figures that a summary shows: which columns, called what, in which unit, and how they may be put together."""

from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from labctl.errors import InputError

WIRE_PER_MEMORY = "wire_per_memory"
CPU_BOTH = "cpu_both_s"
CPU_PER_GIB = "cpu_per_gib_s"
INTERRUPTION = "interruption_ms"
SERVICE_LOST = "service_lost_s"
HELD = "held_s"
CLOCK_OFF = "clock_off_ms"
MODEL_ERROR = "model_error"
RATE = "transfer_bytes_per_s"

Kind = Literal["cost", "rate", "ratio"]
"""What a mean of it would be: of costs the arithmetic one, of rates the harmonic one, of ratios none."""


@dataclass(frozen=True)
class Metric:
    """A column as it is shown: `scale` times its value, in `unit`. Less is better, unless it is a rate."""

    column: str
    title: str
    unit: str
    scale: float
    about: str
    kind: Kind = "cost"

    @property
    def short(self) -> str:
        """What it is called on a command line: its column without the unit."""
        for ending in ("_bytes_per_s", "_bytes", "_ms", "_s"):
            if self.column.endswith(ending):
                return self.column.removesuffix(ending)
        return self.column

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is the better one."""
        return self.kind == "rate"


METRICS: Final[tuple[Metric, ...]] = (
    Metric("total_time_ms", "Total time", "s", 1e-3, "QEMU's own, from migrate to its end"),
    Metric(
        "blackout_ms", "Blackout", "ms", 1.0,
        "from the last beat of the source to the first of the destination",
    ),
    Metric("stall_max_ms", "Longest stall", "ms", 1.0, "the longest other gap of any vCPU"),
    Metric("brownout_ms", "Brownout", "s", 1e-3, "time below 95 % of the guest's usual work"),
    Metric("work_lost_s", "Work lost", "s", 1.0, "missing work, in seconds of the usual work"),
    Metric(
        WIRE_PER_MEMORY, "On the wire", "x memory", 1.0,
        "bytes that left both ends, by guest memory", "ratio",
    ),
    Metric(CPU_BOTH, "CPU", "s", 1.0, "CPU seconds of both QEMUs, vCPUs included"),
    Metric("exposure_s", "Exposure", "s", 1.0, "time in which the machine needs both hosts"),
)  # fmt: skip
"""Those of every table."""

MORE_METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        INTERRUPTION, "Longest interruption", "ms", 1.0,
        "the longest time that the guest stood still, as blackout or as stall",
    ),
    Metric(
        SERVICE_LOST, "Service lost", "s", 1.0,
        "work lost; of a guest that writes nothing, the time that it stood still",
    ),
    Metric("wire_bytes", "Bytes on the wire", "MiB", 2.0**-20, "bytes that left both ends"),
    Metric("stall_total_ms", "Stalls", "ms", 1.0, "all stalls together"),
    Metric("stall_page_fault_ms", "Stalls by page faults", "ms", 1.0, "stalls in postcopy"),
    Metric("downtime_ms", "QEMU's downtime", "ms", 1.0, "QEMU's own account of the switch"),
    Metric(
        CPU_PER_GIB, "CPU for the migration", "s/GiB", 1.0,
        "CPU seconds of both QEMUs without their vCPUs, by guest memory", "ratio",
    ),
    Metric(
        "memory_extra_peak_bytes", "Extra memory", "MiB", 2.0**-20,
        "the most that both QEMUs together held above what the source alone had held",
    ),
    Metric(HELD, "Hosts held", "s", 1.0, "from `migrate` to the source's word that it is over"),
    Metric(
        MODEL_ERROR, "Off the plan's estimate", "x", 1.0,
        "total time by the plan's estimate of it or the other way round, what is larger", "ratio",
    ),
    Metric("vcpu_stolen_s", "Stolen from vCPUs", "s", 1.0, "throttled, or ready and not run"),
    Metric(CLOCK_OFF, "Clock jump", "ms", 1.0, "how far the guest's clock fell behind or ran ahead"),
    Metric("beats_lost", "Beats lost", "", 1.0, "numbers missing among the guest's beats"),
    Metric("beats_reordered", "Beats reordered", "", 1.0, "beats that came after a later one"),
    Metric(RATE, "Transfer", "MiB/s", 2.0**-20, "RAM sent by total time", "rate"),
)  # fmt: skip
"""Those of the five properties besides."""

BY_COLUMN: Final = {metric.column: metric for metric in (*METRICS, *MORE_METRICS)}


_SOURCES: Final = (
    "blackout_ms", "stall_max_ms", "stall_total_ms", "work_lost_s", "total_time_ms", "estimated_time_ms", "wall_time_ms",
    "wire_bytes", "ram_bytes", "memory_bytes", "cpu_source_s", "cpu_destination_s", "cpu_source_other_s",
    "cpu_destination_other_s", "clock_jump_ms",
)  # fmt: skip
"""what `with_derived` reads"""
NEEDED: Final = frozenset(_SOURCES) | BY_COLUMN.keys()
"""the frame's columns that the metrics need; what is read of a large run"""


def metric_named(text: str) -> Metric:
    """The metric of that column, or of that column without its unit, as in `blackout`. Raises InputError."""
    found = {metric.short: metric for metric in BY_COLUMN.values()} | BY_COLUMN
    if text in found:
        return found[text]
    raise InputError(
        f"{text!r} is not a metric", mend=f"one of {', '.join(m.short for m in BY_COLUMN.values())}"
    )


def with_derived(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame and the columns that the metrics derive from others of the same trial."""

    def column(name: str) -> pd.Series:
        return frame[name].astype("float64")

    blackout, stalls = column("blackout_ms"), column("stall_total_ms")
    longest = pd.concat([blackout, column("stall_max_ms")], axis=1)
    others = column("cpu_source_other_s") + column("cpu_destination_other_s")
    memory, total = column("memory_bytes"), column("total_time_ms")
    estimated = column("estimated_time_ms")
    off = (total / estimated).where(total >= estimated, estimated / total)
    derived: dict[str, pd.Series] = {
        WIRE_PER_MEMORY: column("wire_bytes") / memory,
        CPU_BOTH: column("cpu_source_s") + column("cpu_destination_s"),
        CPU_PER_GIB: others / (memory / 2**30),
        INTERRUPTION: longest.max(axis=1).where(blackout.notna()),
        SERVICE_LOST: column("work_lost_s").fillna((blackout + stalls) / 1e3),
        HELD: column("wall_time_ms") / 1e3,
        CLOCK_OFF: column("clock_jump_ms").abs(),
        MODEL_ERROR: off,
        RATE: column("ram_bytes") / (total / 1e3),
    }
    return frame.assign(**derived)
