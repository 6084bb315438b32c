"""How far a node's clocks are from ours: what is asked of it and answered at once says so, within half of what that took."""

import time
from dataclasses import dataclass
from typing import Any, Final

from labctl.lab.node import Node

_QUESTIONS: Final = 5


@dataclass(frozen=True)
class Comparison:
    """What to add to our clocks to have the node's, each right within `uncertainty_ns`."""

    monotonic_ns: int
    realtime_ns: int
    uncertainty_ns: int


def compared(node: Node) -> Comparison:
    """Compare a node's clocks with ours. NodeLost, WaitTimeout."""
    found = []
    for _ in range(_QUESTIONS):
        asked_ns, ahead_ns = time.monotonic_ns(), time.time_ns() - time.monotonic_ns()
        theirs: dict[str, Any] = node.call("alive")["anchor"]
        got_ns = time.monotonic_ns()
        middle_ns = (asked_ns + got_ns) // 2
        found.append(
            Comparison(
                theirs["monotonic_ns"] - middle_ns,
                theirs["realtime_ns"] - (middle_ns + ahead_ns),
                (got_ns - asked_ns + 1) // 2,
            )
        )
    return min(found, key=lambda comparison: comparison.uncertainty_ns)
