"""`labctl report`: a run, or several, as one HTML file that opens offline."""

from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.console import say
from labctl.cli.options import DEFAULT_OUT, OutOption, RunsArgument, near

OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Instead of the run's own report.html."),
]


def report(
    which: RunsArgument = None, *, output: OutputOption = None, out: OutOption = DEFAULT_OUT
) -> None:
    """Write the report of a run, or of several in one; prints its path.

    One HTML file that opens offline.
    """
    from labctl.report.html import write_report
    from labctl.results import load_run

    found = dict.fromkeys(load_run(run, out).path for run in which or ["latest"])
    say(str(near(write_report(list(found), output))))
