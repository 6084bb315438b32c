"""Dashboard `campaign`: how far a campaign is, what runs now, what it has found so far."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from scripts.boards.asking import PHASES, RUNS, WHICH, last, once, phase_of_pairs
from scripts.boards.frame import board, marks, several
from scripts.boards.panels import bars, curves, number, properties, rows, states

ABOUT: Final = (
    "A campaign while it goes on, or any past one. **Above**: how far it is and what became of its trials. **In the middle**: the "
    "trials that run now, phase by phase, with the guest's work and the memory that is still to be sent. **Below**: the results "
    "so far. A trial is one migration of one fresh machine."
)
TRIAL: Final = f"""(timestamp(labctl_trial_info{{{WHICH}}} == 1)[$__range:1s])"""
"""the moments at which a trial ran, a second apart"""
LABELS: Final = "run, trial, pair, cell, source, destination"
VERDICTS: Final = f"""{RUNS}, verdict=~"lost|duplicated\""""
# Times of a table are texts to a link, but for `.numeric`.
OPENED: Final = (
    "/d/labctl-migration?var-run=${__data.fields.run}&var-trial=${__value.raw}"
    "&from=${__data.fields.began.numeric}&to=${__data.fields.ended.numeric}"
)


def made() -> dashboard.Dashboard:
    """The dashboard."""
    variables = [several(name) for name in ("lab", "campaign", "run", "algorithm", "transport")]
    trials = rows(
        "Trials", "Those of the time shown, each with its cell, to the second. A click on its number opens it on its own time axis.",
        {"Value #A": "began", "Value #B": "ended"},
        (f"(min by ({LABELS}) (min_over_time{TRIAL}) - 1) * 1000", ""),
        (f"(max by ({LABELS}) (max_over_time{TRIAL}) + 1) * 1000", ""),
        height=9,
    )  # fmt: skip
    for name in ("began", "ended"):
        trials = trials.override_by_name(name, properties(unit="dateTimeAsIso"))
    link = {"title": "this trial", "url": OPENED}
    trials = trials.override_by_name("trial", properties(links=[link]))
    return (
        board("campaign", ABOUT, variables, since="now-30m", refresh="5s")
        .annotation(marks("Trials", "blue", ["labctl", "trial"]))
        .annotation(marks("Faults", "red", ["labctl", "fault"]))
        .with_panel(number(
            "Trials left", "Trials of the plan without a result, warm-ups included.", "short",
            (last(f"labctl_run_trials_left{{{RUNS}}}"), "{{run}}"),
        ))
        .with_panel(number(
            "Done", "Share of the plan's trials that have a result.", "percentunit",
            (f"1 - {last(f'labctl_run_trials_left{{{RUNS}}}')} / {last(f'labctl_run_trials_planned{{{RUNS}}}')}", "{{run}}"),
        ))
        .with_panel(number(
            "Time left", "By the plan's estimates, corrected by what its trials took so far. 0 when the run is over.", "s",
            (last(f"labctl_run_left_seconds{{{RUNS}}}"), "{{run}}"),
        ))
        .with_panel(number(
            "Lost or duplicated machines", "Trials after which the machine ran nowhere, or twice. Anything but 0 is worth a look.", "short",
            (f"sum by (run) ({last(f'labctl_verdicts_total{{{VERDICTS}}}')})", "{{run}}"), fault=True,
        ))
        .with_panel(number(
            "Attempts cut off", "A node was lost or the run was interrupted; the trial was repeated.", "short",
            (last(f"labctl_attempts_interrupted_total{{{RUNS}}}"), "{{run}}"),
        ))
        .with_panel(number(
            "Pairs at work", "Pairs of hosts that run a trial now.", "short",
            (last(f'labctl_lab_pairs{{{RUNS}, state="busy"}}'), "{{run}}"),
        ))
        .with_panel(curves(
            "Outcomes", "Trials by how they ended, warm-ups left out. Not converged: the limit came first, and the machine runs on the source.", "short",
            (f"sum by (outcome) ({once(f'labctl_trials_total{{{WHICH}}}')})", "{{outcome}}"),
        ))
        .with_panel(bars(
            "Outcomes by algorithm", "The same, for each algorithm and transport.", "short",
            (f"sum by (algorithm, transport, outcome) ({last(f'labctl_trials_total{{{WHICH}}}')}) > 0", "{{algorithm}} {{transport}}: {{outcome}}"),
            span=12,
        ))
        .with_panel(trials)
        .with_panel(states(
            "Phases", "What each pair of hosts does. Precopy: the guest runs while its memory is sent. Switching: it runs nowhere. Postcopy: it runs on "
            "the destination and waits for what is not there yet. Grey: nothing is measured.", PHASES,
            (phase_of_pairs(), "{{pair}}"), height=6,
        ))
        .with_panel(curves(
            "Guest's work", "Pages that the guests write, by their own beats: a dip is what a user of the machine would feel.", "binBps",
            (once(f"labctl_guest_work_bytes_per_second{{{RUNS}}}"), "{{pair}}"),
        ))
        .with_panel(curves(
            "Memory still to send", "By QEMU's account.", "bytes",
            (once(f"labctl_migration_remaining_bytes{{{RUNS}}}"), "{{pair}}"),
        ))
        .with_panel(curves(
            "Total time so far", "Median of the completed trials, out of the buckets of a histogram.", "s",
            (f"histogram_quantile(0.5, sum by (le, algorithm, transport) ({once(f'labctl_trial_total_time_seconds_bucket{{{WHICH}}}')}))", "{{algorithm}} {{transport}}"),
        ))
        .with_panel(curves(
            "Blackout so far", "Median of the completed trials, out of the buckets of a histogram: the last beat of the source to the first of the destination.", "s",
            (f"histogram_quantile(0.5, sum by (le, algorithm, transport) ({once(f'labctl_trial_blackout_seconds_bucket{{{WHICH}}}')}))", "{{algorithm}} {{transport}}"),
        ))
    )  # fmt: skip
