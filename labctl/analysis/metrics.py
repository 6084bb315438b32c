"""The figures that a summary shows: which columns, called what, in which unit."""

from dataclasses import dataclass

import pandas as pd

WIRE_PER_MEMORY = "wire_per_memory"
CPU_BOTH = "cpu_both_s"


@dataclass(frozen=True)
class Metric:
    """A column as it is shown: `scale` times its value, in `unit`."""

    column: str
    title: str
    unit: str
    scale: float
    about: str


METRICS: tuple[Metric, ...] = (
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
        "bytes that left both ends, by guest memory",
    ),
    Metric(CPU_BOTH, "CPU", "s", 1.0, "CPU seconds of both QEMUs, vCPUs included"),
    Metric("exposure_s", "Exposure", "s", 1.0, "time in which the machine needs both hosts"),
)  # fmt: skip


def with_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame and the columns that METRICS derives from others of the same trial."""
    both = frame["cpu_source_s"] + frame["cpu_destination_s"]
    wire = frame["wire_bytes"].astype("float64") / frame["memory_bytes"].astype("float64")
    return frame.assign(**{WIRE_PER_MEMORY: wire, CPU_BOTH: both})
