"""What all dashboards have around their panels: variables, marks, a link to the others, and a first panel that says what is shown."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard, text
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from labctl.monitoring.grafana import DATASOURCE
from scripts.boards.asking import RUNS, SOURCE, WHICH

GRAFANA: Final = DataSourceRef(type_val="grafana", uid="-- Grafana --")
"""the data source that every Grafana has: its own annotations"""
WIDTH: Final = 24
"""columns of Grafana's grid"""


def board(
    name: str,
    about: str,
    variables: Sequence[dashboard.QueryVariable],
    *,
    since: str,
    refresh: str = "",
) -> dashboard.Dashboard:
    """A dashboard that has no panel yet but the one that says what it shows."""
    made = (
        dashboard.Dashboard(f"labctl: {name}")
        .uid(f"labctl-{name}")
        .description(about)
        .tags(["labctl"])
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh(refresh)
        # `labctl grafana sync` makes this one; where it is not, Grafana takes its default.
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .label("Prometheus")
            .type("prometheus")
            .current(VariableOption(text=DATASOURCE, value=DATASOURCE))
        )
        .link(
            dashboard.DashboardLink("labctl")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["labctl"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )  # fmt: skip
    for variable in variables:
        made = made.with_variable(variable)
    explained = text.Panel().title("What this shows").description(about).content(about)
    return made.with_panel(explained.height(4).span(WIDTH))


def several(name: str) -> dashboard.QueryVariable:
    """A variable that selects all, or any number."""
    return (
        _variable(name)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def newest_run() -> dashboard.QueryVariable:
    """A variable that selects one run; its name ends in when it began, so the last is first."""
    return _variable("run").sort(VariableSort.ALPHABETICAL_DESC)


def newest_trial() -> dashboard.QueryVariable:
    """A variable that selects one trial."""
    return _variable("trial").sort(VariableSort.NUMERICAL_DESC)


def _variable(name: str) -> dashboard.QueryVariable:
    series = _SERIES[name]
    label = _LABELS.get(name, name)
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


_SERIES: Final = {
    "lab": "labctl_run_trials_planned",
    "campaign": 'labctl_run_trials_planned{lab=~"$lab"}',
    "run": 'labctl_run_trials_planned{lab=~"$lab", campaign=~"$campaign"}',
    "algorithm": f"labctl_trials_total{{{RUNS}}}",
    "transport": f"labctl_trials_total{{{RUNS}}}",
    "trial": f"labctl_trial_info{{{WHICH}}}",
    "host": "node_cpu_seconds_total",
}
"""where the values of a variable come from; one that stands further down may depend on those above"""
_LABELS: Final = {"host": "instance"}


def marks(name: str, colour: str, tags: Sequence[str]) -> dashboard.AnnotationQuery:
    """Marks that `labctl grafana annotate` has put: those with all of the tags, in which variables may stand.

    They belong to no dashboard, so each has to ask for them.
    """
    asked = dashboard.AnnotationTarget().type("tags").tags(list(tags)).match_any(False).limit(1000)
    query = dashboard.AnnotationQuery().name(name).datasource(GRAFANA).enable(True)
    # The SDK has a type of its own for what this data source is asked, and does not let it stand here.
    return query.icon_color(colour).target(asked)  # type: ignore[arg-type]
