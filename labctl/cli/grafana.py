"""`labctl grafana`: dashboards in a Grafana, and marks on them."""

from typing import Annotated

import typer

from labctl.cli.console import say, tell
from labctl.cli.options import DEFAULT_OUT, OutOption, RunsArgument

grafana = typer.Typer(help="Keep dashboards and marks in a Grafana.", no_args_is_help=True)

UrlOption = Annotated[
    str,
    typer.Option("--url", metavar="URL", envvar="LABCTL_GRAFANA_URL", help="Where Grafana is."),
]
PrometheusOption = Annotated[
    str,
    typer.Option("--prometheus", metavar="URL", help="Where Grafana finds Prometheus."),
]
DEFAULT_GRAFANA, DEFAULT_PROMETHEUS = "http://127.0.0.1:3000", "http://127.0.0.1:9090"


@grafana.command()
def sync(
    *, url: UrlOption = DEFAULT_GRAFANA, prometheus: PrometheusOption = DEFAULT_PROMETHEUS
) -> None:
    """Make the folder, the dashboards and the data source, or bring them up to date.

    The token comes from LABCTL_GRAFANA_TOKEN, or from the file that LABCTL_GRAFANA_TOKEN_FILE names.
    """
    from labctl.monitoring.addresses import checked
    from labctl.monitoring.grafana import Grafana, dashboards

    checked(
        prometheus,
        place="--prometheus",
        example=DEFAULT_PROMETHEUS,
        instead="set user and password of the data source in Grafana: they stay",
    )
    with Grafana(url) as server:
        server.put_folder()
        for dashboard in dashboards().values():
            say(server.put_dashboard(dashboard))
        # Last: it takes the role Admin, and the rest is of use without it.
        new = server.put_datasource(prometheus)
    tell(f"data source: {prometheus}{' (new)' if new else ''}")


@grafana.command()
def annotate(
    runs: RunsArgument = None, *, url: UrlOption = DEFAULT_GRAFANA, out: OutOption = DEFAULT_OUT
) -> None:
    """Mark each trial of runs on the dashboards: when it ran, its phases, its switch-over, what went wrong.

    Marks that are there already are not put again. The token comes as for sync.
    """
    from labctl.monitoring.grafana import Grafana
    from labctl.monitoring.marks import faults_of, marks_of
    from labctl.results import load_run

    found = [load_run(run, out) for run in runs or ["latest"]]
    with Grafana(url) as server:
        count = 0
        for run in found:
            count += server.put_marks(list(faults_of(run)))
            for trial in run.trials():
                count += server.put_marks(list(marks_of(trial)))
    say(f"{count} new marks")
