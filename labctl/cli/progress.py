"""The observer that shows a run as it goes: a line for each trial that ended, and, where there is a
terminal, what runs now and how long it will take, written anew below.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from labctl.cli.console import brief, live
from labctl.cli.options import near
from labctl.cli.pace import Pace, clock
from labctl.events import (
    AttemptInterrupted,
    Event,
    Notice,
    Progress,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)

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
            case Notice():
                self._print(f"note: {event.text}", "yellow")
            case TrialStarted():
                self._running[event.number] = _Running(event.name, event.warmup)
                self._pace.start(event.number, event.pair, event.estimate_s, now)
            case StateEntered() if event.number in self._running:
                self._running[event.number].state = event.state
            case Progress() if event.number in self._running:
                trial = self._running[event.number]
                trial.sent_bytes, trial.passes = event.transferred_bytes, event.passes
                trial.left_bytes = event.remaining_bytes
            case TrialEnded():
                self._running.pop(event.number, None)
                self._pace.end(event.number, event.elapsed_s)
                self._done += 1
                self._console.print(self._finished(event), soft_wrap=True)
                if event.outcome in _TOLD and event.reason:
                    self._print(f"      {brief(event.reason)}")
            case AttemptInterrupted():
                self._running.pop(event.number, None)
                self._pace.cut(event.number)
                self._print(
                    f"{event.number:4d}  attempt {event.attempt} was cut off: {brief(event.reason)}",
                    STYLES["interrupted"],
                )
            case _:
                pass

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, soft_wrap=True)

    @staticmethod
    def _opening(event: RunStarted) -> str:
        trials = f"{event.trials - event.done} trials"
        if event.done:
            trials += f" left of {event.trials}"
        return f"{near(event.directory)}: {trials}, about {clock(event.estimate_s)}"

    def _cell(self, name: str) -> str:
        """A cell's name in a column: cut where a terminal is too narrow, never elsewhere."""
        cell = name.partition("-")[2]
        if self._live is None:
            return cell.ljust(self._width)
        width = max(12, min(self._width or len(cell), self._console.width - _AROUND))
        return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"

    def _finished(self, event: TrialEnded) -> "Text":
        from rich.text import Text

        line = Text(f"{event.number:4d}  {self._cell(event.name)}  ")
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
            trials = [self._trial(number, trial) for number, trial in self._running.items()]
            return Group(*trials, self._bar(self._started))

    def _trial(self, number: int, trial: _Running) -> "Text":
        from rich.text import Text

        line = Text(f"{number:4d}  {self._cell(trial.name)}  ", no_wrap=True, overflow="ellipsis")
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
