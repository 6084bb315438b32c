"""What panels ask Prometheus: selections by the variables, each series once, and the queries of a panel."""

from collections.abc import Iterator, Sequence
from typing import Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from labctl.migration.states import TRANSITIONS

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNS: Final = 'lab=~"$lab", campaign=~"$campaign", run=~"$run"'
"""what the variables select"""
WHICH: Final = f'{RUNS}, algorithm=~"$algorithm", transport=~"$transport"'
PHASES: Final = tuple(state for state in TRANSITIONS if state not in {"", "closed"})
"""in the order in which a trial enters them"""

Query = tuple[str, str]
"""an expression, and the name of what it yields"""


def once(expression: str) -> str:
    """Each series once: a run may have been scraped by several jobs of Prometheus, written and backfilled."""
    return f"max without (job, instance) ({expression})"


def last(expression: str) -> str:
    """Its newest value in the time that is shown, also of a run that has ended."""
    return once(f"last_over_time({expression}[$__range])")


def phase_of_pairs() -> str:
    """For each pair the place of its phase in PHASES, from 1 on; 0 when it is in none.

    A phase is a label, and a state timeline colours values. A phase that came later wins: of what was scraped, the one
    before may be still there.
    """
    places = reversed(list(enumerate(PHASES, 1)))
    terms = [
        f'max by (pair) (labctl_trial_phase{{{RUNS}, phase="{phase}"}} == 1) * {place}'
        for place, phase in places
    ]
    return " or ".join([*terms, f"max by (pair) (labctl_trial_phase{{{RUNS}}}) * 0"])


def over_time(queries: Sequence[Query], step: str = "") -> Iterator[prometheus.Dataquery]:
    """Queries that yield curves. `step`: no closer than this; the data source's own, where it is empty."""
    for query in _asked(queries):
        yield query.range().interval(step) if step else query.range()


def at_the_end(queries: Sequence[Query]) -> Iterator[prometheus.Dataquery]:
    """Queries that yield one value of each series."""
    for query in _asked(queries):
        yield query.instant()


def as_table(queries: Sequence[Query]) -> Iterator[prometheus.Dataquery]:
    """Queries that yield a row for each series, its labels in columns."""
    for query in at_the_end(queries):
        yield query.format(PromQueryFormat.TABLE)


def _asked(queries: Sequence[Query]) -> Iterator[prometheus.Dataquery]:
    for place, (expression, legend) in enumerate(queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend)
        yield query.ref_id(chr(ord("A") + place)).datasource(SOURCE)
