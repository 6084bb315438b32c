"""From the observer's clock, which all of a trial is timed by, to the time of day, which Prometheus knows."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from labctl.results.schema import TrialRecord

Millis = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class TimeOfDay:
    """The observer's clock, and the time of day of its host, at the same moment."""

    monotonic_ns: int
    realtime_ns: int

    @classmethod
    def of(cls, record: TrialRecord) -> Self | None:
        """As the observer said when the trial began; None where it said nothing."""
        anchors = record.clocks.anchors.get("observer")
        return cls(anchors[0].monotonic_ns, anchors[0].realtime_ns) if anchors else None

    def ms(self, t_ns: int) -> int:
        """The time of day of a moment on the observer's clock, in ms since 1970."""
        return (t_ns - self.monotonic_ns + self.realtime_ns) // 1_000_000

    def all_ms(self, t_ns: Millis) -> Millis:
        """The same of many."""
        found: Millis = (
            t_ns.astype(np.int64) + (self.realtime_ns - self.monotonic_ns)
        ) // 1_000_000
        return found
