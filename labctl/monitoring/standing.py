"""How a run stands: what its events have said until now. Live and replayed events go the same way."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labctl.campaign import Plan
from labctl.events import (
    AttemptInterrupted,
    Event,
    GuestSeen,
    PairLost,
    PairOpened,
    PairReturned,
    PairSetAside,
    PlanGrown,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.monitoring.cells import CellTrials
from labctl.monitoring.metric import COMMON
from labctl.monitoring.metrics import RESULTS
from labctl.monitoring.pace import Pace
from labctl.monitoring.tally import Tally
from labctl.monitoring.which import OTHER, Which, which_of
from labctl.results.schema import Outcome


@dataclass
class Flight:
    """A trial under way on a pair."""

    number: int
    name: str
    pair: str
    attempt: int
    warmup: bool
    which: Which
    since_s: float
    phase: str = ""
    progress: Progress | None = None
    guest: GuestSeen | None = None


@dataclass
class PairStanding:
    """A pair as it was told of last."""

    hosts: tuple[str, str] = ("", "")
    nodes: int = 0
    aside: bool = False
    figures: Mapping[str, Any] = field(default_factory=dict)
    """of the trial that ended last"""
    completed: tuple[Which, Mapping[str, Any]] | None = None
    """the last one that completed, warm-ups left out"""


class Standing:
    """One run. `take` each event once, in order, with the time of day that it happened at, in s.

    Not locked: whoever shares it between threads does that.
    """

    def __init__(self, plan: Plan, *, run: str) -> None:
        self.campaign = plan.campaign
        self.run = run
        self.lab = ""
        self.directory: Path | None = None
        self.running = False
        self.planned = self.left = 0
        self.started_s = self.moved_s = self.ended_s = 0.0
        self._pace = Pace()
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        """by outcome, algorithm, transport"""
        self.verdicts: Counter[str] = Counter()
        self.interrupted = 0
        self.events = 0
        self.pairs: dict[str, PairStanding] = {}
        self.flights: dict[int, Flight] = {}
        self.cells: dict[tuple[str, str, str], CellTrials] = {}
        """by algorithm, transport, load"""
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        """by the name in RESULTS, algorithm, transport; of completed trials"""
        self.use(plan)
        for trial in plan.trials:
            if trial.rule is not None and not trial.warmup:
                which = self.which(trial.number)
                self.outcomes[Outcome.UNSUPPORTED, which.algorithm, which.transport] += 1

    def use(self, plan: Plan) -> None:
        """Go on with a plan that has grown."""
        self._which = which_of(plan)
        # Once a plan, and not at each scrape: a plan may have ten thousand trials.
        self._keys = list(dict.fromkeys(which.key for which in self._which.values()))
        self.algorithms = list(dict.fromkeys(key[:2] for key in self._keys))
        """algorithms with their transports, in the order of the plan's cells"""

    @property
    def by_load(self) -> dict[str, dict[tuple[str, str], CellTrials]]:
        """Cells that have trials: by load, then by algorithm and transport, in the order of the plan's cells."""
        found: dict[str, dict[tuple[str, str], CellTrials]] = {}
        for algorithm, transport, load in self._keys:
            if (cell := self.cells.get((algorithm, transport, load))) is not None:
                found.setdefault(load, {})[algorithm, transport] = cell
        return found

    @property
    def labels(self) -> dict[str, str]:
        """Those of every metric."""
        return dict(zip(COMMON, (self.lab, self.campaign, self.run), strict=True))

    def score(self) -> None:
        """Work out the scores of cells whose trials have changed, so that reading them takes no time."""
        for cell in self.cells.values():
            cell.score()

    def which(self, number: int) -> Which:
        """What the plan says of a trial."""
        return self._which[number]

    def left_s(self, now_s: float) -> float:
        """How long what is left takes, by the estimates and what was seen."""
        return self._pace.left_s(now_s) if self.running else 0.0

    def share(self, now_s: float) -> float:
        """How much of the run is behind: 0 to 1, by time."""
        return self._pace.share(now_s)

    def take(self, event: Event, at_s: float) -> None:
        """Take note of an event."""
        self.events += 1
        match event:
            case RunStarted():
                self.running, self.lab, self.directory = True, event.lab, event.directory
                self.flights.clear()
                self.planned, self.left = event.trials, event.trials - event.done
                self.started_s = self.moved_s = at_s
                self._pace = Pace(event.estimate_s)
                for pair in event.pairs:
                    self._pair(pair)
            case TrialStarted() if event.number in self._which:
                which = self.which(event.number)
                self.flights[event.number] = Flight(
                    event.number, event.name, event.pair, event.attempt, event.warmup, which, at_s
                )  # fmt: skip
                self._pace.start(event.number, event.estimate_s, event.left_s, at_s)
                self.moved_s = at_s
            case StateEntered() if event.number in self.flights:
                self.flights[event.number].phase = event.state
                self.moved_s = at_s
            case Progress() if event.number in self.flights:
                self._progress(self.flights[event.number], event, at_s)
            case GuestSeen() if event.number in self.flights:
                self.flights[event.number].guest = event
            case TrialEnded():
                self._ended(event, at_s)
            case AttemptInterrupted():
                self.flights.pop(event.number, None)
                self._pace.cut(event.number, at_s)
                self.interrupted += 1
            case PlanGrown():
                self.planned += event.trials
                self.left += event.trials
                self._pace.grow(event.estimate_s, at_s)
            case RunEnded():
                self.running, self.ended_s, self.left = False, at_s, event.left
                self.flights.clear()
            case PairOpened() | PairLost() | PairSetAside() | PairReturned():
                self._of_pair(event)
            case _:
                pass

    def _pair(self, name: str) -> PairStanding:
        return self.pairs.setdefault(name, PairStanding())

    def _of_pair(self, event: PairOpened | PairLost | PairSetAside | PairReturned) -> None:
        pair = self._pair(event.pair)
        match event:
            case PairOpened():
                pair.hosts, pair.nodes = event.hosts, event.nodes
            case PairLost():
                pair.nodes = 0
            case PairSetAside():
                pair.aside = True
            case PairReturned():
                pair.aside = False

    def _progress(self, flight: Flight, event: Progress, at_s: float) -> None:
        before = flight.progress
        if before is None or event.transferred_bytes > before.transferred_bytes:
            self.moved_s = at_s
        flight.progress = event

    def _ended(self, event: TrialEnded, at_s: float) -> None:
        flight = self.flights.pop(event.number, None)
        self.left = max(0, self.left - 1)
        self._pace.end(event.number, event.elapsed_s, event.left_s, at_s)
        self.moved_s = at_s
        if event.number not in self._which:
            return
        which = self.which(event.number)
        pair = self._pair(flight.pair) if flight else PairStanding()
        pair.figures = event.figures
        if event.warmup:
            return
        self.outcomes[event.outcome, which.algorithm, which.transport] += 1
        if event.verdict:
            self.verdicts[event.verdict] += 1
        if OTHER not in which.key and not which.twin:
            cell = self.cells.setdefault(which.key, CellTrials())
            cell.add(event, algorithm=which.algorithm, transport=which.transport)
        if event.outcome == Outcome.COMPLETED:
            pair.completed = (which, event.figures)
            self._count(which, event.figures)

    def _count(self, which: Which, figures: Mapping[str, Any]) -> None:
        for result in RESULTS:
            value = figures.get(result.column)
            if result.buckets and value is not None:
                key = (result.name, which.algorithm, which.transport)
                tally = self.tallies.setdefault(key, Tally(result.buckets))
                tally.add(float(value) * result.scale)
