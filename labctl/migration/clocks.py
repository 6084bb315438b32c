"""The one clock of a trial: the observer's CLOCK_MONOTONIC, and how far those of others are from it.

No host's time of day has to be right for it: ours is compared with the observer's as a trial begins, those of relays all the
time (:mod:`labctl.node.inlets`).
"""

import time
from collections.abc import Mapping

from labctl.lab.clocks import compared
from labctl.lab.node import Node
from labctl.node.beats import SIDES

Offset = dict[str, int]
"""`offset_ns`: what to add to a time of that clock to have the observer's; `uncertainty_ns`: it is right within so much"""


class ObserversClock:
    """What is known of the clocks of one trial."""

    def __init__(self, *, one_clock: bool) -> None:
        """`one_clock`: all run on one machine, so that there is nothing to compare."""
        self._one_clock = one_clock
        self._offsets: dict[str, list[Offset]] = {}

    def now_ns(self) -> int:
        """Now, on the observer's clock."""
        return self.on_observer("controller", time.monotonic_ns())

    def on_observer(self, side: str, t_ns: int) -> int:
        """A time of a side's host, or the controller's, on the observer's clock."""
        known = self._offsets.get(side)
        return t_ns + known[-1]["offset_ns"] if known else t_ns

    def of_controller(self, observer: Node) -> None:
        """Compare ours with the observer's."""
        if not self._one_clock:
            found = compared(observer)
            self._add(
                "controller",
                {"offset_ns": found.monotonic_ns, "uncertainty_ns": found.uncertainty_ns},
            )

    def of_sides(self, found: Mapping[str, Offset]) -> None:
        """Take note of what the observer has found of its relays' hosts; a side without a relay is on its own."""
        for side in () if self._one_clock else SIDES:
            self._add(side, found.get(side, {"offset_ns": 0, "uncertainty_ns": 0}))

    def as_dict(self) -> dict[str, list[Offset]]:
        """All that was found, in order."""
        return self._offsets

    def _add(self, side: str, offset: Offset) -> None:
        self._offsets.setdefault(side, []).append(offset)
