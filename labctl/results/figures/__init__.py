"""Figures: the derived columns of the frame. Pure functions from what was seen of a trial.

Each stands in the module of its idea, with its definition as its docstring. A figure that cannot be
had is None, never 0 and never a guess.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from labctl.results.figures import (
    aids,
    blackout,
    costs,
    instrument,
    load,
    stalls,
    transparency,
    work,
)
from labctl.results.figures.seen import Figure, Seen
from labctl.results.schema import Scalar, TrialRecord

__all__ = ["FIGURES", "MORE_FIGURES", "Figure", "Seen", "figures"]

FIGURES: tuple[Figure, ...] = (
    costs.total_time_ms,
    costs.setup_time_ms,
    blackout.switchover_ms,
    blackout.downtime_ms,
    blackout.blackout_ms,
    stalls.stall_max_ms,
    stalls.stall_total_ms,
    work.brownout_ms,
    work.work_lost_s,
    costs.wire_bytes,
    costs.ram_bytes,
    costs.passes,
    costs.page_requests,
    work.write_rate_asked_bytes_per_s,
    work.write_rate_measured_bytes_per_s,
    costs.cpu_source_s,
    costs.cpu_destination_s,
    blackout.exposure_s,
    costs.memory_identical,
    blackout.switched,
)
"""The figures of the design, in the order of the frame."""

MORE_FIGURES: tuple[Figure, ...] = (
    costs.wall_time_ms,
    costs.memory_bytes,
    costs.cpu_source_vcpu_s,
    costs.cpu_source_other_s,
    costs.cpu_destination_vcpu_s,
    costs.cpu_destination_other_s,
    stalls.stall_count,
    stalls.stall_threshold_ms,
    stalls.stall_throttle_ms,
    stalls.stall_page_fault_ms,
    stalls.stall_unknown_ms,
    work.beats_lost,
    load.read_rate_asked_bytes_per_s,
    load.read_rate_measured_bytes_per_s,
    load.dirty_in_100ms_bytes,
    load.dirty_in_1s_bytes,
    aids.throttle_max_percent,
    aids.multifd_bytes,
    aids.multifd_connections,
    aids.xbzrle_pages,
    aids.xbzrle_bytes,
    aids.xbzrle_cache_misses,
    aids.xbzrle_overflows,
    aids.zero_copy_missed,
    costs.estimated_time_ms,
    costs.memory_extra_peak_bytes,
    transparency.clock_jump_ms,
    transparency.beats_reordered,
    transparency.vcpu_stolen_s,
    instrument.sample_lag_max_ms,
    instrument.clock_offset_source_ms,
    instrument.clock_offset_destination_ms,
    instrument.clock_uncertainty_ms,
    instrument.link_rtt_ms,
)
"""Columns behind those: parts of a figure, and what it rests on."""


def figures(
    record: TrialRecord,
    beats: pd.DataFrame,
    samples: pd.DataFrame,
    events: Sequence[Mapping[str, Any]],
) -> dict[str, Scalar]:
    """Every figure of a trial by its column's name, for `TrialRecord.figures`."""
    seen = Seen(record, beats, samples, events)
    return {figure.column.name: figure(seen) for figure in (*FIGURES, *MORE_FIGURES)}
