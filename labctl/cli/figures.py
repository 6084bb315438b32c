"""`labctl figures`: a run's pictures for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.console import say
from labctl.cli.options import DEFAULT_OUT, OutOption, RunArgument, near

FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Instead of the run's own figures/."),
]
TrialOption = Annotated[
    int | None,
    typer.Option(metavar="TRIAL", help="The trial whose time course is drawn: its number."),
]


def figures(
    run: RunArgument = "latest",
    *,
    output: FolderOption = None,
    trial: TrialOption = None,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Write a run's pictures as PDF and SVG, for a paper; prints their paths.

    Each metric with every trial, each cell's median and the interval of that; and the time course of a trial.
    """
    from labctl.report.figures import write_figures
    from labctl.results import load_run

    stored = load_run(run, out)
    for path in write_figures(stored, output or stored.path / "figures", trial=trial):
        say(str(near(path)))
