"""Readings as prometheus-client has them."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from labctl.monitoring.metric import PREFIX, MetricInfo
from labctl.monitoring.metrics import all_metrics
from labctl.monitoring.readings import Reading


def families(readings: Iterable[Reading], *, t_s: float | None = None) -> Iterator[Metric]:
    """The readings by metric, in the order of the table; with the time of day where it is given."""
    found: dict[str, list[Reading]] = {}
    for reading in readings:
        found.setdefault(reading.metric.name, []).append(reading)
    for info in all_metrics():
        if info.name in found:
            metric = family(info)
            for reading in found[info.name]:
                metric.add_sample(series_name(reading), dict(reading.labels), reading.value, t_s)
            yield metric


def family(info: MetricInfo) -> Metric:
    """A metric that has no samples yet."""
    return Metric(PREFIX + info.name, info.about, info.kind)


def series_name(reading: Reading) -> str:
    """The name of a reading's series."""
    return reading.metric.full_name + reading.ending
