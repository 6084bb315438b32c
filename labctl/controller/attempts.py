"""One attempt at a trial, and what is told while it goes."""

import threading
import traceback
from collections.abc import Callable
from typing import Any, Final

from labctl.campaign import Plan, PlannedTrial, TimingSpec
from labctl.campaign.models import LinkSpec
from labctl.controller.recording import ITSELF_FAILED
from labctl.errors import NodeLost
from labctl.events import Event, GuestSeen, Notice, Progress, StateEntered
from labctl.lab import Pair
from labctl.migration import Interrupted, RawTrial, TrialRun

LINK_TOLERANCE: Final = 0.03
"""a link that is further than this from what was asked is told"""


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
            off, asked = link.deviation(way), link.spec.bandwidth_bits_per_s
            told = (pair.name, link.spec, way)
            if off is None or asked is None or told in self._told_links:
                continue
            if abs(off) > LINK_TOLERANCE:
                self._told_links.add(told)
                measured = f"the link of {pair.name} ({way}) was measured"
                self._tell(Notice(f"{measured} {off:+.1%} off its {asked / 1e9:g} Gbit/s"))
