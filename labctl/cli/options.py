"""Arguments that several verbs share, and what a shell may complete them with."""

import os
import shlex
from glob import escape, glob
from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.root import Settings

DEFAULT_OUT = Path("runs")


def campaign_files(incomplete: str) -> list[str]:
    """Campaign files here, in `campaigns/`, and where one has begun to type."""
    found = [
        path
        for start in (incomplete, f"campaigns/{incomplete}")
        for suffix in ("yaml", "yml")
        for path in glob(f"{escape(start)}*.{suffix}")  # noqa: PTH207 - what is typed is kept as it is
    ]
    return sorted(path for path in found if path.startswith(incomplete))


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The newest first, in the folder that `--out` has named so far."""
    from labctl.results.layout import LATEST, runs_in

    names = [path.name for path in runs_in(Path(ctx.params.get("out") or DEFAULT_OUT))]
    return [n for n in ([LATEST, *reversed(names)] if names else []) if n.startswith(incomplete)]


def files_or_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `run` takes: a file, or the run to go on with."""
    return runs(ctx, incomplete) if ctx.params.get("resume") else campaign_files(incomplete)


def _rules(incomplete: str) -> list[str]:
    from labctl.campaign import RULES
    from labctl.doctor import CHECKS

    known = [*(rule.id for rule in RULES), *(check.id for check in CHECKS)]
    return [name for name in known if name.startswith(incomplete)]


def _labs(incomplete: str) -> list[str]:
    from labctl.lab.inventory import inventories

    return [name for name in inventories() if name.startswith(incomplete)]


FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The campaign file.", autocompletion=campaign_files)
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run: a path, a name, or latest.", autocompletion=runs),
]
RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]...", help="Runs: paths, names, or latest.", autocompletion=runs),
]
RuleArgument = Annotated[
    str | None,
    typer.Argument(metavar="RULE", help="The id that a plan shows.", autocompletion=_rules),
]
LabArgument = Annotated[
    str,
    typer.Argument(metavar="LAB", help="A name under inventory/, or a path.", autocompletion=_labs),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="The folder that holds the runs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For a script.")]
LabOption = Annotated[
    str | None,
    typer.Option(metavar="LAB", help="Instead of the campaign's own lab.", autocompletion=_labs),
]
QuickOption = Annotated[bool, typer.Option("--quick", help="One repetition, no warm-up.")]


MetricsAddress = Annotated[
    str,
    typer.Option(
        "--address", metavar="HOST:PORT", help="Where to listen; by default 127.0.0.1:9837."
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="[HOST:PORT]",
        help="Serve metrics to Prometheus meanwhile; by default on 127.0.0.1:9837.",
    ),
]
RemoteWriteOption = Annotated[
    str | None,
    typer.Option(
        "--remote-write", metavar="URL", help="Send each trial's 10 ms samples to a Prometheus."
    ),
]


def settings(ctx: typer.Context) -> Settings:
    """The global options of this call."""
    return ctx.obj if isinstance(ctx.obj, Settings) else Settings()


def may_ask(lab: str) -> None:
    """Ask for what a lab needs of a person, while nothing is shown yet. Raises InputError, LabError."""
    from labctl.lab.child import ask_privilege, has_privilege
    from labctl.lab.inventory import read_lab

    # To read a lab takes Ansible a second, and whoever opens it reads it again.
    if not has_privilege() and read_lab(lab).embedded:
        ask_privilege()


def near(path: Path) -> Path:
    """A path as it would be typed from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def as_typed(*words: str | os.PathLike[str]) -> str:
    """A command that can be pasted into a shell."""
    return shlex.join([os.fspath(word) for word in words])
