"""The states of a trial, and what may follow what.

prepare  the link is set, the observer listens          switching  the source has stopped, the destination does not run yet
boot     both QEMUs start, the guest beats              postcopy   the destination runs, memory still follows
fill     the guest fills its memory                     settle     the migration is over, the guest is watched on
baseline the guest works undisturbed; load is verified  check      every page is compared with what it must hold
setup    both ends are set up, and read back            closed     both machines are ended, their records collected
precopy  the migration runs on the source
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from labctl.errors import LabctlError

TRANSITIONS: Final = {
    "": {"prepare", "closed"},
    "prepare": {"boot", "closed"},
    "boot": {"fill", "closed"},
    "fill": {"baseline", "closed"},
    "baseline": {"setup", "closed"},
    "setup": {"precopy", "closed"},
    "precopy": {"switching", "settle", "closed"},
    "switching": {"postcopy", "settle", "closed"},
    "postcopy": {"settle", "closed"},
    "settle": {"check", "closed"},
    "check": {"closed"},
    "closed": set[str](),
}


class States:
    """Where a trial is. A trial's own thread and those that tell its events may enter states; `tell` hears of
    each, one at a time and in order. `now_ns`: the clock it is timed by.
    """

    def __init__(
        self, tell: Callable[[str, int], None], now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._tell = tell
        self._now_ns = now_ns
        self._lock = threading.RLock()
        self.state = ""

    def enter(self, state: str, t_ns: int | None = None) -> None:
        """Enter a state, now or as of `t_ns`. LabctlError when it cannot follow the present one."""
        with self._lock:
            if state not in TRANSITIONS[self.state]:
                raise LabctlError(f"a trial cannot go from {self.state or 'nowhere'} to {state}")
            self.state = state
            self._tell(state, self._now_ns() if t_ns is None else t_ns)

    def follow(self, states: tuple[str, ...], t_ns: int) -> None:
        """Enter these, one after the other, where they can still follow: what is told of a migration may come late."""
        with self._lock:
            for state in states:
                if state in TRANSITIONS[self.state]:
                    self.enter(state, t_ns)
