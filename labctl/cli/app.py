"""The verbs of `labctl`, put together."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from labctl import __version__
from labctl.cli.compare import compare
from labctl.cli.console import say
from labctl.cli.doctor import doctor
from labctl.cli.effects import effects
from labctl.cli.explain import explain
from labctl.cli.export import export
from labctl.cli.figures import figures
from labctl.cli.grafana import grafana
from labctl.cli.init import init
from labctl.cli.lab import lab
from labctl.cli.logs import set_up
from labctl.cli.ls import ls
from labctl.cli.metrics import metrics
from labctl.cli.monitor import monitor
from labctl.cli.plan import plan
from labctl.cli.report import report
from labctl.cli.results import results
from labctl.cli.root import Root, Settings
from labctl.cli.run import run
from labctl.cli.schema import schema
from labctl.cli.show import show
from labctl.cli.watch import watch
from labctl.errors import InputError

app = typer.Typer(
    cls=Root,
    help="A laboratory for live VM migration: one campaign file in, measured migrations out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        say(f"labctl {__version__}")
        raise typer.Exit


VerboseOption = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, show_default=False, help="Say what happens; -vv: everything."
    ),
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Only errors and the final line.")]
LogFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all that happens to a file too.")
]
VersionOption = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
]


@app.callback()
def labctl(
    ctx: typer.Context,
    *,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
    log_file: LogFileOption = None,
    version: VersionOption = False,  # noqa: ARG001 - its callback does it
) -> None:
    """Take the global options, which may stand anywhere on the line."""
    if verbose and quiet:
        raise InputError("-v and -q contradict each other", mend="leave one out")
    ctx.obj = Settings(-1 if quiet else min(verbose, 2), log_file)
    ctx.call_on_close(set_up(ctx.obj.verbosity, log_file))


VERBS: tuple[Callable[..., None], ...] = (
    init, doctor, plan, run, watch, monitor, ls, show, results, report, figures, compare, effects, export, explain, schema,
)  # fmt: skip
for verb in VERBS:
    app.command()(verb)
app.add_typer(lab, name="lab")
app.add_typer(metrics, name="metrics")
app.add_typer(grafana, name="grafana")
