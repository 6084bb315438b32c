"""One attempt at a trial, and what is told while it goes."""

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final

from labctl.campaign import Plan, PlannedTrial, TimingSpec
from labctl.campaign.models import LinkSpec
from labctl.controller.recording import ITSELF_FAILED
from labctl.errors import NodeLost
from labctl.events import Event, GuestSeen, Notice, Progress, StateEntered
from labctl.lab import LinkState, Pair
from labctl.migration import Interrupted, RawTrial, TrialRun

LINK_TOLERANCE: Final = 0.03
"""a link that is further than this from what was asked is told"""
ROUND_TRIP_TOLERANCE, ROUND_TRIP_TOLERANCE_MS = 0.05, 1.0
"""the same of what its delay adds to the round trip: a share of it, and a millisecond, which a busy host may take"""


class Attempts:
    """Makes attempts at a plan's trials. Each pair's thread may use it."""

    def __init__(
        self,
        plan: Plan,
        timing: TimingSpec,
        stop: threading.Event,
        tell: Callable[[Event], None],
    ) -> None:
        self._plan = plan
        self._timing = timing
        self._stop = stop
        self._tell = tell
        self._told_links: set[tuple[str, LinkSpec, str]] = set()

    def make(self, pair: Pair, planned: PlannedTrial) -> tuple[RawTrial, bool]:
        """What was seen, and whether that is a result; it is none where the attempt was cut off."""

        def entered(state: str, t_ns: int) -> None:
            self._tell(StateEntered(planned.number, state, t_ns))
            if state == "boot":
                self._tell_link(pair)

        def progress(said: dict[str, Any]) -> None:
            self._tell(Progress(planned.number, **said))

        def guest(work_bytes_per_s: float, blackout_s: float | None) -> None:
            self._tell(GuestSeen(planned.number, work_bytes_per_s, blackout_s))

        trial = TrialRun(
            self._plan.cell(planned.cell),
            self._timing,
            pair,
            planned.direction,
            stop=self._stop,
            on_state=entered,
            on_progress=progress,
            on_guest=guest,
        )
        try:
            return trial.run(), True
        except (NodeLost, Interrupted) as cut:
            trial.raw.outcome = "interrupted"
            trial.raw.reason = f"{cut.place}: {cut.fault}" if cut.place else cut.fault
            return trial.raw, False
        except Exception:  # noqa: BLE001 - a fault of ours in one trial must not take the others along
            trial.raw.outcome = "failed"
            trial.raw.reason = f"{ITSELF_FAILED}; controller.log says how"
            trial.raw.logs["controller"] = traceback.format_exc()
            return trial.raw, True

    def _tell_link(self, pair: Pair) -> None:
        """Tell, once a setting, of a link that is not what was asked."""
        link = pair.link
        for way in link.measured if link else ():
            assert link is not None
            for spec, fault in _link_faults(link, way):
                if (pair.name, spec, way) not in self._told_links:
                    self._told_links.add((pair.name, spec, way))
                    self._tell(Notice(f"the link of {pair.name} ({way}) was measured {fault}"))


def _link_faults(link: LinkState, way: str) -> Iterator[tuple[LinkSpec, str]]:
    """What of a link is not as asked, and the setting of which that was seen. Its rate is seen without delay and loss, under
    which a TCP stream does not fill a link that is as it should be.
    """
    off, asked = link.deviation(way), link.spec.bandwidth_bits_per_s
    if off is not None and asked is not None and abs(off) > LINK_TOLERANCE:
        yield link.spec.bare, f"{off:+.1%} off its {asked / 1e9:g} Gbit/s"
    added_ms, asked_ms = link.added_ms(way), 2000 * link.spec.delay_s
    allowed_ms = ROUND_TRIP_TOLERANCE * asked_ms + ROUND_TRIP_TOLERANCE_MS
    if added_ms is not None and abs(added_ms - asked_ms) > allowed_ms:
        yield link.spec, f"with {added_ms:.3g} ms more of a round trip, and not {asked_ms:g} ms"
