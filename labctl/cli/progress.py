"""The observer that shows a run as it goes: a line for each trial that ended, and, where there is a
terminal, what runs now and how long it will take, written anew below.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from labctl.cli.console import brief, live
from labctl.cli.options import near
from labctl.events import (
    AttemptInterrupted,
    Event,
    Notice,
    PairReturned,
    PairSetAside,
    PlanGrown,
    Progress,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.monitoring.pace import Pace, clock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

STYLES = {
    "completed": "green",
    "not_converged": "yellow",
    "failed": "bold red",
    "invalid_load": "red",
    "unsupported": "yellow",
    "interrupted": "magenta",
}
_AROUND = 50
"""columns that a line needs beside the name of its cell"""
_TOLD = ("failed", "invalid_load")
"""outcomes whose reason is told at once"""
_REFRESH_PER_S = 5


@dataclass
class _Running:
    """A trial under way."""

    name: str
    pair: str
    warmup: bool
    state: str = ""
    sent_bytes: int = 0
    left_bytes: int = 0
    passes: int = 0


class RunProgress:
    """Shows a run on a console. A context manager: entering it says that the lab is being opened."""

    def __init__(self, console: "Console", cells: Iterable[str] = ()) -> None:
        self._console = console
        self._width = max(map(len, cells), default=0)
        self._lock = threading.RLock()
        self._pace = Pace()
        self._started: RunStarted | None = None
        self._done = 0
        self._running: dict[int, _Running] = {}
        self._live: Live | None = None

    @property
    def started(self) -> RunStarted | None:
        """What was said when the run began, once it has."""
        return self._started

    def __enter__(self) -> Self:
        if live(self._console):
            from rich.live import Live

            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=_REFRESH_PER_S,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def handle(self, event: Event) -> None:
        """Take note of an event, and show what it changes."""
        with self._lock:
            self._note(event)

    def _note(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case RunStarted():
                self._started, self._done = event, event.done
                self._pace.estimate_s = event.estimate_s
                self._print(self._opening(event))
            case TrialStarted():
                self._running[event.number] = _Running(event.name, event.pair, event.warmup)
                self._pace.start(event.number, event.estimate_s, event.left_s, now)
            case StateEntered() if event.number in self._running:
                self._running[event.number].state = event.state
            case Progress() if event.number in self._running:
                trial = self._running[event.number]
                trial.sent_bytes, trial.passes = event.transferred_bytes, event.passes
                trial.left_bytes = event.remaining_bytes
            case TrialEnded():
                ended = self._running.pop(event.number, None)
                self._pace.end(event.number, event.elapsed_s, event.left_s, now)
                self._done += 1
                head = self._head(event.number, ended.pair if ended else "")
                self._console.print(self._finished(head, event), soft_wrap=True)
                if event.outcome in _TOLD and event.reason:
                    self._print(f"      {brief(event.reason)}")
            case AttemptInterrupted():
                cut = self._running.pop(event.number, None)
                self._pace.cut(event.number, now)
                head = self._head(event.number, cut.pair if cut else "")
                self._print(
                    f"{head}attempt {event.attempt} was cut off: {brief(event.reason)}",
                    STYLES["interrupted"],
                )
            case Notice() | PairSetAside() | PairReturned():
                self._remark(event)
            case PlanGrown() if self._started is not None:
                total = self._started.trials + event.trials
                self._started = replace(self._started, trials=total)
                self._pace.grow(event.estimate_s, now)
                self._print(self._growth(event))
            case _:
                pass

    def _remark(self, event: Notice | PairSetAside | PairReturned) -> None:
        match event:
            case Notice():
                self._print(f"note: {event.text}", "yellow")
            case PairSetAside() if event.working:
                aside = f"pair {event.pair} is set aside, {event.working} go on"
                self._print(f"note: {aside}: {brief(event.fault)}", "bold red")
                if event.mend:
                    self._print(f"      mend: {event.mend}")
            case PairReturned():
                self._print(f"note: pair {event.pair} works again", "yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, soft_wrap=True)

    @staticmethod
    def _opening(event: RunStarted) -> str:
        trials = f"{event.trials - event.done} trials"
        if event.done:
            trials += f" left of {event.trials}"
        if len(event.pairs) > 1:
            trials += f" on {len(event.pairs)} pairs"
        return f"{near(event.directory)}: {trials}, about {clock(event.estimate_s)}"

    @staticmethod
    def _growth(event: PlanGrown) -> str:
        cells, trials = len(event.cells), event.trials
        on = "1 cell goes on" if cells == 1 else f"{cells} cells go on"
        count = f"{trials} trial" if trials == 1 else f"{trials} trials"
        return f"note: {on}: {count} more, about {clock(event.estimate_s)}"

    @property
    def _pairs(self) -> tuple[str, ...]:
        """What tells several trials that run at once apart; empty where only one does."""
        pairs = self._started.pairs if self._started else ()
        return pairs if len(pairs) > 1 else ()

    def _head(self, number: int, pair: str) -> str:
        """How a line begins."""
        width = max(map(len, self._pairs), default=0)
        return f"{number:4d}  {pair:{width}}  " if width else f"{number:4d}  "

    def _cell(self, name: str) -> str:
        """A cell's name in a column: cut where a terminal is too narrow, never elsewhere."""
        cell = name.partition("-")[2]
        if self._live is None:
            return cell.ljust(self._width)
        around = _AROUND + len(self._head(0, "")) - len("   0  ")
        width = max(12, min(self._width or len(cell), self._console.width - around))
        return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"

    def _finished(self, head: str, event: TrialEnded) -> "Text":
        from rich.text import Text

        line = Text(f"{head}{self._cell(event.name)}  ")
        line.append(f"{event.outcome.replace('_', ' '):13}", STYLES.get(event.outcome, ""))
        total, blackout = (event.figures.get(key) for key in ("total_time_ms", "blackout_ms"))
        line.append(f"{total / 1000:8.2f} s" if total is not None else " " * 10)
        if event.warmup:
            line.append("  warm-up, left out", "dim")
        elif blackout is not None:
            line.append(
                f"  blackout {blackout:.0f} ms"
                if blackout >= 10
                else f"  blackout {blackout:.1f} ms"
            )
        line.rstrip()
        return line

    def _render(self) -> "RenderableType":
        """What is written anew, a few times a second."""
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            if self._started is None:
                return Text("opening the lab: starting nodes, asking QEMU what it can do", "dim")
            running = sorted(self._running.items(), key=lambda item: item[1].pair)
            trials = [self._trial(number, trial) for number, trial in running]
            room = self._console.height - 2
            if len(trials) > room:  # what does not fit on the screen cannot be written anew
                hidden = len(trials) - room + 1
                trials = [*trials[:-hidden], Text(f"      and {hidden} more trials", "dim")]
            return Group(*trials, self._bar(self._started))

    def _trial(self, number: int, trial: _Running) -> "Text":
        from rich.text import Text

        head = f"{self._head(number, trial.pair)}{self._cell(trial.name)}  "
        line = Text(head, no_wrap=True, overflow="ellipsis")
        line.append(trial.state, "cyan")
        if trial.passes > 1 and trial.state == "precopy":
            line.append(f" pass {trial.passes}", "cyan")
        if trial.sent_bytes and trial.state in ("precopy", "switching", "postcopy"):
            sent, left = trial.sent_bytes / 2**20, trial.left_bytes / 2**20
            line.append(f", {sent:.0f} MiB sent, {left:.0f} left")
        return line

    def _bar(self, started: RunStarted) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        now = time.monotonic()
        bar = Table.grid(padding=(0, 2), expand=False)
        share = self._pace.share(now)
        bar.add_row(
            f"      {self._done} of {started.trials} trials",
            ProgressBar(total=1.0, completed=share, width=30),
            f"{started.trials - self._done} left, about {clock(self._pace.left_s(now))}",
        )
        return bar
