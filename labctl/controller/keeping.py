"""The pairs in the hands of a run: opened anew when a node was lost, set aside when that does not help, taken back later.

One trial that takes its host down must not cost a campaign its pairs. So a pair that only loses nodes is set aside for a
while, never as the last one, and after fewer attempts than a trial has: the next one is made on another pair. And a pair
that is gone altogether may return, rebooted, say, while the others go on.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from labctl.controller.dispatch import Dispatcher
from labctl.errors import LabctlError, LabError
from labctl.events import Event, Notice, PairLost, PairOpened, PairReturned, PairSetAside
from labctl.lab import Lab, Pair

OPENING_PAUSES_S: Final[tuple[float, ...]] = (1.0, 4.0, 15.0, 25.0)
"""between two tries to open a pair anew; after the last of them it is set aside. A node that died is opened at once, and a
network or a service that comes back does so within a minute"""
CUTS_IN_A_ROW: Final = 3
"""attempts cut off on a pair, one after the other, before it is set aside"""
REST_S: Final = 60.0
"""a pair that is set aside is tried again this often"""


class Keeper:
    """Keeps a lab's pairs fit for trials. A pair's methods are for its own thread."""

    def __init__(self, lab: Lab, trials: Dispatcher, tell: Callable[[Event], None]) -> None:
        self._lab = lab
        self._trials = trials
        self._tell = tell
        self._pairs = lab.pairs
        self._cuts: Counter[str] = Counter()
        self.aside: dict[str, LabctlError] = {}
        """the pairs that are set aside now, and why"""

    def whole(self, name: str) -> Pair | None:
        """The pair, opened anew where a node was lost. None: it was set aside, and has returned or the run is over.

        LabError when it cannot be opened and is the last one.
        """
        pair = self._pairs[name]
        if not pair.lost:
            return pair
        self._tell(PairLost(name))
        why = ""
        for pause_s in (*OPENING_PAUSES_S, 0.0):
            self._tell(Notice(f"pair {name}: {why}its nodes are started again"))
            try:
                return self._reopen(name)
            except LabError as error:
                fault, why = error, f"{error.fault}; "
            if not self._trials.pause(pause_s):
                return None
        self._set_aside(name, fault)
        return None

    def had_result(self, name: str) -> None:
        """A trial has got to its end on the pair."""
        self._cuts[name] = 0

    def was_cut(self, name: str, reason: str) -> None:
        """An attempt was cut off on the pair. Too many in a row, and it is set aside for a while."""
        self._cuts[name] += 1
        if self._cuts[name] >= CUTS_IN_A_ROW:
            fault = LabError(
                f"{self._cuts[name]} attempts in a row were cut off, the last one: {reason}",
                mend="look at its hosts, their logs and their network",
            )
            self._set_aside(name, fault, unless_last=True)

    def _set_aside(self, name: str, fault: LabError, *, unless_last: bool = False) -> None:
        """Let the others take over, until the pair can be opened again or the run is over."""
        working = self._trials.set_aside(name, unless_last=unless_last)
        if unless_last and not working:
            return
        pair = self._pairs[name]
        said = f"{fault.place}: {fault.fault}" if fault.place else fault.fault
        self._tell(PairSetAside(name, (pair.a.host, pair.b.host), said, fault.mend, working))
        if not working:
            raise fault
        self.aside[name] = fault
        while self._trials.pause(REST_S):
            try:
                self._reopen(name)
            except LabError:
                continue
            del self.aside[name]
            self._cuts[name] = 0
            self._tell(PairReturned(name))
            self._trials.take_back(name)
            return

    def _reopen(self, name: str) -> Pair:
        self._pairs[name] = self._lab.reopen(name)
        self._tell(opened(self._pairs[name]))
        return self._pairs[name]


def opened(pair: Pair) -> PairOpened:
    """What is told of a pair that is open."""
    return PairOpened(pair.name, (pair.a.host, pair.b.host), len(pair.nodes))
