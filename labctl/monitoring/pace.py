"""The time to the end of a run: the plan's estimates, corrected by what was seen."""

from dataclasses import dataclass, field

PRIOR_S = 4.0
"""So many estimated seconds count as seen just as estimated: one odd trial turns no clock upside down."""


@dataclass
class Pace:
    """How far a run is. Times are seconds; `now` is any clock that does not go back."""

    estimate_s: float = 0.0
    """of the whole run, when it began"""
    estimated_s: float = 0.0
    """of the trials that have ended"""
    seen_s: float = 0.0
    """what those took"""
    _running: dict[int, float] = field(default_factory=dict)
    """by number: its estimate"""
    _left: tuple[float, float, float] | None = None
    """what was left when a trial began or ended, by the estimates; without the trial that began; and when that was"""

    def start(self, number: int, estimate_s: float, left_s: float, now: float) -> None:
        """A trial begins, or begins again; with it, so much is left."""
        self._running[number] = estimate_s
        self._left = (left_s, max(0.0, left_s - estimate_s), now)

    def cut(self, number: int, now: float) -> None:
        """An attempt ended without a result: its time was lost."""
        self._running.pop(number, None)
        if self._left is not None:
            self._left = (*self._left[:2], now)

    def end(self, number: int, elapsed_s: float, left_s: float, now: float) -> None:
        """A trial has its result; so much is left."""
        self.estimated_s += self._running.pop(number, 0.0)
        self.seen_s += elapsed_s
        self._left = (left_s, 0.0, now)

    def grow(self, estimate_s: float, now: float) -> None:
        """So much was added, when nothing was left."""
        self.estimate_s += estimate_s
        self._left = (estimate_s, estimate_s, now)

    @property
    def factor(self) -> float:
        """Seconds that pass for each second of the estimates."""
        return (self.seen_s + PRIOR_S) / (self.estimated_s + PRIOR_S)

    def left_s(self, now: float) -> float:
        """Until the run is over. A trial that takes longer than estimated does not eat up the time of those behind it."""
        left_s, least_s, since = self._left or (self.estimate_s, self.estimate_s, now)
        passed_s = (now - since) / self.factor if self._running else 0.0
        return max(least_s, left_s - passed_s) * self.factor

    def share(self, now: float) -> float:
        """How much of the run is behind: 0 to 1, by time."""
        if self.estimate_s <= 0:
            return 0.0
        return min(1.0, max(0.0, 1 - self.left_s(now) / self.factor / self.estimate_s))


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
