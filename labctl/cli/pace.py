"""The time to the end of a run: the plan's estimates, corrected by what was seen."""

from dataclasses import dataclass, field

PRIOR_S = 4.0
"""So many estimated seconds count as seen just as estimated: one odd trial turns no clock upside down."""


@dataclass
class Pace:
    """How far a run is. Times are seconds; `now` is any clock that does not go back."""

    estimate_s: float = 0.0
    """of all trials that were to be run"""
    estimated_s: float = 0.0
    """of those that have ended"""
    seen_s: float = 0.0
    """what those took"""
    pairs: set[str] = field(default_factory=set)
    """seen so far: that many trials run at once"""
    _running: dict[int, tuple[float, float]] = field(default_factory=dict)

    def start(self, number: int, pair: str, estimate_s: float, now: float) -> None:
        """A trial begins, or begins again."""
        self.pairs.add(pair)
        self._running[number] = (now, estimate_s)

    def cut(self, number: int) -> None:
        """An attempt ended without a result."""
        self._running.pop(number, None)

    def end(self, number: int, elapsed_s: float) -> None:
        """A trial has its result."""
        _, estimate_s = self._running.pop(number, (0.0, 0.0))
        self.estimated_s += estimate_s
        self.seen_s += elapsed_s

    @property
    def factor(self) -> float:
        """Seconds that pass for each second of the estimates."""
        return (self.seen_s + PRIOR_S) / (self.estimated_s + PRIOR_S)

    def left_s(self, now: float) -> float:
        """Until the run is over."""
        waiting = self.estimate_s - self.estimated_s - sum(e for _, e in self._running.values())
        running = sum(
            max(0.0, estimate * self.factor - (now - began))
            for began, estimate in self._running.values()
        )
        return (max(0.0, waiting) * self.factor + running) / max(1, len(self.pairs))

    def share(self, now: float) -> float:
        """How much of the run is behind: 0 to 1, by time."""
        if self.estimate_s <= 0:
            return 0.0
        under_way = sum(
            min(estimate, (now - began) / self.factor) for began, estimate in self._running.values()
        )
        return min(1.0, (self.estimated_s + under_way) / self.estimate_s)


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
