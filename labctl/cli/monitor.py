"""`labctl monitor`: a Prometheus of one's own, and a campaign under its eyes."""

import os
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from labctl.cli.console import tell
from labctl.cli.options import (
    DEFAULT_OUT,
    LabOption,
    OutOption,
    QuickOption,
    campaign_files,
    may_ask,
    near,
    settings,
)
from labctl.cli.root import INTERRUPTED

if TYPE_CHECKING:
    from labctl.monitoring.prometheus import Prometheus

TargetArgument = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", help="A campaign to run.", autocompletion=campaign_files),
]
AddressOption = Annotated[
    str, typer.Option("--address", metavar="HOST:PORT", help="Where Prometheus listens.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Where Prometheus keeps its data.")
]
EndOption = Annotated[
    bool, typer.Option("--end", help="End with the campaign, instead of by Ctrl-C.")
]


def monitor(
    ctx: typer.Context,
    target: TargetArgument = None,
    *,
    address: AddressOption = "127.0.0.1:9090",
    data: DataOption = None,
    end: EndOption = False,
    out: OutOption = DEFAULT_OUT,
    lab: LabOption = None,
    quick: QuickOption = False,
) -> None:
    """Start a Prometheus of your own here, and run a campaign under its eyes.

    Prometheus shows a page with the run, its recorded queries and graphs, also of runs that `labctl run --metrics` serves. It
    goes on when the campaign is over, until Ctrl-C; its data stay.
    """
    from platformdirs import user_data_path

    from labctl.monitoring.discovery import sweep, targets_folder
    from labctl.monitoring.prometheus import prometheus

    folder = data or user_data_path("labctl") / "prometheus"
    targets = targets_folder()
    if targets.is_dir():
        sweep(targets)
    if target is not None:
        from labctl import api

        may_ask(lab or api.load_campaign(target).lab)
    with prometheus(folder, address, targets=targets) as server:
        _tell_pages(server)
        status = _run(ctx, target, server, out, lab, quick=quick) if target is not None else 0
        if not (end or status == INTERRUPTED):
            tell(f"Prometheus goes on until Ctrl-C; its data stay in {near(folder)}")
            _tell_pages(server)
            with suppress(KeyboardInterrupt):
                Event().wait()
    raise typer.Exit(status)


def _tell_pages(server: "Prometheus") -> None:
    """Where to look."""
    tell(f"Prometheus: {server.page}")
    if grafana := os.environ.get("LABCTL_GRAFANA_URL"):
        tell(f"Grafana:    {grafana.rstrip('/')}/d/labctl-campaign")


def _run(
    ctx: typer.Context,
    target: str,
    server: "Prometheus",
    out: Path,
    lab: str | None,
    *,
    quick: bool,
) -> int:
    from functools import partial

    from labctl import api
    from labctl.campaign import make_plan
    from labctl.cli.session import conduct
    from labctl.cli.watched import Watched

    campaign = api.load_campaign(target)
    cells = [cell.name for cell in make_plan(campaign, quick=quick).cells]
    starting = partial(api.run, campaign, quick=quick, out=out, lab=lab)
    watched = Watched(metrics="0", remote_write=server.write_url)
    return conduct(starting, cells, settings(ctx), out=out, watched=watched)
