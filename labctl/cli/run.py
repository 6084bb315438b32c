"""`labctl run`: a campaign, or what is left of a run."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.closing import close_run, finished
from labctl.cli.console import tell
from labctl.cli.options import (
    DEFAULT_OUT,
    LabOption,
    MetricsOption,
    OutOption,
    QuickOption,
    RemoteWriteOption,
    as_typed,
    files_or_runs,
    may_ask,
    near,
    settings,
)
from labctl.errors import InputError

if TYPE_CHECKING:
    from labctl.campaign import PlannedTrial

TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="The campaign file; with --resume, the run (default: latest).",
        autocompletion=files_or_runs,
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be run; run and write nothing.")
]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first that fails or has no valid load.")
]
OnlyOption = Annotated[
    str | None,
    typer.Option(metavar="GLOB", help="Only trials whose cell or name matches; the rest is left."),
]
ShareOption = Annotated[
    bool, typer.Option("--share", help="Run beside another run on the same hosts; trials say so.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with a run where it was interrupted.")
]
AcceptOption = Annotated[
    bool, typer.Option("--accept-changed-plan", help="Go on, even if its plan has changed since.")
]


def run(
    ctx: typer.Context,
    target: TargetArgument = None,
    *,
    out: OutOption = DEFAULT_OUT,
    lab: LabOption = None,
    only: OnlyOption = None,
    quick: QuickOption = False,
    dry_run: DryRunOption = False,
    fail_fast: FailFastOption = False,
    share: ShareOption = False,
    resume: ResumeOption = False,
    accept_changed_plan: AcceptOption = False,
    metrics: MetricsOption = None,
    remote_write: RemoteWriteOption = None,
) -> None:
    """Run a campaign: real migrations, each measured.

    Ends with a table, a plot and a report; shows how far it is meanwhile.

    Exit status: 0 it ran to its end, 1 trials failed or had no valid load, 2 bad input,
    3 the lab is not usable or is held, 130 interrupted.
    """
    from labctl import api
    from labctl.campaign import make_plan
    from labctl.controller import Summary

    start: partial[api.Result]
    if resume:
        _refuse(quick, "--quick", "a run keeps its plan")
        stored = api.load_run(target or "latest", out)
        campaign, plan = stored.campaign, stored.plan
        done = finished(stored)
        start = partial(api.resume, stored.path, accept_changed_plan=accept_changed_plan)
    else:
        _refuse(accept_changed_plan, "--accept-changed-plan", "it goes with --resume")
        campaign = api.load_campaign(_campaign_file(target, out))
        plan, done = make_plan(campaign, quick=quick), set[int]()
        start = partial(api.run, campaign, quick=quick)

    def wanted(trial: "PlannedTrial") -> bool:
        return trial.number not in done and trial.matches(only)

    known = any(trial.matches(only) for trial in plan.left(done))
    # A new plan's numbers depend on the lab's pairs: `api.run` looks again.
    sure = resume or not (only and only[0].isdigit())
    if only is not None and not known and sure and not accept_changed_plan:
        raise api.no_match(only)
    more = api.more(stored) if resume and not known and only is None else 0
    if resume and not (known or more or accept_changed_plan):
        tell("every trial has its result: nothing was run")
        raise typer.Exit(close_run(api.Result(stored.path, Summary()), settings(ctx), go_on=""))
    may_ask(lab or (stored.lab if resume else campaign.lab))
    if dry_run:
        from labctl.cli.plan import ask_plan, show_plan

        show_plan(campaign, plan if resume else ask_plan(campaign, lab, quick=quick), wanted)
        if more:
            tell(f"every trial has its result, and cells need more: {more} trials would be added")
        tell("--dry-run: nothing was run")
        return
    from labctl.cli.session import conduct
    from labctl.cli.watched import Watched

    options: dict[str, Any] = {"lab": lab, "share": share, "fail_fast": fail_fast, "only": only}
    cells = [cell.name for cell in plan.cells]
    starting = partial(start, out=out, **options)
    watched = Watched(metrics, remote_write)
    raise typer.Exit(conduct(starting, cells, settings(ctx), out=out, watched=watched))


def _refuse(given: bool, option: str, why: str) -> None:
    if given:
        raise InputError(why, place=option, mend="leave it out")


def _campaign_file(target: str | None, out: Path) -> str:
    """The campaign's file; a user who gave none, or a run, is told what to type."""
    from labctl.results.layout import is_run

    if target is None:
        raise InputError(
            "which campaign? `run` needs its file",
            mend=f"to start with the one that comes along: {as_typed('labctl', 'run', quickstart())}",
        )
    for path in (Path(target), out / target):
        if is_run(path):
            raise InputError(
                "is a run, not a campaign's file",
                place=target,
                mend=f"to go on with it: {as_typed('labctl', 'run', '--resume', target)}",
            )
    return target


def quickstart() -> Path:
    """The quickstart's file, as it would be typed from here."""
    from labctl.data import data_path

    return near(data_path("campaigns/quickstart.yaml"))
