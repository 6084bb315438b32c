"""`labctl report`: a run as one HTML file that opens offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl.cli.console import say
from labctl.cli.options import DEFAULT_OUT, OutOption, RunArgument, near

if TYPE_CHECKING:
    from labctl.results import Run

OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Instead of the run's own report.html."),
]


def report(
    run: RunArgument = "latest", *, output: OutputOption = None, out: OutOption = DEFAULT_OUT
) -> None:
    """Write the report of a run; prints its path.

    One HTML file that opens offline.
    """
    from labctl.results import load_run

    say(str(near(make_report(load_run(run, out), output))))


def make_report(run: "Run", output: Path | None = None) -> Path:
    """Write a run's report; its path. Raises LabctlError."""
    from labctl.report.html import write_report

    return write_report(run.path, output)
