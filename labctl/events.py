"""What the controller tells: one stream of events, and whoever listens.

Progress bars, the journal, an exporter are observers; adding one touches no other. Events are told one at a time and to
every observer in the same order, on the thread on which they happen.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class RunStarted:
    """A run begins or goes on."""

    directory: Path
    name: str
    trials: int
    """trials of the plan that can run, warm-ups included"""
    done: int
    """of these, done before"""
    estimate_s: float
    """until the last pair is done"""
    pairs: tuple[str, ...] = ()
    """which trials are spread over"""
    lab: str = ""


@dataclass(frozen=True)
class Notice:
    """Something a person should know."""

    text: str


@dataclass(frozen=True)
class TrialStarted:
    """An attempt at a trial begins."""

    number: int
    name: str
    pair: str
    attempt: int
    warmup: bool
    estimate_s: float
    left_s: float = 0.0
    """until the last pair is done, by the estimates, this trial included"""


@dataclass(frozen=True)
class StateEntered:
    """A trial entered a state of its state machine."""

    number: int
    state: str
    t_ns: int


@dataclass(frozen=True)
class Progress:
    """The migration in flight, now and then."""

    number: int
    status: str
    transferred_bytes: int
    remaining_bytes: int
    passes: int
    dirty_bytes_per_s: float = 0.0
    """as QEMU says: pages dirtied anew, by the pass before"""
    bandwidth_bytes_per_s: float = 0.0
    """as QEMU says"""
    throttle_percent: float = 0.0
    """what auto-converge takes from each vCPU"""
    page_requests: int = 0
    """of postcopy, until now"""


@dataclass(frozen=True)
class GuestSeen:
    """The guest of a trial, by its beats, now and then."""

    number: int
    work_bytes_per_s: float
    """pages written since this was told last"""
    blackout_s: float | None
    """so far, from the source's last beat; None while the source still beats"""


@dataclass(frozen=True)
class TrialEnded:
    """A trial has its result."""

    number: int
    name: str
    outcome: str
    verdict: str | None
    reason: str | None
    warmup: bool
    elapsed_s: float
    figures: dict[str, Any] = field(default_factory=dict)
    left_s: float = 0.0
    """until the last pair is done, by the estimates"""


@dataclass(frozen=True)
class AttemptInterrupted:
    """An attempt ended without a result; the trial is repeated."""

    number: int
    name: str
    attempt: int
    reason: str


@dataclass(frozen=True)
class PairOpened:
    """The nodes of a pair are there, for the first time or again."""

    pair: str
    hosts: tuple[str, str]
    nodes: int


@dataclass(frozen=True)
class PairLost:
    """A pair has lost a node. It is opened anew before its next trial."""

    pair: str


@dataclass(frozen=True)
class PairSetAside:
    """A pair runs no trial any more until it returns; the others take over what it had."""

    pair: str
    hosts: tuple[str, str]
    fault: str
    """with the place it is in"""
    mend: str | None
    working: int
    """pairs that are left; 0 ends the run"""


@dataclass(frozen=True)
class PairReturned:
    """A pair that was set aside could be opened again, and runs trials as before."""

    pair: str


@dataclass(frozen=True)
class PlanGrown:
    """Every trial has its result, and some cells need more: blocks were added to the plan, and nothing of them has begun."""

    trials: int
    """in these blocks"""
    cells: tuple[str, ...]
    """that go on, twins included"""
    blocks: tuple[int, ...]
    """their numbers"""
    estimate_s: float
    """until the last pair is done with them"""


@dataclass(frozen=True)
class RunEnded:
    """The run is over, or was interrupted with trials left."""

    outcomes: dict[str, int]
    """of all trials that have a result by now, warm-ups left out"""
    left: int
    interrupted: bool
    elapsed_s: float


Event = (
    RunStarted
    | Notice
    | TrialStarted
    | StateEntered
    | Progress
    | GuestSeen
    | TrialEnded
    | AttemptInterrupted
    | PairOpened
    | PairLost
    | PairSetAside
    | PairReturned
    | PlanGrown
    | RunEnded
)


class Observer(Protocol):
    """Listens to a run."""

    def handle(self, event: Event) -> None:
        """Take note of an event; must not block. One that raises is told nothing more."""
