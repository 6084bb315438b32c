"""The reference page of the metrics, written from their table.

`python -m labctl.monitoring.reference > docs/reference/metrics.md`; a test compares the two.
"""

import sys
from collections.abc import Iterable, Iterator

from labctl.monitoring.metric import COMMON, MetricInfo
from labctl.monitoring.metrics import all_metrics
from labctl.monitoring.which import MAX_ALGORITHMS, MAX_CELLS, OTHER

_HEAD = f"""# Metrics

Generated from the program (`python -m labctl.monitoring.reference`). How they come to Prometheus:
[Prometheus and Grafana](../how-to/monitoring.md).

Each has the labels {{common}}; the table names the others. Seconds, bytes and ratios of 1; what is not known has no
series, and is never 0. A trial's number and its cell are labels of `labctl_trial_info` alone, so that the number of
series does not grow with the campaign: {MAX_ALGORITHMS} algorithms x transports and {MAX_CELLS} cells have labels of
their own, in the order of the plan, and those after them are `{OTHER}`. `load` is what a cell has of the campaign's
other factors. Warm-ups are in no counter and no result.

Which way each goes: `scraped` from `labctl run --metrics` and `labctl metrics serve`; `sent` by `--remote-write` after
each trial; `history` by `labctl export --openmetrics`. A histogram has `_bucket`, `_sum` and `_count`.

| metric | kind | labels | what it is | ways |
| --- | --- | --- | --- | --- |
"""


def metrics_page() -> str:
    """The page."""
    head = _HEAD.format(common=_listed(COMMON))
    return head + "\n".join(_rows(all_metrics())) + "\n"


def _rows(metrics: Iterable[MetricInfo]) -> Iterator[str]:
    for metric in metrics:
        what = (f"`{metric.full_name}`", metric.kind, _listed(metric.labels), metric.about)
        yield f"| {' | '.join((*what, ', '.join(metric.ways)))} |"


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
