"""`labctl export`: runs in the form that another program keeps."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from labctl.cli.console import err, live, say, tell
from labctl.cli.options import DEFAULT_OUT, OutOption, RunsArgument, as_typed, near

OpenMetricsOption = Annotated[
    Path,
    typer.Option("--openmetrics", metavar="FILE", help="The file to write, of OpenMetrics text."),
]


HEAD_S: Final = 3 * 3600.0
"""what is younger, Prometheus has in no block of its own yet: one that overlaps it makes it forget the rest when it starts again"""


def export(
    runs: RunsArgument = None,
    *,
    openmetrics: OpenMetricsOption,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Write runs at their true times, the 10 ms samples included, for Prometheus to take in.

    `promtool tsdb create-blocks-from openmetrics` makes its blocks of the file.
    """
    from labctl.monitoring.history import write_history
    from labctl.results import load_run

    found = [load_run(run, out) for run in runs or ["latest"]]
    console = err()
    if live(console):
        from rich.progress import Progress

        with Progress(console=console, transient=True) as shown:
            task = shown.add_task("trials", total=sum(len(run.trials()) for run in found))
            written = write_history(found, openmetrics, lambda _trial: shown.advance(task))
    else:
        written = write_history(found, openmetrics)
    say(f"{near(openmetrics)}: {written.samples} samples")
    words = ("promtool", "tsdb", "create-blocks-from", "openmetrics", near(openmetrics), "DATA")
    tell(f"  for Prometheus, whose data are in DATA: {as_typed(*words)}")
    if time.time() - written.newest_ms / 1e3 < HEAD_S:
        tell(
            "  the newest are less than three hours old: where other things are watched too, wait that long, or give them to a "
            "Prometheus of their own (`labctl monitor --data DIR`); docs: how-to/monitoring.md"
        )
