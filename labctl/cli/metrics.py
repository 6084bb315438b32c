"""`labctl metrics`: runs as Prometheus reads them."""

from contextlib import suppress
from threading import Event
from typing import Annotated

import typer

from labctl.cli.console import say, tell
from labctl.cli.options import DEFAULT_OUT, MetricsAddress, OutOption, RunsArgument

metrics = typer.Typer(help="Give runs to Prometheus.", no_args_is_help=True)

OnceOption = Annotated[
    bool, typer.Option("--once", help="Print what a scrape would read, and end.")
]


@metrics.command()
def serve(
    runs: RunsArgument = None,
    *,
    address: MetricsAddress = "",
    once: OnceOption = False,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Serve the metrics of runs, also of one that goes on in another process, until Ctrl-C.

    A run that `labctl run --metrics` conducts serves its own. On the loopback address, unless another is named.
    """
    from labctl.monitoring.discovery import announced
    from labctl.monitoring.live import FollowedMetrics
    from labctl.monitoring.serving import served, text_of
    from labctl.results import load_run

    collector = FollowedMetrics([load_run(run, out) for run in runs or ["latest"]])
    if once:
        say(text_of([collector]).rstrip())
        return
    with served([collector], address) as url, announced(url):
        tell(f"{url}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            Event().wait()
