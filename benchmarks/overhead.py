"""Claim: a trial costs little beside its migration. Measured in the trials of `total-time`, so it has no command of its own."""

from collections.abc import Sequence

from benchmarks.lab import Ran
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import TimingSpec

MOST_S = 1.5


def overhead_s(ran: Ran, timing: TimingSpec) -> float:
    """Wall time less the migration, less what the campaign declares to watch (baseline, settle). A baseline that had to
    be repeated, the lead of the samples, fill and memory check are overhead.
    """
    return ran.wall_s - ran.figure("wall_time_ms") / 1000 - timing.baseline_s - timing.settle_s


def row(trials: Sequence[Ran], timing: TimingSpec) -> Row:
    """The median over trials."""
    values = [overhead_s(ran, timing) for ran in trials]
    return Row(
        "overhead", "overhead of a trial: wall less migration less baseline and settle, median",
        median(values), "s", len(values), median_interval(values), Limit(most=MOST_S),
        note=f"256 MiB of memory; the longest {max(values):.2f} s", points=values,
    )  # fmt: skip
