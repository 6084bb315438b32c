"""Dashboard `migration`: one trial, on its own time axis, by its 10 ms samples."""

from functools import partial
from typing import Final

from grafana_foundation_sdk.builders import dashboard, prometheus

from scripts.boards import panels
from scripts.boards.asking import PHASES, SOURCE, once
from scripts.boards.frame import WIDTH, board, marks, newest_run, newest_trial, several
from scripts.boards.panels import properties

ABOUT: Final = (
    "One migration at 10 ms, by the samples that remote write or a backfill has brought (`labctl run --remote-write`, `labctl export "
    "--openmetrics`). Choose run and trial, and the time around it: a click on a trial in the dashboard *campaign* does all three. Red: "
    "the blackout, in which the guest runs nowhere. Marks: the phases, by Prometheus and, where `labctl grafana annotate` has put them, by Grafana. "
    "The guest's beats, QEMU's own counters, the kernel's of both hosts and the link stand on one axis."
)
STEP: Final = "10ms"
"""of the samples; the data source's own is for what is scraped"""
THIS: Final = 'lab=~"$lab", campaign=~"$campaign", run="$run", job=""'
"""what was written, at its true time: of what was scraped, phases are up to a second late"""
MASK: Final = (
    "* on (lab, campaign, run, pair) group_left () "
    f'(max by (lab, campaign, run, pair) (labctl_trial_info{{{THIS}, trial="$trial"}} == 1))'
)
"""1 while the trial ran: samples know their pair, and no trial"""
SOURCE_SIDE: Final = ', side="source"'

curves = partial(panels.curves, step=STEP)


def _of(name: str, more: str = "") -> str:
    """A sample while the trial ran. The pair's trial before has the same series, so none is shown for longer than ten would take."""
    return f"{once(f'last_over_time(labctl_sample_{name}{{{THIS}{more}}}[100ms])')} {MASK}"


def _kept(name: str, more: str = "") -> str:
    """The same of what is said only when it changes."""
    return f"{once(f'labctl_{name}{{{THIS}{more}}}')} {MASK}"


def _phase(phase: str, place: int) -> str:
    """Its place while the trial is in it, else 0."""
    selected = f', phase="{phase}"'
    return f"{_kept('trial_phase', selected)} * {place}"


def _rate(name: str) -> str:
    """Of a counter, over ten samples."""
    return f"{once(f'rate(labctl_sample_{name}{{{THIS}}}[100ms])')} {MASK}"


def made() -> dashboard.Dashboard:
    """The dashboard."""
    variables = [
        several("lab"), several("campaign"), newest_run(), several("algorithm"), several("transport"), newest_trial(),
    ]  # fmt: skip
    shaded = properties(
        custom__axisPlacement="hidden", custom__fillOpacity=35, custom__lineWidth=0, custom__lineInterpolation="stepAfter",
        color={"mode": "fixed", "fixedColor": "red"}, max=1, unit="bool_yes_no",
    )  # fmt: skip
    begun = prometheus.Dataquery().expr(f"{_kept('trial_phase')} == 1").ref_id("Phases")
    phases = [(_phase(phase, place), phase) for place, phase in enumerate(PHASES, 1)]
    return (
        board("migration", ABOUT, variables, since="now-5m")
        .annotation(
            dashboard.AnnotationQuery()
            .name("Phases")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("blue")
            .target(begun.interval(STEP).datasource(SOURCE))
            .title_format("{{phase}}")
        )
        .annotation(marks("Marks", "purple", ["labctl", "$run", "trial $trial"]))
        .with_panel(curves(
            "Guest's work", "Pages that the guest writes, by its beats, in steps of 10 ms. Red: the blackout.", "binBps",
            (_of("guest_work_bytes_per_second"), "guest writes"), (_kept("sample_blackout"), "blackout"), span=WIDTH, height=9,
        ).override_by_name("blackout", shaded))
        .with_panel(panels.states(
            "Phases", "What the trial did. Up to setup nothing migrates yet; precopy, switching and postcopy are the migration; then the machine is watched, and its memory checked.",
PHASES, *phases, height=8, step=STEP,
        ))
        .with_panel(curves(
            "Memory still to send", "By QEMU's account; in precopy it falls in passes.", "bytes", (_of("remaining_bytes", SOURCE_SIDE), "remaining"),
        ))
        .with_panel(curves(
            "Dirty rate", "Pages dirtied anew, by QEMU's account of the pass before.", "binBps", (_of("dirty_bytes_per_second", SOURCE_SIDE), "dirtied"),
        ))
        .with_panel(curves(
            "Bandwidth", "What left each host's interface, over 100 ms, and what QEMU says.", "binBps",
            (_rate("link_sent_bytes_total"), "{{side}} sends"), (_of("bandwidth_bytes_per_second", SOURCE_SIDE), "QEMU says"),
        ))
        .with_panel(curves(
            "CPU of both ends", "Cores that QEMU's vCPUs and its other threads take, over 100 ms.", "short",
            (_rate("vcpu_cpu_seconds_total"), "{{side}}: vCPUs"), (_rate("other_cpu_seconds_total"), "{{side}}: others"),
        ))
        .with_panel(curves(
            "Passes", "QEMU's count of dirty bitmap syncs.", "short", (_of("iteration", SOURCE_SIDE), "iteration"), span=8,
        ))
        .with_panel(curves(
            "Throttle", "What auto-converge takes from each vCPU, so that it writes less.", "percentunit", (_of("throttle_ratio", SOURCE_SIDE), "throttle"), span=8,
        ))
        .with_panel(curves(
            "Page requests", "Pages that the destination has asked for, in postcopy.", "short", (_of("page_requests", SOURCE_SIDE), "asked for"), span=8,
        ))
        .with_panel(curves(
            "Resident memory", "What each QEMU holds: how long, and how much of it twice.", "bytes", (_of("resident_bytes"), "{{side}}"),
        ))
        .with_panel(curves(
            "Sent", "RAM sent, by QEMU's account.", "bytes", (_of("transferred_bytes", SOURCE_SIDE), "sent"),
        ))
    )  # fmt: skip
