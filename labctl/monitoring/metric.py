"""What a metric is."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["gauge", "counter", "histogram"]

COMMON: Final = ("lab", "campaign", "run")
"""labels of every metric"""
PREFIX: Final = "labctl_"

SCRAPED, SENT, HISTORY = "scraped", "sent", "history"
"""the ways to Prometheus: asked for while the run goes on, written by remote write, backfilled"""
BOTH: Final = (SCRAPED, HISTORY)
ALL_WAYS: Final = (SCRAPED, SENT, HISTORY)


@dataclass(frozen=True)
class MetricInfo:
    """A metric: its name without `labctl_` (a counter's also without `_total`), its labels beside the common ones."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    about: str
    ways: tuple[str, ...] = BOTH

    @property
    def full_name(self) -> str:
        """As it is asked for; a histogram's series end in `_bucket`, `_sum` and `_count` besides."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


def made(
    kind: Kind, labels: str, *rows: tuple[str, str], ways: tuple[str, ...] = BOTH
) -> tuple[MetricInfo, ...]:
    """Metrics of one kind with the same labels: each row has the name, and what it is."""
    return tuple(MetricInfo(name, kind, tuple(labels.split()), about, ways) for name, about in rows)
