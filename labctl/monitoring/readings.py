"""A run's standing as values of metrics."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from labctl.monitoring.metric import MetricInfo
from labctl.monitoring.metrics import CELL, RESULTS, all_metrics
from labctl.monitoring.standing import Flight, PairStanding, Standing
from labctl.results.schema import VERDICTS, Outcome

METRICS: Final = {metric.name: metric for metric in all_metrics()}
_COUNTED: Final = [str(outcome) for outcome in Outcome if outcome != Outcome.INTERRUPTED]

Labels = Mapping[str, str]
Named = Iterator[tuple[str, Labels, Any]]
"""a metric's name, labels beside the common ones, the value, None where there is none"""


@dataclass(frozen=True)
class Reading:
    """A value of a series of a metric."""

    metric: MetricInfo
    labels: Labels = field(hash=False)
    value: float
    ending: str = ""
    """of a histogram: which of its series"""


def read(standing: Standing, now_s: float, *, flights: bool = True) -> Iterator[Reading]:
    """All values at a time of day, or without those of trials under way. What is not known has none."""
    common = standing.labels
    groups = [_campaign(standing, now_s), _pairs(standing), _cells(standing)]
    for values in [*groups, _trials(standing, now_s)] if flights else groups:
        for name, labels, value in values:
            if value is not None and not math.isnan(value):
                yield Reading(METRICS[name], common | dict(labels), float(value))
    for (name, algorithm, transport), tally in standing.tallies.items():
        which = {"algorithm": algorithm, "transport": transport}
        for ending, own, value in tally.series():
            yield Reading(METRICS[f"trial_{name}"], common | which | own, value, ending)


def _campaign(standing: Standing, now_s: float) -> Named:
    yield "run_running", {}, standing.running
    yield "run_trials_planned", {}, standing.planned
    yield "run_trials_left", {}, standing.left
    yield "run_left_seconds", {}, standing.left_s(now_s)
    yield "run_started_timestamp_seconds", {}, standing.started_s
    yield "run_moved_timestamp_seconds", {}, standing.moved_s
    for algorithm, transport in standing.algorithms:
        for outcome in _COUNTED:
            labels = {"outcome": outcome, "algorithm": algorithm, "transport": transport}
            yield "trials", labels, standing.outcomes[outcome, algorithm, transport]
    for verdict in VERDICTS:
        yield "verdicts", {"verdict": str(verdict)}, standing.verdicts[str(verdict)]
    yield "attempts_interrupted", {}, standing.interrupted
    yield "events", {}, standing.events


def _trials(standing: Standing, now_s: float) -> Named:
    for flight in standing.flights.values():
        pair = {"pair": flight.pair}
        yield "trial_info", _identity(standing, flight), 1
        if flight.phase:
            yield "trial_phase", pair | {"phase": flight.phase}, 1
        yield "trial_elapsed_seconds", pair, now_s - flight.since_s
        if (sent := flight.progress) is not None:
            yield "migration_transferred_bytes", pair, sent.transferred_bytes
            yield "migration_remaining_bytes", pair, sent.remaining_bytes
            yield "migration_dirty_bytes_per_second", pair, sent.dirty_bytes_per_s
            yield "migration_bandwidth_bytes_per_second", pair, sent.bandwidth_bytes_per_s
            yield "migration_iteration", pair, sent.passes
            yield "migration_throttle_ratio", pair, sent.throttle_percent / 100
            yield "migration_page_requests", pair, sent.page_requests
        if (guest := flight.guest) is not None:
            yield "guest_work_bytes_per_second", pair, guest.work_bytes_per_s
            yield "guest_blackout_seconds", pair, guest.blackout_s


def _identity(standing: Standing, flight: Flight) -> Labels:
    which = flight.which
    hosts = standing.pairs.get(flight.pair, PairStanding()).hosts
    source, destination = hosts if which.direction == "forward" else hosts[::-1]
    return {
        "pair": flight.pair,
        "trial": str(flight.number),
        "cell": which.cell,
        **dict(zip(CELL, which.key, strict=True)),
        "attempt": str(flight.attempt),
        "source": source,
        "destination": destination,
    }


def _pairs(standing: Standing) -> Named:
    busy = {flight.pair for flight in standing.flights.values()}
    aside = {name for name, pair in standing.pairs.items() if pair.aside}
    idle = standing.pairs.keys() - busy - aside
    for state, names in (("busy", busy), ("idle", idle), ("aside", aside)):
        yield "lab_pairs", {"state": state}, len(names)
    for name, pair in standing.pairs.items():
        labels = {"pair": name}
        yield "lab_node_connections", labels, pair.nodes
        yield (
            "lab_clock_uncertainty_seconds",
            labels,
            _of(pair.figures, "clock_uncertainty_ms", 1e-3),
        )
        yield "sampling_lag_seconds", labels, _of(pair.figures, "sample_lag_max_ms", 1e-3)
        for side in ("source", "destination"):
            offset_s = _of(pair.figures, f"clock_offset_{side}_ms", 1e-3)
            yield "lab_clock_offset_seconds", labels | {"side": side}, offset_s
        if pair.completed is not None:
            which, figures = pair.completed
            labels |= dict(zip(CELL, which.key, strict=True))
            for result in RESULTS:
                yield f"result_{result.name}", labels, _of(figures, result.column, result.scale)


def _cells(standing: Standing) -> Named:
    for key, trials in standing.cells.items():
        labels = dict(zip(CELL, key, strict=True))
        yield "cell_trials", labels, len(trials)
        for name, value in trials.score().items():
            yield f"cell_{name}", labels, value


def _of(figures: Mapping[str, Any], column: str, scale: float) -> float | None:
    value = figures.get(column)
    return None if value is None else float(value) * scale
