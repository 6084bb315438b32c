"""Dashboard `comparison`: algorithm x transport x load, by the five properties."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from scripts.boards.asking import WHICH, last
from scripts.boards.frame import WIDTH, board, newest_run, several
from scripts.boards.panels import bars

ABOUT: Final = (
    "Which algorithm for this load on this link? Each bar is one algorithm, transport and load of one run; shorter is better, except where it "
    "says *completed* or *identical*. One row for each of the five properties, by the definitions of `labctl report`, which has the "
    "intervals besides: without them a small difference means nothing."
)
NAME: Final = "{{algorithm}} {{transport}} {{load}}"
PROPERTIES: Final = {
    "Continuous service: how little the guest's work is disturbed": [
        ("Service lost", "Missing work, in seconds of the guest's usual work; median.", "s", "service_lost_seconds"),
        ("Longest interruption", "The longest time that the guest stood still; median.", "s", "interruption_seconds"),
        ("Blackout", "The last beat of the source to the first of the destination; median.", "s", "blackout_seconds"),
        ("Brownout", "Time below 95 % of the usual work; median.", "s", "brownout_seconds"),
    ],
    "Resource usage: what the migration costs": [
        ("On the wire", "Bytes that left both ends, by guest memory; median.", "none", "wire_per_memory_ratio"),
        ("CPU", "CPU seconds of both QEMUs without their vCPUs, by GiB of guest memory; median.", "s", "cpu_seconds_per_gibibyte"),
        ("Hosts held", "From the command to the word that it is over; median.", "s", "held_seconds"),
        ("Total time", "QEMU's own; median.", "s", "total_time_seconds"),
    ],
    "Robustness: how long a fault would cost the machine": [
        ("Exposure", "Time in which the machine needs both hosts; median.", "s", "exposure_seconds"),
        ("Machines lost", "Lost or duplicated, of all.", "percentunit", "lost_ratio"),
    ],
    "Predictability: does it complete, and how alike are repetitions": [
        ("Completed", "Of all migrations that were tried.", "percentunit", "completed_ratio"),
        ("Spread of total time", "Standard deviation of its logarithm over repetitions.", "percentunit", "total_time_spread_ratio"),
        ("Off the plan's estimate", "Total time by the plan's estimate of it, or the other way round, what is larger; median.", "none", "estimate_error_ratio"),
    ],
    "Transparency: what the guest could notice besides": [
        ("Stolen from vCPUs", "Throttled, or ready and not run; median.", "s", "vcpu_stolen_seconds"),
        ("Clock jump", "How far the guest's clock was off after the switch; median.", "s", "clock_jump_seconds"),
        ("Memory identical", "Of all machines whose memory was checked.", "percentunit", "memory_identical_ratio"),
    ],
}  # fmt: skip


def made() -> dashboard.Dashboard:
    """The dashboard."""
    # One run: of two, the same cell would have two bars of the same name.
    variables = [
        several("lab"), several("campaign"), newest_run(), several("algorithm"), several("transport"),
    ]  # fmt: skip
    whole = board("comparison", ABOUT, variables, since="now-24h")
    for title, scores in PROPERTIES.items():
        whole = whole.with_row(dashboard.Row(title))
        for name, about, unit, metric in scores:
            query = (last(f"labctl_cell_{metric}{{{WHICH}}}"), NAME)
            whole = whole.with_panel(
                bars(name, about, unit, query, span=WIDTH // len(scores), height=9)
            )
    trials = (last(f"labctl_cell_trials{{{WHICH}}}"), NAME)
    return whole.with_row(dashboard.Row("How much this rests on")).with_panel(
        bars("Trials", "Trials of the cell that have a result.", "short", trials, span=WIDTH)
    )
